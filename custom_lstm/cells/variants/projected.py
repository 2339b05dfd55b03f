"""The LSTM with a projected hidden state."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.arguments import check_positive, own_arguments
from custom_lstm.cells.gated import SequenceMasks
from custom_lstm.cells.lstm import lstm_step
from custom_lstm.cells.variants.variant import LSTMVariant


@keras.saving.register_keras_serializable(package="custom_lstm")
class ProjectedLSTMCell(LSTMVariant):
    """One time step of an LSTM with recurrent projection (LSTMP), states `[h, c]`:

        z = x·W + h·U + b           i, f, o = σ(z_i), σ(z_f), σ(z_o)    g = tanh(z_g)
        c' = f∘c + i∘g              h' = (o∘tanh(c'))·P

    H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
    architectures for large scale acoustic modeling", Interspeech 2014: many cells, and
    few weights, as h, the output, is narrower than c.

    Args:
        units: width of c.
        projection_units: width of h, and so of the output.
        projection_initializer: of `projection (units, projection_units)`, P.
        projection_regularizer: penalty on `projection`.
        projection_constraint: projection of `projection` after each update.
        **kwargs: the other arguments of `LSTMCell`. `recurrent_kernel` is
            `(projection_units, 4·units)`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> cell = ProjectedLSTMCell(8, projection_units=3)
    >>> output, (h, c) = cell(ops.ones((2, 5)), cell.get_initial_state(2))
    >>> tuple(output.shape), tuple(c.shape)
    ((2, 3), (2, 8))
    """

    projection_units: int

    def __init__(
        self,
        units: int,
        projection_units: int,
        projection_initializer: Any = "glorot_uniform",
        projection_regularizer: Any = None,
        projection_constraint: Any = None,
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        options["projection_units"] = check_positive(
            type(self).__name__, "projection_units", projection_units, whole=True
        )
        super().__init__(options, **kwargs)
        self.state_size = [self.projection_units, self.units]

    def build(self, input_shape: Any) -> None:
        """Makes `kernel`, `recurrent_kernel`, `bias` and `projection`."""
        super().build(input_shape)
        self.projection = self._add("projection", (self.units, self.projection_units))

    def _add(self, kind: str, shape: tuple[int, ...]) -> Any:
        if kind == "recurrent":
            shape = (self.projection_units, shape[1])
        return super()._add(kind, shape)

    def begin_sequence(self, batch_size: Any, training: Any = True) -> None:
        """Draws the dropout masks of a sequence."""
        if training is not False and self.built:
            inputs, h = self.kernel.shape[0], self.projection_units
            self._masks = SequenceMasks(
                self._draw(self.dropout, (batch_size, inputs)),
                self._draw(self.recurrent_dropout, (batch_size, h)),
            )

    def step(
        self, projected: Any, states: Any, training: Any = False
    ) -> tuple[Any, list[Any]]:
        """What needs the states: `lstm_step`, and P.

        Args:
            projected: `x·W + b`, `(batch, 4·units)`.
            states: `[h, c]`, `(batch, projection_units)` and `(batch, units)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        m, c, gates = lstm_step(
            projected, self.recur(h, training), c, *self.activations
        )
        h = ops.matmul(m, self.projection)
        self.observe(**gates._asdict())
        return h, [h, c]
