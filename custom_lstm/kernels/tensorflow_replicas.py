"""Numbers of a whole batch, of which each device of a strategy has a share."""

import tensorflow as tf


def mean_over_replicas(x: tf.Tensor) -> tf.Tensor:
    """Return the mean of a number over all devices; of one device its own.

    Args:
        x: what one device has, a scalar.

    Example:
        >>> float(mean_over_replicas(tf.constant(2.0)))
        2.0
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)
