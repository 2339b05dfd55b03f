"""Initial weights made for gates."""

import keras
from keras import ops

from custom_lstm.cells.validation import (
    check_choice,
    check_number,
    check_positive,
    check_seed,
)
from custom_lstm.typing import Config, DType, Tensor

_register = keras.saving.register_keras_serializable(package="custom_lstm")


@_register
class GatewiseOrthogonal(keras.initializers.Initializer):
    """Recurrent kernels in which the matrix of every gate is orthogonal by itself.

    `keras.initializers.Orthogonal` makes the rows of the whole recurrent kernel
    `(units, gates·units)` orthonormal together; then no single gate's matrix U_k is
    orthogonal. Here each is, drawn uniformly (Mezzadri 2007,
    https://arxiv.org/abs/math-ph/0609050), so that h·U_k is as long as h (Saxe et al.
    2014, https://arxiv.org/abs/1312.6120).

    Args:
        gain: what each matrix is multiplied by, above 0.
        seed: an integer, or None for a random one.

    Raises:
        ValueError: if `gain` is out of range; when called with a shape other than
            `(units, gates·units)`.

    Example:
        >>> U = ops.convert_to_numpy(GatewiseOrthogonal(seed=1)((3, 12)))
        >>> U_f = U[:, 3:6]
        >>> bool(abs(U_f @ U_f.T - ops.convert_to_numpy(ops.eye(3))).max() < 1e-5)
        True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain = check_positive("GatewiseOrthogonal", "gain", gain)
        self.seed = check_seed("GatewiseOrthogonal", seed)

    def __call__(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Return a recurrent kernel of this shape."""
        if len(shape) != 2 or 0 in shape or shape[1] % shape[0]:
            raise ValueError(
                "GatewiseOrthogonal makes recurrent kernels of shape (units, "
                f"gates·units). Received shape: {tuple(shape)}"
            )
        units, width = shape
        normal = keras.random.normal(
            (width // units, units, units), dtype="float32", seed=self.seed
        )
        q, r = ops.qr(normal)
        signs = ops.sign(ops.diagonal(r, axis1=-2, axis2=-1))
        gates = q * ops.expand_dims(signs, 1)
        kernel = ops.reshape(ops.transpose(gates, (1, 0, 2)), (units, width))
        return ops.cast(self.gain * kernel, dtype or keras.config.floatx())

    def get_config(self) -> Config:
        """Return every constructor argument."""
        return {"gain": self.gain, "seed": self.seed}


@_register
class Chrono(keras.initializers.Initializer):
    """Biases that give the units memories of all lengths up to `max_steps`.

        b_f = log u,   u uniform on [1, max_steps − 1],   b_i = −b_f,   b_g = b_o = 0

    A forget gate of bias b_f forgets at a rate of 1/(1 + exp b_f) per step. For a GRU
    b_z takes the place of b_f, and in a JANET b_f is alone with b_g (Tallec and
    Ollivier 2018, https://arxiv.org/abs/1804.11188).

    As `bias_initializer` of an `LSTM` it makes the whole bias, so that
    `unit_forget_bias` has no effect.

    Args:
        max_steps: the longest dependency expected, in steps; at least 3.
        seed: an integer, or None for a random one.
        cell: "lstm", "gru" or "janet".

    Raises:
        ValueError: if an argument is out of range; when called with a shape that is
            not that of such a cell's bias.

    Example:
        >>> b = ops.convert_to_numpy(Chrono(max_steps=100, seed=1)((8,)))
        >>> b_i, b_f = b[:2], b[2:4]
        >>> bool((b_i == -b_f).all() and (0 <= b_f).all() and (b_f <= 4.6).all())
        True
    """

    makes_whole_bias = True
    _SIGNS = {
        "lstm": (-1.0, 1.0, 0.0, 0.0),
        "gru": (1.0, 0.0, 0.0),
        "janet": (1.0, 0.0),
    }

    def __init__(self, max_steps: int, seed: int | None = None, cell: str = "lstm"):
        self.max_steps = check_number("Chrono", "max_steps", max_steps, 3)
        self.seed = check_seed("Chrono", seed)
        self.cell = check_choice("Chrono", "cell", cell, tuple(self._SIGNS))

    def __call__(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Return a bias of this shape; of two rows, the second is 0."""
        dtype = dtype or keras.config.floatx()
        signs = self._SIGNS[self.cell]
        if len(shape) not in (1, 2) or shape[-1] % len(signs):
            raise ValueError(
                f"Chrono(cell={self.cell!r}) makes biases of shape "
                f"({len(signs)}·units,). Received shape: {tuple(shape)}"
            )
        uniform = keras.random.uniform(
            (shape[-1] // len(signs),), 1.0, self.max_steps - 1.0, dtype, self.seed
        )
        bias = ops.concatenate([sign * ops.log(uniform) for sign in signs])
        if len(shape) == 1:
            return bias
        return ops.stack([bias, *[ops.zeros_like(bias)] * (shape[0] - 1)])

    def get_config(self) -> Config:
        """Return every constructor argument."""
        return {"max_steps": self.max_steps, "seed": self.seed, "cell": self.cell}


@_register
class ForgetBias(keras.initializers.Initializer):
    """The bias of an LSTM that hardly forgets at first.

        b_f = value,   b_i = b_g = b_o = 0

    A forget gate of bias 10 forgets 1/(1 + e¹⁰), 0.005 %, of c in a step. (Keras
    begins with 1, at which it forgets 27 %.)

    As `bias_initializer` of an `LSTM` it makes the whole bias, so that
    `unit_forget_bias` has no effect.

    Args:
        value: b_f.

    Raises:
        ValueError: if `value` is not a finite number; when called with a shape that is
            not that of an LSTM's bias.

    Example:
        >>> ops.convert_to_numpy(ForgetBias(3)((8,))).tolist()
        [0.0, 0.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0]
    """

    makes_whole_bias = True

    def __init__(self, value: float):
        self.value = check_number("ForgetBias", "value", value)

    def __call__(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Return a bias of this shape."""
        if len(shape) != 1 or shape[0] % 4:
            raise ValueError(
                "ForgetBias makes biases of shape (4·units,). Received shape: "
                f"{tuple(shape)}"
            )
        units = shape[0] // 4
        gate = ops.arange(4 * units) // units
        dtype = dtype or keras.config.floatx()
        return ops.where(gate == 1, ops.cast(self.value, dtype), ops.zeros((), dtype))

    def get_config(self) -> Config:
        """Return every constructor argument."""
        return {"value": self.value}


@_register
class Signs(keras.initializers.Initializer):
    """Weights of −1 and 1, each as likely as the other.

    Args:
        seed: an integer, or None for a random one.

    Example:
        >>> ops.convert_to_numpy(ops.abs(Signs(seed=1)((3,))))
        array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, seed: int | None = None):
        self.seed = check_seed("Signs", seed)

    def __call__(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Return weights of this shape."""
        drawn = keras.random.uniform(shape, seed=self.seed)
        return ops.cast(
            ops.where(drawn < 0.5, -1.0, 1.0), dtype or keras.config.floatx()
        )

    def get_config(self) -> Config:
        """Return every constructor argument."""
        return {"seed": self.seed}
