"""Cells to which the time between two inputs matters."""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.continuous import uniform
from custom_lstm.cells.gated import GatedCell
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import (
    check_choice,
    check_flag,
    check_number,
    check_positive,
    own_arguments,
)
from custom_lstm.typing import (
    ActivationLike,
    DType,
    Shape,
    States,
    Tensor,
)

_register = keras.saving.register_keras_serializable(package="custom_lstm")


class TimedCell(GatedCell):
    """Base of cells whose last feature is a time, if they are `timed`.

    `project` returns a list of what it returns otherwise and the time, `(batch, 1)` or
    `(batch, time, 1)`; of 1 if there is none.
    """

    timed: bool

    def build(self, input_shape: Shape) -> None:
        """Build what sees the features but the time."""
        check_flag(type(self).__name__, "timed", self.timed)
        features = input_shape[-1]
        if self.timed and features is not None and len(input_shape) == 2:
            if features < 2:
                raise ValueError(
                    f"{type(self).__name__}: with `timed=True` the last feature is the "
                    "time, and there must be others before it. Received shape: "
                    f"{tuple(input_shape)}"
                )
            input_shape = (input_shape[0], features - 1)
        super().build(input_shape)

    def check_features(self, shape: Shape) -> None:
        """Raise a ValueError unless inputs have the features the cell knows."""
        if shape[-1] is not None and self.timed:
            shape = (*shape[:-1], shape[-1] + 1)
        known = self.kernel.shape[0] + self.timed
        if shape[-1] != known:
            raise ValueError(
                f"{type(self).__name__} was built for {known} features. Received "
                f"inputs of shape {tuple(shape)}"
            )

    def project(self, inputs: Tensor, training: bool | None = False) -> list[Tensor]:
        """Project the features; return the time beside them.

        Args:
            inputs: `(batch, features)` or `(batch, time, features)`.
            training: whether dropout is on.

        Returns:
            What the class around this one returns, and the time.
        """
        if self.timed:
            features = inputs.shape[-1] - 1
            inputs, time = inputs[..., :features], inputs[..., features:]
        else:
            time = ops.ones_like(inputs[..., :1])
        projected = super().project(inputs, training)
        return [projected, ops.cast(time, projected.dtype)]


@_register
def lecun_tanh(x: Tensor) -> Tensor:
    """Return 1.7159·tanh(0.666·x): the activation of CfC's backbone."""
    return 1.7159 * ops.tanh(0.666 * x)


@_register
class CfCCell(TimedCell, SimpleRNNCell):
    """One time step of a closed-form continuous-time network, with state `[h]`:

        y = φ(x·W + h·U + b)                    φ(a) = 1.7159·tanh(0.666·a)
        g, k = tanh(y·V_g + d_g), tanh(y·V_k + d_k)
        s = σ(Δt·(y·V_a + d_a) + y·V_b + d_b)   h' = (1 − s)∘g + s∘k

    R. Hasani, M. Lechner, A. Amini, L. Liebenwein, A. Ray, M. Tschaikowski, G. Teschl
    and D. Rus, "Closed-form continuous-time neural networks", Nature Machine
    Intelligence 4 (2022), https://arxiv.org/abs/2106.13898. They write σ(−Δt·f) for
    1 − s; s with two maps of y, and its sign, are those of the authors' package, ncps.

    Args:
        units: width of h.
        backbone_units: width of y.
        activation: φ.
        mode: "default"; "no_gate", h' = g + s∘k; or "pure", their solution of the
            linear equation, h' = A − A∘exp(−Δt·(|w| + |q|))∘q with q = y·V + d.
        timed: whether the last feature of x is Δt, and not part of x. Otherwise Δt is
            1.
        **kwargs: the other arguments of `SimpleRNNCell`. Weights are `kernel (features,
            backbone_units)`, `recurrent_kernel (units, backbone_units)`, `bias
            (backbone_units,)`, and `head_kernel (backbone_units, 4·units)` and
            `head_bias (4·units,)` in the order g, k, a, b; in the mode "pure" one of
            units in the place of four, and `decay` and `limit (units,)`: w and A.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = CfCCell(4, backbone_units=6, timed=True)
        >>> x_and_time = ops.ones((2, 3 + 1))
        >>> output, (h,) = cell(x_and_time, cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.head_kernel.shape)
        ((2, 4), (6, 16))
    """

    short_name = "cfc"
    gates = ("backbone",)
    backbone_units: int
    mode: str

    def __init__(
        self,
        units: int,
        backbone_units: int = 128,
        activation: ActivationLike = lecun_tanh,
        mode: str = "default",
        timed: bool = False,
        **kwargs: Any,
    ):
        super().__init__(units, activation=activation, **kwargs)
        self.set_options(own_arguments(locals()))
        check_choice(type(self).__name__, "mode", mode, ("default", "no_gate", "pure"))

    @property
    def gate_width(self) -> int:
        """Width of y."""
        return self.backbone_units

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """`(units, backbone_units)`."""
        return self.units, self.backbone_units

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(backbone_units,)`."""
        return (self.backbone_units,)

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias`, and the heads."""
        super().build(input_shape)
        n, heads = self.units, 1 if self.mode == "pure" else 4
        self.head_kernel = self.add_weight(
            (self.backbone_units, heads * n),
            self.kernel_initializer,
            name="head_kernel",
        )
        self.head_bias = self.add_weight((heads * n,), "zeros", name="head_bias")
        if self.mode == "pure":
            decay = keras.initializers.Constant(0.1)  # at 0, |w| has no slope
            self.decay = self.add_weight((n,), decay, name="decay")
            self.limit = self.add_weight((n,), "ones", name="limit")

    def step(
        self, projected: list[Tensor], states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state.

        Args:
            projected: `x·W + b`, `(batch, backbone_units)`, and Δt, `(batch, 1)`.
            states: `[h]`, `(batch, units)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h']`.
        """
        (xW, dt), (h,) = projected, states
        y = self.activation(xW + self.recur(h, training))
        heads = ops.matmul(y, self.head_kernel) + self.head_bias
        h = self._pure(heads, dt) if self.mode == "pure" else self._gated(heads, dt)
        return h, [h]

    def _gated(self, heads: Tensor, dt: Tensor) -> Tensor:
        z_g, z_k, z_a, z_b = ops.split(heads, 4, axis=-1)
        g, k = ops.tanh(z_g), ops.tanh(z_k)
        s = ops.sigmoid(dt * z_a + z_b)
        self.observe(candidate=g, target=k, gate=s)
        return g + s * k if self.mode == "no_gate" else (1 - s) * g + s * k

    def _pure(self, q: Tensor, dt: Tensor) -> Tensor:
        A, w = ops.convert_to_tensor(self.limit), ops.convert_to_tensor(self.decay)
        return A - A * ops.exp(-dt * (ops.abs(w) + ops.abs(q))) * q


@_register
class LTCCell(TimedCell):
    """One time step of a liquid time-constant network, with state `[h]`:

        c·dh/dt = g∘(e − h) + Σ_j w_j∘σ(s_j∘(h_j − m_j))∘(E_j − h) + the same of x

    in `unfolds` steps, from h to h', of a method that is half implicit. R. Hasani,
    M. Lechner, A. Amini, D. Rus and R. Grosu, "Liquid time-constant networks", AAAI
    2021, https://arxiv.org/abs/2006.04439, with the synapses, all to all, and the
    affine map of the inputs of the authors' package, ncps.

    Args:
        units: width of h, the potentials.
        unfolds: steps of the solver in one step.
        timed: whether the last feature of x is the time of a step, and not part of x.
            Otherwise it is 1.
        epsilon: added to what is divided by, above 0.
        dropout: fraction of the inputs to drop, in [0, 1).
        seed: of the dropout masks.
        **kwargs: `name`, `dtype`, `trainable`. Weights are `input_scale`, `input_shift
            (features,)`; `leak` g, `leak_potential` e and `capacitance` c, `(units,)`;
            and `kernel` w, `slope` s, `centre` m, `reversal` E of the synapses of x,
            `(features, units)`, and, with "recurrent_" before their names, of h,
            `(units, units)`. Those that must not be negative are constrained so.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LTCCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), len(cell.weights)
        ((2, 4), 13)
    """

    short_name = "ltc"
    recurrent_dropout = 0.0
    gates = ("potential",)
    unfolds: int
    epsilon: float

    def __init__(
        self,
        units: int,
        unfolds: int = 6,
        timed: bool = False,
        epsilon: float = 1e-8,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__({"seed": seed, **own_arguments(locals())}, **kwargs)
        check_positive(type(self).__name__, "unfolds", unfolds, whole=True)

    def _add_weights(self, features: int) -> None:
        """Add the weights of the inputs, the neurons and the synapses."""
        add, n = self.add_weight, self.units
        self.input_scale = add((features,), "ones", name="input_scale")
        self.input_shift = add((features,), "zeros", name="input_shift")
        for name, (drawn, constraint) in _NEURON.items():
            weight = add((n,), drawn, name=name, constraint=constraint)
            setattr(self, name, weight)
        for of, width in ("", features), ("recurrent_", n):
            for name, (drawn, constraint) in _SYNAPSES.items():
                weight = add((width, n), drawn, name=of + name, constraint=constraint)
                setattr(self, of + name, weight)

    def product(self, x: Tensor, kernel: Tensor, masks: Any) -> Tensor:
        """Scale and shift the inputs: what comes next is not linear in them."""
        x = x if masks is None else x * _beside_steps(masks[0], x)
        return x * self.input_scale + self.input_shift

    def input_bias(self) -> None:
        """Return None."""

    def step(self, projected: list[Tensor], states: States) -> tuple[Tensor, States]:
        """Compute what needs the state.

        Args:
            projected: scaled inputs, `(batch, features)`, and the time, `(batch, 1)`.
            states: `[h]`, `(batch, units)`.

        Returns:
            h', and `[h']`.
        """
        (x, time), (h,) = projected, states
        drive, conductance = self._synapses(x, "")
        c = self.capacitance / (time / self.unfolds)
        for _ in range(self.unfolds):
            inner, open_now = self._synapses(h, "recurrent_")
            h = c * h + self.leak * self.leak_potential + inner + drive
            h = h / (c + self.leak + open_now + conductance + self.epsilon)
        return h, [h]

    def _synapses(self, v: Tensor, of: str) -> tuple[Tensor, Tensor]:
        """Return Σ w∘σ(s∘(v − m))∘E and Σ w∘σ(s∘(v − m)) over what comes before."""
        w, s, m, E = (getattr(self, of + name) for name in _SYNAPSES)
        opened = w * ops.sigmoid(s * (ops.expand_dims(v, -1) - m))
        return ops.sum(opened * E, axis=1), ops.sum(opened, axis=1)


_SYNAPSES: dict[str, Any] = {
    "kernel": (uniform(0.001, 1.0), "non_neg"),
    "slope": (uniform(3.0, 8.0), None),
    "centre": (uniform(0.3, 0.8), None),
    "reversal": ({"class_name": "custom_lstm>Signs", "config": {}}, None),
}
_NEURON: dict[str, Any] = {
    "leak": (uniform(0.001, 1.0), "non_neg"),
    "leak_potential": (uniform(-0.2, 0.2), None),
    "capacitance": (uniform(0.4, 0.6), "non_neg"),
}
"""What weights of `LTCCell` are drawn from, as ncps draws them, and constraints."""


def _beside_steps(mask: Tensor, x: Tensor) -> Tensor:
    return ops.expand_dims(mask, 1) if len(x.shape) == 3 else mask


@_register
class PhasedLSTMCell(TimedCell, LSTMCell):
    """One time step of a phased LSTM, with states `[h, c, t]`:

        φ = ((t − s) mod τ)/τ       k = 2φ/r where φ < r/2, 2 − 2φ/r where φ < r,
                                    αφ elsewhere
        h̃, c̃ = the step of an `LSTMCell` from h and c
        c' = k∘c̃ + (1 − k)∘c        h' = k∘h̃ + (1 − k)∘h        t' = t + 1

    D. Neil, M. Pfeiffer and S.-C. Liu, "Phased LSTM: Accelerating recurrent network
    training for long or event-based sequences", NIPS 2016,
    https://arxiv.org/abs/1610.09513: each unit oscillates, with a period and a shift,
    and changes while it is open. Without the paper's peepholes, as was TensorFlow's.

    Args:
        units: width of h and c.
        timed: whether the last feature of x is t, and not part of x. Then there is no
            state t, which counts the steps from 0.
        open_ratio: r, in (0, 1].
        leak: α, at least 0.
        max_period: τ is drawn from 1 to this, uniformly in log τ; above 1.
        **kwargs: the other arguments of `LSTMCell`. There are weights `period` and
            `shift (units,)` besides.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = PhasedLSTMCell(4)
        >>> output, (h, c, t) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), ops.convert_to_numpy(t).tolist()
        ((2, 4), [[1.0], [1.0]])
    """

    timed: bool
    open_ratio: float
    leak: float
    max_period: float

    def __init__(
        self,
        units: int,
        timed: bool = False,
        open_ratio: float = 0.05,
        leak: float = 0.001,
        max_period: float = 1000.0,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        owner = type(self).__name__
        check_positive(owner, "open_ratio", open_ratio)
        check_number(owner, "open_ratio", open_ratio, below=1 + 1e-9)
        check_number(owner, "leak", leak, 0)
        check_number(owner, "max_period", max_period, 1 + 1e-9)
        self.state_size = [self.units, self.units] + [1] * (not self.timed)
        self.state_names = ("h", "c", "t")[: len(self.state_size)]

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias`, `period` and `shift`."""
        super().build(input_shape)
        shape = (self.units,)
        self.period = self.add_weight(shape, self._periods, name="period")
        self.shift = self.add_weight(shape, self._shifts, name="shift")

    def _periods(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        longest = float(np.log(self.max_period))
        return ops.exp(keras.random.uniform(shape, 0.0, longest, dtype=dtype))

    def _shifts(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        return self.period * keras.random.uniform(shape, dtype=dtype)

    def openness(self, t: Tensor) -> Tensor:
        """Return k, `(batch, units)`, at the times t, `(batch, 1)`."""
        period = ops.convert_to_tensor(self.period)
        phase, r = ops.mod(t - self.shift, period) / period, self.open_ratio
        rising, falling = 2 * phase / r, 2 - 2 * phase / r
        opened = ops.where(phase < r / 2, rising, falling)
        return ops.where(phase < r, opened, self.leak * phase)

    def step(
        self, projected: list[Tensor], states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, 4·units)`, and t, `(batch, 1)`.
            states: `[h, c, t]`, or, if it is `timed`, `[h, c]`.
            training: whether recurrent dropout is on.

        Returns:
            h', and the new states.
        """
        (xW, time), (h, c, *count) = projected, states
        hU = self.recur(h, training)
        h_open, c_open, gates = self.recurrence(xW, hU, c)
        k = self.openness(count[0] if count else time)
        h, c = k * h_open + (1 - k) * h, k * c_open + (1 - k) * c
        self.observe(**gates._asdict(), openness=k)
        return h, [h, c, *(t + 1 for t in count)]
