"""The LSTM whose gates see the cell state."""

from typing import Any

import keras

from custom_lstm.cells.arguments import own_arguments
from custom_lstm.cells.lstm import Activation, LSTMGates
from custom_lstm.cells.variants.variant import LSTMVariant


def peephole_step(
    z: tuple[Any, Any, Any, Any],
    c: Any,
    peepholes: tuple[Any, Any, Any],
    activations: tuple[Activation, Activation, Activation],
) -> tuple[Any, Any, LSTMGates]:
    """One step of a peephole LSTM from its pre-activations; see `PeepholeLSTMCell`.

    Args:
        z: `x·W + h·U + b`, in four parts, `(batch, units)` each.
        c: cell state, `(batch, units)`.
        peepholes: p_i, p_f, p_o, `(units,)` each.
        activations: of g, of i, f and o, and of c' in h'.

    Returns:
        h' and c', `(batch, units)` each, and the gates.

    Example:

    >>> from keras import activations as a, ops
    >>> zero, one = ops.zeros((1, 2)), ops.ones((1, 2))
    >>> h, c, gates = peephole_step(
    ...     (zero,) * 4, one, (zero, 9 * one, zero), (a.tanh, a.sigmoid, a.tanh)
    ... )
    >>> ops.convert_to_numpy(gates.forget).round(3)
    array([[1., 1.]], dtype=float32)
    """
    z_i, z_f, z_g, z_o = z
    p_i, p_f, p_o = peepholes
    activation, recurrent_activation, output_activation = activations
    i = recurrent_activation(z_i + p_i * c)
    f = recurrent_activation(z_f + p_f * c)
    g = activation(z_g)
    c = f * c + i * g
    o = recurrent_activation(z_o + p_o * c)
    h = o * output_activation(c)
    return h, c, LSTMGates(i, f, g, o)


@keras.saving.register_keras_serializable(package="custom_lstm")
class PeepholeLSTMCell(LSTMVariant):
    """One time step of an LSTM with peepholes, with states `[h, c]`:

        z = x·W + h·U + b
        i = σ(z_i + p_i∘c)      f = σ(z_f + p_f∘c)      g = tanh(z_g)
        c' = f∘c + i∘g
        o = σ(z_o + p_o∘c')     h' = o∘tanh(c')

    F. Gers and J. Schmidhuber, "Recurrent nets that time and count", IJCNN 2000: gates
    that see c can learn exact intervals. Started at zero, the peepholes make a plain
    LSTM to begin with.

    Args:
        units: width of h and c.
        peephole_initializer: of `peephole (3, units)`: p_i, p_f, p_o.
        peephole_regularizer: penalty on `peephole`.
        peephole_constraint: projection of `peephole` after each update.
        **kwargs: the other arguments of `LSTMCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> cell = PeepholeLSTMCell(4)
    >>> output, (h, c) = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
    >>> tuple(output.shape), [weight.name for weight in cell.weights]
    ((2, 4), ['kernel', 'recurrent_kernel', 'bias', 'peephole'])
    """

    def __init__(
        self,
        units: int,
        peephole_initializer: Any = "zeros",
        peephole_regularizer: Any = None,
        peephole_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)

    def build(self, input_shape: Any) -> None:
        """Makes `kernel`, `recurrent_kernel`, `bias` and `peephole`."""
        super().build(input_shape)
        self.peephole = self._add("peephole", (3, self.units))

    def step(
        self, projected: Any, states: Any, training: Any = False
    ) -> tuple[Any, list[Any]]:
        """What needs the states: `peephole_step`.

        Args:
            projected: `x·W + b`, `(batch, 4·units)`.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        z = keras.ops.split(projected + self.recur(h, training), 4, axis=-1)
        peepholes = tuple(self.peephole[k] for k in range(3))
        h, c, gates = peephole_step(z, c, peepholes, self.activations)
        self.observe(**gates._asdict())
        return h, [h, c]
