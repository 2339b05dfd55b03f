"""Conditions that TensorFlow can check only when a graph runs."""

import tensorflow as tf


def with_divisible_batch(x: tf.Tensor, parts: int, message: str) -> tf.Tensor:
    """Return `x`, of which a graph checks that it can be cut into parts of one size.

    XLA leaves such checks out.

    Args:
        x: `(batch, ...)`.
        parts: how many parts.
        message: begins the error; the size received follows.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, if it cannot.

    Example:
        >>> with_divisible_batch(tf.zeros((6, 2)), 3, "Odd.").shape
        TensorShape([6, 2])
    """
    batch = tf.shape(x)[0]
    data = [f"{message} Received a batch of:", batch]
    with tf.control_dependencies([tf.debugging.Assert(batch % parts == 0, data)]):
        return tf.identity(x)
