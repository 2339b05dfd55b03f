"""Variants of the LSTM from the literature, each with its paper.

A variant is an `LSTMCell` with an equation changed: it overrides `recurrence`, or, if
the change is outside of it, `step`. Arguments of its own go to `set_options`.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.layer_norm import normalized
from custom_lstm.cells.lstm import LSTMCell, LSTMGates, LSTMStep, lstm_step
from custom_lstm.cells.validation import check_positive, check_rate, own_arguments
from custom_lstm.typing import (
    Activation,
    ActivationLike,
    BatchSize,
    ConstraintLike,
    DType,
    InitializerLike,
    Nest,
    RegularizerLike,
    Shape,
    States,
    Tensor,
)

_register = keras.saving.register_keras_serializable(package="custom_lstm")
_CONTROL_FORGET_BIAS = -1.0
"""At first, of those units of a `CarouselLSTMCell` that forget: they hold a third."""
_CONTROL_FEEDBACK = -4.0
"""At first, from h of such a unit to its own candidate."""


def peephole_step(
    xW: Tensor,
    hU: Tensor,
    c: Tensor,
    peepholes: Tensor,
    activation: Activation = keras.activations.tanh,
    recurrent_activation: Activation = keras.activations.sigmoid,
    output_activation: Activation = keras.activations.tanh,
) -> LSTMStep:
    """Compute one step of a peephole LSTM; see `PeepholeLSTMCell`.

    Args:
        xW: `x·W + b`, `(batch, 4·units)`, in the order i, f, g, o.
        hU: `h·U`, `(batch, 4·units)`.
        c: cell state, `(batch, units)`.
        peepholes: p_i, p_f, p_o, `(3, units)`.
        activation, recurrent_activation, output_activation: see `lstm_step`.

    Returns:
        h' and c', `(batch, units)` each, and the gates.

    Example:
        >>> zeros, ones = ops.zeros((1, 8)), ops.ones((1, 2))
        >>> peepholes = ops.convert_to_tensor([[0.0, 0.0], [9.0, 9.0], [0.0, 0.0]])
        >>> h, c, gates = peephole_step(zeros, zeros, ones, peepholes)
        >>> ops.convert_to_numpy(gates.forget).round(3)
        array([[1., 1.]], dtype=float32)
    """
    z_i, z_f, z_g, z_o = ops.split(xW + hU, 4, axis=-1)
    p_i, p_f, p_o = (peepholes[k] for k in range(3))
    i = recurrent_activation(z_i + p_i * c)
    f = recurrent_activation(z_f + p_f * c)
    g = activation(z_g)
    c = f * c + i * g
    o = recurrent_activation(z_o + p_o * c)
    h = o * output_activation(c)
    return h, c, LSTMGates(i, f, g, o)


@_register
class PeepholeLSTMCell(LSTMCell):
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
        >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), [weight.name for weight in cell.weights]
        ((2, 4), ['kernel', 'recurrent_kernel', 'bias', 'peephole'])
    """

    def __init__(
        self,
        units: int,
        peephole_initializer: InitializerLike = "zeros",
        peephole_regularizer: RegularizerLike = None,
        peephole_constraint: ConstraintLike = None,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and `peephole`."""
        super().build(input_shape)
        self.peephole = self._add("peephole", (3, self.units))

    def recurrence(self, xW: Tensor, hU: Tensor, c: Tensor) -> LSTMStep:
        """Compute `peephole_step`."""
        return peephole_step(xW, hU, c, self.peephole, *self.activations)


@_register
class LayerNormLSTMCell(LSTMCell):
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
        epsilon: ε, above 0. N is 1/√ε steep at 0, where all begins: the smaller ε, the
            fewer steps without input until gradients overflow.
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

    gain_initializer: keras.initializers.Initializer
    epsilon: float

    def __init__(
        self,
        units: int,
        gain_initializer: InitializerLike = "ones",
        epsilon: float = 1e-3,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias`, and gains and shift."""
        super().build(input_shape)
        n, gain = self.units, self.gain_initializer
        self.kernel_gain = self.add_weight((4 * n,), gain, name="kernel_gain")
        self.recurrent_gain = self.add_weight((4 * n,), gain, name="recurrent_gain")
        self.cell_gain = self.add_weight((n,), gain, name="cell_gain")
        self.cell_bias = (
            self.add_weight((n,), "zeros", name="cell_bias") if self.use_bias else None
        )

    def input_bias(self) -> None:
        """Return None: the bias comes after the normalisation."""

    def project(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        """Compute `N(x·W)∘α_x + b`.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout is on.

        Returns:
            A tensor with `4·units` in the place of `features`.
        """
        xW = super().project(inputs, training)
        return self._normalize(xW, self.kernel_gain, self.bias)

    def recurrence(self, xW: Tensor, hU: Tensor, c: Tensor) -> LSTMStep:
        """Compute `lstm_step`, with N around `h·U` and `c'`."""
        activation, recurrent_activation, output_activation = self.activations
        return lstm_step(
            xW,
            self._normalize(hU, self.recurrent_gain),
            c,
            activation,
            recurrent_activation,
            lambda c: output_activation(
                self._normalize(c, self.cell_gain, self.cell_bias)
            ),
        )

    def _normalize(
        self, a: Tensor, gain: Tensor, shift: Tensor | None = None
    ) -> Tensor:
        made = normalized(a, gain, self.epsilon)
        return made if shift is None else made + shift


@_register
class ProjectedLSTMCell(LSTMCell):
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
        projection_initializer: InitializerLike = "glorot_uniform",
        projection_regularizer: RegularizerLike = None,
        projection_constraint: ConstraintLike = None,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        self.state_size = [self.projection_units, self.units]

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and `projection`."""
        super().build(input_shape)
        self.projection = self._add("projection", (self.units, self.projection_units))

    def recurrence(self, xW: Tensor, hU: Tensor, c: Tensor) -> LSTMStep:
        """Compute `lstm_step`, and its output times P."""
        m, c, gates = super().recurrence(xW, hU, c)
        return ops.matmul(m, self.projection), c, gates


def coupled_step(
    xW: Tensor,
    hU: Tensor,
    c: Tensor,
    activation: Activation = keras.activations.tanh,
    recurrent_activation: Activation = keras.activations.sigmoid,
    output_activation: Activation = keras.activations.tanh,
) -> LSTMStep:
    """Compute one step of a coupled LSTM; see `CoupledLSTMCell`.

    Args:
        xW: `x·W + b`, `(batch, 3·units)`, in the order i, g, o.
        hU: `h·U`, `(batch, 3·units)`.
        c: cell state, `(batch, units)`.
        activation, recurrent_activation, output_activation: see `lstm_step`.

    Returns:
        h' and c', `(batch, units)` each, and the gates.

    Example:
        >>> zeros, ones = ops.zeros((1, 6)), ops.ones((1, 2))
        >>> h, c, gates = coupled_step(zeros, zeros, ones, keras.activations.sigmoid)
        >>> ops.convert_to_numpy(c)
        array([[0.75, 0.75]], dtype=float32)
    """
    z_i, z_g, z_o = ops.split(xW + hU, 3, axis=-1)
    i = recurrent_activation(z_i)
    f = 1 - i
    g = activation(z_g)
    o = recurrent_activation(z_o)
    c = f * c + i * g
    h = o * output_activation(c)
    return h, c, LSTMGates(i, f, g, o)


@_register
class CoupledLSTMCell(LSTMCell):
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

    gates = ("input", "candidate", "output")

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)

    def _whole_bias(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        whole = getattr(self.bias_initializer, "makes_whole_bias", False)
        if not (whole or self.unit_forget_bias):
            return self.bias_initializer(shape, dtype=dtype)
        bias = super()._whole_bias((4 * self.units,), dtype)
        _, b_f, b_g, b_o = ops.split(bias, 4)
        return ops.concatenate([-b_f, b_g, b_o])

    def recurrence(self, xW: Tensor, hU: Tensor, c: Tensor) -> LSTMStep:
        """Compute `coupled_step`."""
        return coupled_step(xW, hU, c, *self.activations)


@_register
class ZoneoutLSTMCell(LSTMCell):
    """One time step of an LSTM with zoneout, with states `[h, c]`:

        z = x·W + h·U + b               i, f, o = σ(z_i), σ(z_f), σ(z_o)
        g = tanh(z_g)
        ĉ = f∘c + i∘g                   ĥ = o∘tanh(ĉ)
        c' = d_c∘c + (1 − d_c)∘ĉ        h' = d_h∘h + (1 − d_h)∘ĥ

    In training d_c and d_h are drawn for every step, unit and sequence: 1 with
    probability `zoneout_cell` and `zoneout_hidden`, else 0. Otherwise they are these
    probabilities, so that c' and h' are expected values.

    D. Krueger et al., "Zoneout: Regularizing RNNs by randomly preserving hidden
    activations", ICLR 2017, https://arxiv.org/abs/1606.01305. The defaults are
    those of its experiments on characters of the Penn Treebank.

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

    def __init__(
        self,
        units: int,
        zoneout_cell: float = 0.5,
        zoneout_hidden: float = 0.05,
        **kwargs: Any,
    ):
        owner = type(self).__name__
        rates = {"zoneout_cell": zoneout_cell, "zoneout_hidden": zoneout_hidden}
        super().__init__(units, **kwargs)
        self.set_options({n: check_rate(owner, n, rate) for n, rate in rates.items()})

    def begin_sequence(
        self, batch_size: BatchSize, training: bool | None = True
    ) -> dict[str, Any]:
        """Draw the dropout masks, and on JAX d_h and d_c in case a loop needs them."""
        drawn: dict[str, Any] = super().begin_sequence(batch_size, training)
        if training is not False and keras.backend.backend() == "jax":
            drawn["held"] = self._draw_held((batch_size, self.units))
        return drawn

    def project(self, inputs: Tensor, training: bool | None = False) -> Nest:
        """Compute `x·W + b`; in training, draw d_h and d_c beside it.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout and zoneout are on.

        Returns:
            A tensor with `4·units` in the place of `features`; in training a pair of
            it and d_h, d_c side by side, `2·units`.
        """
        projected = super().project(inputs, training)
        if not training:
            return projected
        held = (self.drawn or {}).get("held")
        if held is None or len(inputs.shape) == 3:
            held = self._draw_held((*ops.shape(inputs)[:-1], self.units))
        return projected, held

    def step(
        self, projected: Nest, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states: `lstm_step`, and what to hold.

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
            projected, held = projected
            d_h, d_c = ops.split(held, 2, axis=-1)
        _, (new_h, new_c) = super().step(projected, states, training)
        h = d_h * h + (1 - d_h) * new_h
        c = d_c * c + (1 - d_c) * new_c
        return h, [h, c]

    def _draw_held(self, shape: tuple[Any, ...]) -> Tensor:
        """Draw d_h and d_c, each of this shape, side by side."""
        masks = [
            keras.random.uniform(shape, seed=self.seed_generator) < rate
            for rate in (self.zoneout_hidden, self.zoneout_cell)
        ]
        return ops.cast(ops.concatenate(masks, axis=-1), self.compute_dtype)


@_register
class CarouselLSTMCell(LSTMCell):
    """One time step of an LSTM of which some units add up exactly, `[h, c]`:

        z = x·W + h·U + b               i, f, o = σ(z_i), σ(z_f), σ(z_o)
        c' = f∘c + i∘tanh(z_g)          h' = o∘tanh(c')          y = c' of the carousels

    with σ the hard sigmoid, 0 below −3 and 1 above 3. It is an LSTM in all but what it
    gives out and how it is begun: the first units, the constant error carousels of
    Hochreiter and Schmidhuber, have f = 1 and o = 0 whatever the input, as z_f = 8 and
    z_o = −8 there. σ is flat at both, so that training leaves them so. Their c is a sum
    over all steps, without loss, and no gate sees it: i∘tanh(z_g) is learned at few
    steps and holds at any number. The other units, which forget, learn when and with
    which sign to add. Each begins with −4 from its h to its own candidate, so that it
    swings: from there, signs that alternate are found with every seed that was tried,
    and one in eight does not find them else. A linear layer without a bias reads the
    sums from y.

    Args:
        units: width of h and c.
        carousels: how many of them add up, the first; by default half.
        recurrent_activation: σ. One that is nowhere flat adds up with a loss.
        **kwargs: the other arguments of `LSTMCell`; `unit_forget_bias` has no effect.
            The other units begin with a forget bias of −1 beside `bias_initializer`.

    Raises:
        ValueError: if an argument is out of range, or `use_bias` is False.

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997,
    https://doi.org/10.1162/neco.1997.9.8.1735. Units that add are studied in NALU
    (https://arxiv.org/abs/1808.00508), NAU (https://arxiv.org/abs/2001.05016) and
    MC-LSTM (https://arxiv.org/abs/2101.05186).

    Example:
        >>> from custom_lstm import RNN
        >>> layer = RNN(CarouselLSTMCell(6, carousels=4), return_sequences=True)
        >>> tuple(layer(ops.ones((2, 5, 3))).shape)
        (2, 5, 4)
    """

    carousels: int

    def __init__(
        self,
        units: int,
        carousels: int | None = None,
        recurrent_activation: ActivationLike = "hard_sigmoid",
        **kwargs: Any,
    ):
        super().__init__(units, recurrent_activation=recurrent_activation, **kwargs)
        owner = type(self).__name__
        carousels = max(1, self.units // 2) if carousels is None else carousels
        if not self.use_bias:
            raise ValueError(
                f"{owner}: carousels need a bias. Received: use_bias=False"
            )
        check_positive(owner, "carousels", carousels, whole=True)
        if carousels > self.units:
            raise ValueError(
                f"{owner}: `carousels` must be at most `units`, {self.units}. "
                f"Received: carousels={carousels}"
            )
        self.set_options({"carousels": carousels})
        self.output_size = self.carousels

    @property
    def recurrent_size(self) -> int:
        """Width of h."""
        return self.units

    def _initial(self, kind: str) -> InitializerLike:
        make = keras.initializers.get(getattr(self, f"{kind}_initializer"))
        units = np.arange(self.units)
        shut = (units < self.carousels) & np.array([[0], [1], [0], [1]], bool)
        bias = np.array([[0.0], [8.0], [0.0], [-8.0]]) * shut
        bias[1, self.carousels :] = _CONTROL_FORGET_BIAS
        feedback = np.zeros((self.units, 4, self.units))
        control = units[self.carousels :]
        feedback[control, 2, control] = _CONTROL_FEEDBACK
        own = {"bias": bias.ravel(), "recurrent": feedback.reshape(self.units, -1)}

        def initial(shape: Shape, dtype: DType | None = None) -> Tensor:
            made = make(shape, dtype=dtype)
            made = made * ops.cast(~shut.ravel(), made.dtype)
            return made + ops.cast(own.get(kind, 0.0), made.dtype)

        return initial

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states: `lstm_step`.

        Args:
            projected: what `project` returned, `(batch, 4·units)`.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            c' of the carousels, `(batch, carousels)`, and `[h', c']`.
        """
        _, (h, c) = super().step(projected, states, training)
        return c[:, : self.carousels], [h, c]
