"""Batch normalisation in training as TensorFlow's one fused operation."""

import tensorflow as tf


def fused_batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise by the batch's own moments, forward and backward in one pass each.

        y = γ·(x − μ)/√(σ² + ε) + β        μ, σ² over every axis but the last

    Args:
        x: `(batch, …, channels)`, float32, bfloat16 or float16.
        gamma, beta: float32 `(channels,)`.
        epsilon: ε.

    Returns:
        `y` in the dtype of `x`; the mean μ and the variance σ² (of the batch, not
        Bessel-corrected) in float32.

    Source: Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167.

    Example:
        >>> x = tf.constant([[1.0], [3.0]])
        >>> y, mean, variance = fused_batch_norm(x, tf.ones(1), tf.zeros(1), 0.0011)
        >>> [float(v[0]) for v in (mean, variance)]
        [2.0, 1.0]
    """
    shape = tf.shape(x)
    channels = x.shape[-1]
    rows = tf.size(x) // channels
    y, mean, corrected, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(x, (-1, 1, 1, channels)),
        scale=gamma,
        offset=beta,
        mean=[],
        variance=[],
        epsilon=epsilon,
        is_training=True,
    )
    n = tf.cast(rows, tf.float32)
    variance = corrected * (n - 1) / n
    y = tf.ensure_shape(tf.reshape(y, shape), x.shape)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)
