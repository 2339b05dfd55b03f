"""Conditions that TensorFlow can check only when a graph runs."""

import tensorflow as tf


def assert_batch_divides(batch: tf.Tensor, parts: int, message: str) -> None:
    """Check, when the graph runs, that a batch can be cut into parts of one size.

    XLA leaves such checks out.

    Args:
        batch: examples in the batch, an integer tensor.
        parts: how many parts.
        message: begins the error; the size received follows.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, if it cannot.

    Example:
        >>> assert_batch_divides(tf.constant(6), 3, "Odd.")
    """
    divides = tf.equal(batch % parts, 0)
    tf.debugging.Assert(divides, [f"{message} Received a batch of:", batch])
