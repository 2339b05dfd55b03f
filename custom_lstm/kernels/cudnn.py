"""A whole LSTM sequence by cuDNN, on an NVIDIA GPU, for TensorFlow and JAX.

PyTorch's own kernel calls it by itself. It computes what the others do, in TF32 where
TensorFlow or JAX allow that to their products; a second derivative it does not have.

Source: S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014,
https://arxiv.org/abs/1410.0759.
"""

import keras
from keras import ops

from custom_lstm.typing import Tensor


def has_gpu() -> bool:
    """Return whether TensorFlow or JAX, whichever is the backend, sees a GPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    return False


def packed(W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    """Return all weights as the one vector that cuDNN reads, see `Kernel`.

    Wᵀ and Uᵀ row by row, so gate by gate in the order i, f, g, o; then a bias of the
    inputs, b, and one of the states, which is 0.

    Example:
        >>> W, U, b = ops.ones((3, 8)), ops.ones((2, 8)), ops.ones(8)
        >>> tuple(packed(W, U, b).shape)
        (56,)
    """
    rows = [ops.reshape(ops.transpose(matrix), (-1,)) for matrix in (W, U)]
    return ops.concatenate([*rows, b, ops.zeros_like(b)])


def lstm_sequence(
    x: Tensor, h: Tensor, c: Tensor, W: Tensor, U: Tensor, b: Tensor, mask: None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps of a sequence in one operation.

    Args:
        x, h, c, W, U, b: see `Kernel` in the registry of kernels.
        mask: None; masks are not known here.

    Returns:
        h after every step, and the last h and c.

    Example:
        >>> x, zero = ops.ones((2, 5, 3)), ops.zeros((2, 4))
        >>> W, U, b = ops.ones((3, 16)), ops.ones((4, 16)), ops.zeros(16)
        >>> if keras.backend.backend() != "torch" and has_gpu():
        ...     hs, h, c = lstm_sequence(x, zero, zero, W, U, b)
        ...     assert hs.shape == (2, 5, 4) and ops.all(hs[:, -1] == h)
    """
    on = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
    return on(x, h, c, packed(W, U, b))


def _tensorflow(x, h, c, weights):
    import tensorflow as tf

    batch, time, _ = tf.unstack(tf.shape(x))
    hs, h, c, *_ = tf.raw_ops.CudnnRNNV3(
        input=x,
        input_h=h[:, None],
        input_c=c[:, None],
        params=weights,
        sequence_lengths=tf.fill([batch], time),
        rnn_mode="lstm",
        is_training=True,  # without, it keeps nothing for the backward pass
        time_major=False,
    )
    return hs, h[:, 0], c[:, 0]


def _jax(x, h, c, weights):
    import jax.numpy as jnp
    from jax.experimental import rnn

    batch, time, features = x.shape
    hs, h, c = rnn.lstm(
        x,
        h[None],
        c[None],
        weights,
        jnp.full(batch, time, "int32"),
        input_size=features,
        hidden_size=h.shape[-1],
        num_layers=1,
        dropout=0.0,
        bidirectional=False,
    )
    return hs, h[0], c[0]
