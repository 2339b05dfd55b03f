"""The layer-normalised LSTM."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.arguments import check_positive, own_arguments
from custom_lstm.cells.lstm import lstm_step
from custom_lstm.cells.variants.variant import LSTMVariant


@keras.saving.register_keras_serializable(package="custom_lstm")
class LayerNormLSTMCell(LSTMVariant):
    """One time step of a layer-normalised LSTM, with states `[h, c]`:

        N(a) = (a − mean(a)) / √(var(a) + ε)        over the last axis
        z = N(x·W)∘α_x + N(h·U)∘α_h + b
        i, f, o = σ(z_i), σ(z_f), σ(z_o)            g = tanh(z_g)
        c' = f∘c + i∘g                              h' = o∘tanh(N(c')∘α_c + β_c)

    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016,
    https://arxiv.org/abs/1607.06450, equations 20 to 22. Their two shifts in z and
    the bias are one vector here, b, of which they are the sum.

    Args:
        units: width of h and c.
        gain_initializer: of `kernel_gain (4·units,)`, `recurrent_gain (4·units,)` and
            `cell_gain (units,)`: α_x, α_h, α_c.
        epsilon: ε, above 0.
        **kwargs: the other arguments of `LSTMCell`. Without `use_bias` there is
            neither b nor β_c.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> cell = LayerNormLSTMCell(4)
    >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
    >>> tuple(output.shape), [weight.name for weight in cell.weights][3:]
    ((2, 4), ['kernel_gain', 'recurrent_gain', 'cell_gain', 'cell_bias'])
    """

    gain_initializer: Any
    epsilon: float

    def __init__(
        self,
        units: int,
        gain_initializer: Any = "ones",
        epsilon: float = 1e-5,
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        options["epsilon"] = check_positive(type(self).__name__, "epsilon", epsilon)
        super().__init__(options, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Makes `kernel`, `recurrent_kernel`, `bias`, and gains and shift."""
        super().build(input_shape)
        n = self.units
        self.kernel_gain = self._gain("kernel_gain", 4 * n)
        self.recurrent_gain = self._gain("recurrent_gain", 4 * n)
        self.cell_gain = self._gain("cell_gain", n)
        self.cell_bias = (
            self.add_weight(shape=(n,), name="cell_bias", initializer="zeros")
            if self.use_bias
            else None
        )

    def _gain(self, name: str, width: int) -> Any:
        return self.add_weight(
            shape=(width,), name=name, initializer=self.gain_initializer
        )

    def input_bias(self) -> None:
        """None: the bias comes after the normalisation."""

    def project(self, inputs: Any, training: Any = False) -> Any:
        """`N(x·W)∘α_x + b`.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout is on.

        Returns:
            A tensor with `4·units` in the place of `features`.
        """
        xW = super().project(inputs, training)
        return self._normalize(xW, self.kernel_gain, self.bias)

    def step(
        self, projected: Any, states: Any, training: Any = False
    ) -> tuple[Any, list[Any]]:
        """What needs the states: `lstm_step`, with `N` around `h·U` and `c'`.

        Args:
            projected: `N(x·W)∘α_x + b`, `(batch, 4·units)`.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        hU = self._normalize(self.recur(h, training), self.recurrent_gain)
        activation, recurrent_activation, output_activation = self.activations
        h, c, gates = lstm_step(
            projected,
            hU,
            c,
            activation,
            recurrent_activation,
            lambda c: output_activation(
                self._normalize(c, self.cell_gain, self.cell_bias)
            ),
        )
        self.observe(**gates._asdict())
        return h, [h, c]

    def _normalize(self, a: Any, gain: Any, shift: Any = None) -> Any:
        return ops.layer_normalization(a, gain, shift, epsilon=self.epsilon)
