"""The LSTM that lets single units skip steps."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.arguments import check_rate, own_arguments
from custom_lstm.cells.lstm import lstm_step
from custom_lstm.cells.variants.variant import LSTMVariant


@keras.saving.register_keras_serializable(package="custom_lstm")
class ZoneoutLSTMCell(LSTMVariant):
    """One time step of an LSTM with zoneout, with states `[h, c]`:

        z = x·W + h·U + b               i, f, o = σ(z_i), σ(z_f), σ(z_o)
        g = tanh(z_g)
        ĉ = f∘c + i∘g                   ĥ = o∘tanh(ĉ)
        c' = d_c∘c + (1 − d_c)∘ĉ        h' = d_h∘h + (1 − d_h)∘ĥ

    In training d_c and d_h are drawn for every step, unit and sequence: 1 with
    probability `zoneout_cell` and `zoneout_hidden`, else 0. Otherwise they are these
    probabilities, so that c' and h' are what is to be expected.

    D. Krueger et al., "Zoneout: Regularizing RNNs by randomly preserving hidden
    activations", ICLR 2017, https://arxiv.org/abs/1606.01305. The defaults are theirs
    for characters of the Penn Treebank.

    Because a loop that JAX runs is traced once and cannot draw, `keras.layers.RNN` and
    stacked cells use one mask for all steps of a sequence there; `custom_lstm.RNN`
    draws all before its loop begins.

    Args:
        units: width of h and c.
        zoneout_cell: fraction of c to hold at each step, in [0, 1).
        zoneout_hidden: fraction of h to hold at each step, in [0, 1).
        **kwargs: the other arguments of `LSTMCell`; `seed` is also that of zoneout.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> from custom_lstm import RNN
    >>> layer = RNN(ZoneoutLSTMCell(4, zoneout_hidden=0.5, seed=1))
    >>> tuple(layer(ops.ones((2, 5, 3)), training=True).shape)
    (2, 4)
    """

    zoneout_cell: float
    zoneout_hidden: float
    _held: Any = None

    def __init__(
        self,
        units: int,
        zoneout_cell: float = 0.5,
        zoneout_hidden: float = 0.05,
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        for name in ("zoneout_cell", "zoneout_hidden"):
            options[name] = check_rate(type(self).__name__, name, options[name])
        super().__init__(options, **kwargs)

    def begin_sequence(self, batch_size: Any, training: Any = True) -> None:
        """Draws the dropout masks, and on JAX d_h and d_c in case a loop needs them."""
        super().begin_sequence(batch_size, training)
        if training is not False and keras.backend.backend() == "jax":
            self._held = self._draw_held((batch_size, self.units))

    def end_sequence(self) -> None:
        """Forgets what `begin_sequence` drew."""
        super().end_sequence()
        self._held = None

    def project(self, inputs: Any, training: Any = False) -> Any:
        """`x·W + b`; in training, d_h and d_c beside it.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout and zoneout are on.

        Returns:
            A tensor with `4·units`, in training `6·units`, in the place of `features`.
        """
        projected = super().project(inputs, training)
        if not training:
            return projected
        held = self._held
        if held is None or len(inputs.shape) == 3:
            held = self._draw_held((*ops.shape(inputs)[:-1], self.units))
        return ops.concatenate([projected, held], axis=-1)

    def step(
        self, projected: Any, states: Any, training: Any = False
    ) -> tuple[Any, list[Any]]:
        """What needs the states: `lstm_step`, and what to hold.

        Args:
            projected: what `project` returned.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout and zoneout are on.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        d_h, d_c = self.zoneout_hidden, self.zoneout_cell
        if training:
            n = self.units
            projected, d_h, d_c = ops.split(projected, [4 * n, 5 * n], axis=-1)
        hU = self.recur(h, training)
        new_h, new_c, gates = lstm_step(projected, hU, c, *self.activations)
        h = d_h * h + (1 - d_h) * new_h
        c = d_c * c + (1 - d_c) * new_c
        self.observe(**gates._asdict())
        return h, [h, c]

    def _draw_held(self, shape: tuple[Any, ...]) -> Any:
        """d_h and d_c, each of this shape, side by side."""
        masks = [
            keras.random.uniform(shape, seed=self.seed_generator) < rate
            for rate in (self.zoneout_hidden, self.zoneout_cell)
        ]
        return ops.cast(ops.concatenate(masks, axis=-1), self.compute_dtype)
