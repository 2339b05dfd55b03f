"""The LSTM that forgets just as much as it takes in."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.lstm import Activation, LSTMGates
from custom_lstm.cells.variants.variant import LSTMVariant


def coupled_step(
    z: Any, c: Any, activations: tuple[Activation, Activation, Activation]
) -> tuple[Any, Any, LSTMGates]:
    """One step of a coupled LSTM from its pre-activations; see `CoupledLSTMCell`.

    Args:
        z: `x·W + h·U + b`, `(batch, 3·units)`, in the order i, g, o.
        c: cell state, `(batch, units)`.
        activations: of g, of i and o, and of c' in h'.

    Returns:
        h' and c', `(batch, units)` each, and the gates.

    Example:

    >>> from keras import activations as a
    >>> step = coupled_step(ops.zeros((1, 6)), ops.ones((1, 2)), 3 * (a.sigmoid,))
    >>> ops.convert_to_numpy(step[1])
    array([[0.75, 0.75]], dtype=float32)
    """
    z_i, z_g, z_o = ops.split(z, 3, axis=-1)
    activation, recurrent_activation, output_activation = activations
    i = recurrent_activation(z_i)
    f = 1 - i
    g = activation(z_g)
    o = recurrent_activation(z_o)
    c = f * c + i * g
    h = o * output_activation(c)
    return h, c, LSTMGates(i, f, g, o)


@keras.saving.register_keras_serializable(package="custom_lstm")
class CoupledLSTMCell(LSTMVariant):
    """One time step of an LSTM with coupled input and forget gates, states `[h, c]`:

        z = x·W + h·U + b       i, o = σ(z_i), σ(z_o)       g = tanh(z_g)
        f = 1 − i               c' = f∘c + i∘g              h' = o∘tanh(c')

    K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink and J. Schmidhuber, "LSTM:
    A search space odyssey", IEEE TNNLS 28 (2017), https://arxiv.org/abs/1503.04069: it
    does as well as the LSTM with three quarters of its weights.

    Args:
        units: width of h and c.
        unit_forget_bias: start the input gate's bias at −1, so that f starts where
            that of `LSTMCell` does, whatever `bias_initializer` says.
        **kwargs: the other arguments of `LSTMCell`. Weights are `kernel (features,
            3·units)`, `recurrent_kernel (units, 3·units)`, `bias (3·units,)`, in the
            order i, g, o.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> cell = CoupledLSTMCell(4)
    >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
    >>> tuple(output.shape), tuple(cell.kernel.shape)
    ((2, 4), (3, 12))
    """

    gates = ("input", "candidate", "output")  # type: ignore[assignment]

    def __init__(self, units: int, **kwargs: Any):
        super().__init__({"units": units}, **kwargs)

    def _whole_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        whole = getattr(self.bias_initializer, "makes_whole_bias", False)
        if not (whole or self.unit_forget_bias):
            return self.bias_initializer(shape, dtype=dtype)
        bias = super()._whole_bias((4 * self.units,), dtype)
        _, b_f, b_g, b_o = ops.split(bias, 4)
        return ops.concatenate([-b_f, b_g, b_o])

    def step(
        self, projected: Any, states: Any, training: Any = False
    ) -> tuple[Any, list[Any]]:
        """What needs the states: `coupled_step`.

        Args:
            projected: `x·W + b`, `(batch, 3·units)`.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        z = projected + self.recur(h, training)
        h, c, gates = coupled_step(z, c, self.activations)
        self.observe(**gates._asdict())
        return h, [h, c]
