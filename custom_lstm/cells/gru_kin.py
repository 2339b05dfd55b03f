"""Kin of the gated recurrent unit from the literature: cells with gates and one state.

Each is written from its paper; where published implementations differ from it, the
cell says so.
"""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.gated import GatedUnitCell
from custom_lstm.cells.validation import check_choice, check_flag, check_number
from custom_lstm.typing import ActivationLike, Shape, States, Tensor

_register = keras.saving.register_keras_serializable(package="custom_lstm")


@_register
class MGUCell(GatedUnitCell):
    """One time step of a minimal gated unit, with state `[h]`:

        f = σ(x·W_f + h·U_f + b_f)          g = tanh(x·W_g + (f∘h)·U_g + b_g)
        h' = (1 − f)∘h + f∘g

    G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, "Minimal gated unit for recurrent
    neural networks", 2016, https://arxiv.org/abs/1603.09420. Its variants have a
    smaller f (J. Heck and F. M. Salem, "Simplified minimal gated unit variations for
    recurrent neural networks", 2017, https://arxiv.org/abs/1701.03452):

        MGU1: f = σ(h·U_f + b_f)     MGU2: f = σ(h·U_f)     MGU3: f = σ(b_f)

    Args:
        units: width of h.
        variant: 0, or 1, 2, 3 for MGU1, MGU2, MGU3.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 2·units)`,
            `recurrent_kernel (units, 2·units)` and `bias (2·units,)` hold f, g in that
            order; what f lacks, they lack.

    Raises:
        ValueError: if an argument is out of range, or variant 3 has no bias.

    Example:
        >>> cell = MGUCell(4, variant=2)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 4), (4, 8), (4,)]
    """

    gates = ("forget", "candidate")
    variant: int

    def __init__(self, units: int, variant: int = 0, **kwargs: Any):
        super().__init__(units, **kwargs)
        check_choice(type(self).__name__, "variant", variant, (0, 1, 2, 3))
        if variant == 3 and not self.use_bias:
            raise ValueError(
                f"{type(self).__name__}: variant 3 has a bias for its only gate. "
                "Received: use_bias=False"
            )
        self.set_options({"variant": int(variant)})

    @property
    def input_gates(self) -> tuple[str, ...]:
        """Both, or the candidate alone."""
        return self.gates[self.variant > 0 :]

    @property
    def recurrent_gates(self) -> tuple[str, ...]:
        """Both, or the candidate alone."""
        return self.gates[self.variant == 3 :]

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(2·units,)`, or `(units,)` of variant 2."""
        return (self.units if self.variant == 2 else 2 * self.units,)

    def input_bias(self) -> Tensor | None:
        """Return b of the gates that see the inputs, or None."""
        of_both = self.use_bias and self.variant in (1, 3)
        return self.bias[self.units :] if of_both else self.bias

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        x_g, z_f = projected, ops.zeros_like(h)
        if self.variant == 0:
            z_f, x_g = ops.split(projected, 2, axis=-1)
        elif self.variant != 2 and self.use_bias:
            z_f = z_f + self.bias[: self.units]
        if self.variant != 3:
            z_f = z_f + self.recur(h, training, ("forget",))
        f = self.recurrent_activation(z_f)
        g = self.activation(x_g + self.recur(f * h, training, ("candidate",)))
        self.observe(forget=f, candidate=g)
        h = (1 - f) * h + f * g
        return h, [h]


@_register
class UGRNNCell(GatedUnitCell):
    """One time step of an update gate recurrent network, with state `[h]`:

        z = σ(x·W_z + h·U_z + b_z)          g = tanh(x·W_g + h·U_g + b_g)
        h' = z∘h + (1 − z)∘g

    J. Collins, J. Sohl-Dickstein and D. Sussillo, "Capacity and trainability in
    recurrent neural networks", ICLR 2017, https://arxiv.org/abs/1611.09913.

    Args:
        units: width of h.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 2·units)`,
            `recurrent_kernel (units, 2·units)` and `bias (2·units,)` hold z, g.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = UGRNNCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 8))
    """

    gates = ("update", "candidate")

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        z_z, z_g = ops.split(projected + self.recur(h, training), 2, axis=-1)
        z, g = self.recurrent_activation(z_z), self.activation(z_g)
        self.observe(update=z, candidate=g)
        h = z * h + (1 - z) * g
        return h, [h]


@_register
class LiGRUCell(UGRNNCell):
    """One time step of a light gated recurrent unit, with state `[h]`:

        z = σ(x·W_z + h·U_z + b_z)          g = relu(x·W_g + h·U_g + b_g)
        h' = z∘h + (1 − z)∘g

    M. Ravanelli, P. Brakel, M. Omologo and Y. Bengio, "Light gated recurrent units for
    speech recognition", 2018, https://arxiv.org/abs/1803.10225. The paper normalises
    x·W over the batch, in place of b; as that makes sequences depend on each other, it
    is left out here. A trained normalisation is a part of W and b.

    Args:
        units: width of h.
        activation: relu of the candidate, which bounds nothing: h may grow.
        **kwargs: the other arguments of `GatedUnitCell`; weights as in `UGRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LiGRUCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), bool(ops.all(output >= 0))
        ((2, 4), True)
    """

    def __init__(self, units: int, activation: ActivationLike = "relu", **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)


@_register
class JANETCell(GatedUnitCell):
    """One time step of a JANET, an LSTM with a forget gate alone, with state `[h]`:

        s = x·W_f + h·U_f + b_f             g = tanh(x·W_g + h·U_g + b_g)
        h' = σ(s)∘h + (1 − σ(s − β))∘g

    J. van der Westhuizen and J. Lasenby, "The unreasonable effectiveness of the forget
    gate", 2018, https://arxiv.org/abs/1804.04849. They begin with biases for memories
    of all lengths: `bias_initializer=Chrono(max_steps, cell="janet")`. β is a constant
    of the paper; torchrecurrent learns it.

    Args:
        units: width of h.
        beta: β; above 0, more comes in than is forgotten.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 2·units)`,
            `recurrent_kernel (units, 2·units)` and `bias (2·units,)` hold f, g.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = JANETCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 8))
    """

    gates = ("forget", "candidate")
    beta: float

    def __init__(self, units: int, beta: float = 1.0, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.set_options({"beta": check_number(type(self).__name__, "beta", beta)})

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        s, z_g = ops.split(projected + self.recur(h, training), 2, axis=-1)
        f, g = self.recurrent_activation(s), self.activation(z_g)
        i = 1 - self.recurrent_activation(s - self.beta)
        self.observe(forget=f, input=i, candidate=g)
        h = f * h + i * g
        return h, [h]


@_register
class STARCell(GatedUnitCell):
    """One time step of a stackable recurrent cell, with state `[h]`:

        k = σ(x·W_k + h·U_k + b_k)          g = tanh(x·W_g + b_g)
        h' = tanh((1 − k)∘h + k∘g)

    M. O. Turkoglu, S. D'Aronco, J. D. Wegner and K. Schindler, "Gating revisited: Deep
    multi-layer RNNs that can be trained", 2019, https://arxiv.org/abs/1911.11033.

    Args:
        units: width of h.
        activation: tanh, in g and in h'.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 2·units)`
            and `bias (2·units,)` hold k, g, `recurrent_kernel (units, units)` k alone.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = STARCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.recurrent_kernel.shape)
        ((2, 4), (4, 4))
    """

    gates = ("update", "candidate")
    recurrent_gates = ("update",)

    def __init__(self, units: int, activation: ActivationLike = "tanh", **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        x_k, x_g = ops.split(projected, 2, axis=-1)
        k = self.recurrent_activation(x_k + self.recur(h, training))
        g = self.activation(x_g)
        self.observe(update=k, candidate=g)
        h = self.activation((1 - k) * h + k * g)
        return h, [h]


class _DirectInputCell(GatedUnitCell):
    """A cell with gates z, r, g, one of which the paper shows x itself, without W."""

    gates = ("update", "reset", "candidate")
    direct_input: bool
    _direct: str

    def __init__(self, units: int, direct_input: bool = False, **kwargs: Any):
        super().__init__(units, **kwargs)
        flag = check_flag(type(self).__name__, "direct_input", direct_input)
        self.set_options({"direct_input": flag})

    @property
    def input_gates(self) -> tuple[str, ...]:
        """All, or all but the one that sees x itself."""
        kept = [g for g in self.gates if g != self._direct or not self.direct_input]
        return tuple(kept)

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel` and `bias`."""
        if self.direct_input and input_shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__}: with `direct_input` the inputs must have as "
                f"many features as `units`, {self.units}. Received shape: "
                f"{tuple(input_shape)}"
            )
        super().build(input_shape)

    def input_bias(self) -> Tensor | None:
        """Return None: `of_gates` adds b."""
        return None

    def of_gates(self, inputs: Tensor, training: bool | None) -> dict[str, Tensor]:
        """Return `x·W`, or x, by gate."""
        xW = GatedUnitCell.project(self, inputs, training)
        parts = ops.split(xW, len(self.input_gates), axis=-1)
        return {self._direct: inputs, **dict(zip(self.input_gates, parts, strict=True))}

    def project(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        """Compute `x·W + b`, side by side z, r, g; dropout leaves x itself alone."""
        x = self.of_gates(inputs, training)
        projected = ops.concatenate([x[gate] for gate in self.gates], axis=-1)
        return projected + self.bias if self.use_bias else projected

    def _step(
        self, projected: Tensor, h: Tensor, h_z: Tensor | float, training: bool | None
    ) -> tuple[Tensor, States]:
        """Compute h' of all three, given what z sees of h."""
        x_z, x_r, x_g = ops.split(projected, 3, axis=-1)
        z = self.recurrent_activation(x_z + h_z)
        r = self.recurrent_activation(x_r + self.recur(h, training, ("reset",)))
        g = self.activation(x_g + self.recur(r * h, training, ("candidate",)))
        self.observe(update=z, reset=r, candidate=g)
        h = (1 - z) * h + z * g
        return h, [h]


@_register
class MUT1Cell(_DirectInputCell):
    """One time step of the first mutated gated recurrent unit, with state `[h]`:

        z = σ(x·W_z + b_z)                  r = σ(x·W_r + h·U_r + b_r)
        g = tanh(tanh(x·W_g) + (r∘h)·U_g + b_g)
        h' = (1 − z)∘h + z∘g

    R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
    network architectures", ICML 2015, https://proceedings.mlr.press/v37/jozefowicz15:
    the best of ten thousand that an evolution found. The paper has x itself in place of
    x·W_g; as in other implementations there is a matrix, unless `direct_input`.

    Args:
        units: width of h.
        direct_input: whether there is no W_g; x must then be as wide as h.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 3·units)`
            and `bias (3·units,)` hold z, r, g, `recurrent_kernel (units, 2·units)`
            r, g.

    Raises:
        ValueError: if an argument is out of range, or x is not as wide as h.

    Example:
        >>> cell = MUT1Cell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 12), (4, 8), (12,)]
    """

    recurrent_gates = ("reset", "candidate")
    _direct = "candidate"

    def __init__(self, units: int, direct_input: bool = False, **kwargs: Any):
        super().__init__(units, direct_input, **kwargs)

    def of_gates(self, inputs: Tensor, training: bool | None) -> dict[str, Tensor]:
        """Return `x·W` by gate, tanh of it for the candidate."""
        x = super().of_gates(inputs, training)
        return {**x, "candidate": self.activation(x["candidate"])}

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        return self._step(projected, states[0], 0.0, training)


@_register
class MUT2Cell(_DirectInputCell):
    """One time step of the second mutated gated recurrent unit, with state `[h]`:

        z = σ(x·W_z + h·U_z + b_z)          r = σ(x·W_r + h·U_r + b_r)
        g = tanh(x·W_g + (r∘h)·U_g + b_g)
        h' = (1 − z)∘h + z∘g

    R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
    network architectures", ICML 2015, https://proceedings.mlr.press/v37/jozefowicz15.
    The paper has x itself in place of x·W_r. As in other implementations there is a
    matrix, unless `direct_input`: the cell is then a GRU with `reset_after=False` in
    which z and 1 − z have changed places.

    Args:
        units: width of h.
        direct_input: whether there is no W_r; x must then be as wide as h.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 3·units)`,
            `recurrent_kernel (units, 3·units)` and `bias (3·units,)` hold z, r, g.

    Raises:
        ValueError: if an argument is out of range, or x is not as wide as h.

    Example:
        >>> cell = MUT2Cell(3, direct_input=True)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 3), (3, 6))
    """

    _direct = "reset"

    def __init__(self, units: int, direct_input: bool = False, **kwargs: Any):
        super().__init__(units, direct_input, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        return self._step(projected, h, self.recur(h, training, ("update",)), training)


@_register
class MUT3Cell(GatedUnitCell):
    """One time step of the third mutated gated recurrent unit, with state `[h]`:

        z = σ(x·W_z + tanh(h)·U_z + b_z)    r = σ(x·W_r + h·U_r + b_r)
        g = tanh(x·W_g + (r∘h)·U_g + b_g)
        h' = (1 − z)∘h + z∘g

    R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
    network architectures", ICML 2015, https://proceedings.mlr.press/v37/jozefowicz15.

    Args:
        units: width of h.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 3·units)`,
            `recurrent_kernel (units, 3·units)` and `bias (3·units,)` hold z, r, g.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = MUT3Cell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 12))
    """

    gates = ("update", "reset", "candidate")

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        x_z, x_r, x_g = ops.split(projected, 3, axis=-1)
        h_z = self.recur(self.activation(h), training, ("update",))
        z = self.recurrent_activation(x_z + h_z)
        r = self.recurrent_activation(x_r + self.recur(h, training, ("reset",)))
        g = self.activation(x_g + self.recur(r * h, training, ("candidate",)))
        self.observe(update=z, reset=r, candidate=g)
        h = (1 - z) * h + z * g
        return h, [h]
