"""Kin of the long short-term memory from the literature, and cells as deep as it is.

Each is written from its paper; where published implementations differ from it, the
cell says so.
"""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.gated import GatedUnitCell
from custom_lstm.cells.lstm import LSTMCell, LSTMGates, LSTMStep, lstm_step
from custom_lstm.cells.validation import check_flag, check_positive, own_arguments
from custom_lstm.typing import (
    Activation,
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
    States,
    Tensor,
)

_register = keras.saving.register_keras_serializable(package="custom_lstm")


@_register
class OriginalLSTMCell(GatedUnitCell):
    """One time step of the LSTM of 1997, without a forget gate, with states `[h, c]`:

        z = x·W + h·U + b           i, o = σ(z_i), σ(z_o)       g = tanh(z_g)
        c' = c + i∘g                h' = o∘tanh(c')

    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9
    (1997), https://doi.org/10.1162/neco.1997.9.8.1735. The paper has 2·tanh(z_g/2) in g
    and tanh(c'/2) in h', and cuts gradients where they leave a cell; here, as in other
    implementations, both are tanh, and gradients are whole.

    Args:
        units: width of h and c.
        output_activation: tanh of c' in h'; None is linear.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 3·units)`,
            `recurrent_kernel (units, 3·units)` and `bias (3·units,)` hold i, g, o.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = OriginalLSTMCell(4)
        >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 12))
    """

    gates = ("input", "candidate", "output")
    state_names = ("h", "c")
    output_activation: Activation

    def __init__(
        self, units: int, output_activation: ActivationLike = "tanh", **kwargs: Any
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        self.state_size = [self.units, self.units]

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states; see the class."""
        h, c = states
        z_i, z_g, z_o = ops.split(projected + self.recur(h, training), 3, axis=-1)
        i, o = map(self.recurrent_activation, (z_i, z_o))
        g = self.activation(z_g)
        self.observe(input=i, candidate=g, output=o)
        c = c + i * g
        h = o * self.output_activation(c)
        return h, [h, c]


@_register
class MultiplicativeLSTMCell(LSTMCell):
    """One time step of a multiplicative LSTM, with states `[h, c]`:

        m = (x·W_m)∘(h·U)
        z = x·W + m·V + b           i, f, o = σ(z_i), σ(z_f), σ(z_o)    g = tanh(z_g)
        c' = f∘c + i∘g              h' = o∘tanh(c')

    B. Krause, L. Lu, I. Murray and S. Renals, "Multiplicative LSTM for sequence
    modelling", 2016, https://arxiv.org/abs/1609.07959: every input has a recurrent
    matrix of its own. Some implementations have h' = tanh(o∘c'): `squash_after`. Some
    add biases to both factors of m.

    Args:
        units: width of h and c.
        squash_after: whether tanh comes after the output gate.
        multiplicative_initializer: of `multiplicative (units, 4·units)`, V.
        multiplicative_regularizer: penalty on `multiplicative`.
        multiplicative_constraint: projection of `multiplicative` after each update.
        **kwargs: the other arguments of `LSTMCell`. `kernel (features, 5·units)` holds
            i, f, g, o, m, `recurrent_kernel (units, units)` is U.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = MultiplicativeLSTMCell(4)
        >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 20), (4, 4), (16,), (4, 16)]
    """

    gates = (*LSTMGates._fields, "multiplier")
    recurrent_gates = ("multiplier",)
    squash_after: bool

    def __init__(
        self,
        units: int,
        squash_after: bool = False,
        multiplicative_initializer: InitializerLike = "orthogonal",
        multiplicative_regularizer: RegularizerLike = None,
        multiplicative_constraint: ConstraintLike = None,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and `multiplicative`."""
        super().build(input_shape)
        self.multiplicative = self._add("multiplicative", (self.units, 4 * self.units))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(4·units,)`."""
        return (4 * self.units,)

    def input_bias(self) -> Tensor | None:
        """Return b, and zeros for m, or None."""
        return ops.pad(self.bias, [(0, self.units)]) if self.use_bias else None

    def recurrence(self, xW: Tensor, hU: Tensor, c: Tensor) -> LSTMStep:
        """Compute `lstm_step` with m in the place of h."""
        of_gates = 4 * self.units
        mV = ops.matmul(xW[..., of_gates:] * hU, self.multiplicative)
        h, c, gates = lstm_step(xW[..., :of_gates], mV, c, *self.activations)
        if self.squash_after:
            h = self.activations[2](gates.output * c)
        return h, c, gates


@_register
class RANCell(GatedUnitCell):
    """One time step of a recurrent additive network, with states `[h, c]`:

        i, f = σ(x·W + h·U + b)             g = x·W_g
        c' = i∘g + f∘c                      h' = tanh(c')

    K. Lee, O. Levy and L. Zettlemoyer, "Recurrent additive networks", 2017,
    https://arxiv.org/abs/1705.07393: c is a weighted sum of the inputs.

    Args:
        units: width of h and c.
        activation: tanh of c' in h'; linear in the paper's second form.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 3·units)`
            holds i, f, g, `recurrent_kernel (units, 2·units)` and `bias (2·units,)`
            i, f.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = RANCell(4)
        >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 12), (4, 8), (8,)]
    """

    gates = ("input", "forget", "candidate")
    recurrent_gates = ("input", "forget")
    state_names = ("h", "c")

    def __init__(self, units: int, activation: ActivationLike = "tanh", **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)
        self.state_size = [self.units, self.units]

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(2·units,)`: of the gates that see h."""
        return (2 * self.units,)

    def input_bias(self) -> Tensor | None:
        """Return b, and zeros for the candidate, or None."""
        return ops.pad(self.bias, [(0, self.units)]) if self.use_bias else None

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states; see the class."""
        h, c = states
        x_i, x_f, g = ops.split(projected, 3, axis=-1)
        h_i, h_f = ops.split(self.recur(h, training), 2, axis=-1)
        i, f = map(self.recurrent_activation, (x_i + h_i, x_f + h_f))
        self.observe(input=i, forget=f, candidate=g)
        c = i * g + f * c
        h = self.activation(c)
        return h, [h, c]


@_register
class NASCell(GatedUnitCell):
    """One time step of the cell found by neural architecture search, states `[h, c]`:

        a = x·W         m = h·U + b         σ, tanh and relu of eight sums:
        n_1, n_3, n_6, n_8 = σ(a + m)       n_5, n_7 = tanh(a + m)
        n_2 = relu(a_2 + m_2)               n_4 = relu(a_4∘m_4)
        c' = tanh(tanh(n_1∘n_2) + c) ∘ tanh(n_3 + n_4)
        h' = tanh(c' ∘ tanh(tanh(n_5∘n_6) + σ(n_7 + n_8)))

    B. Zoph and Q. V. Le, "Neural architecture search with reinforcement learning", ICLR
    2017, https://arxiv.org/abs/1611.01578; as in TensorFlow Addons, whose states are
    `[c, h]`, and which has no bias unless asked. Others add in n_4: `additive`.

    Args:
        units: width of c, and of h without a projection.
        projection_units: width of h, which is then h'·P; by default there is no P.
        additive: whether n_4 = relu(a_4 + m_4), as in torchrecurrent.
        projection_initializer: of `projection (units, projection_units)`, P.
        projection_regularizer: penalty on `projection`.
        projection_constraint: projection of `projection` after each update.
        **kwargs: the other arguments of `GatedUnitCell`, of which `activation` is tanh.
            `kernel (features, 8·units)`, `recurrent_kernel (width of h, 8·units)` and
            `bias (8·units,)` hold the eight in their order.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = NASCell(4, projection_units=2)
        >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(c.shape)
        ((2, 2), (2, 4))
    """

    gates = tuple(f"node_{k}" for k in range(1, 9))
    state_names = ("h", "c")
    projection_units: int | None
    additive: bool

    def __init__(
        self,
        units: int,
        projection_units: int | None = None,
        additive: bool = False,
        projection_initializer: InitializerLike = "glorot_uniform",
        projection_regularizer: RegularizerLike = None,
        projection_constraint: ConstraintLike = None,
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        owner, width = type(self).__name__, projection_units
        super().__init__(units, **kwargs)
        options["additive"] = check_flag(owner, "additive", additive)
        if width is None:
            self.projection_units = None
            self._option_names += ("projection_units",)
        self.set_options(options)
        self.state_size = [self.projection_units or self.units, self.units]

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias`, and `projection` if asked."""
        super().build(input_shape)
        if self.projection_units:
            shape = self.units, self.projection_units
            self.projection = self._add("projection", shape)

    def input_bias(self) -> Tensor | None:
        """Return None: b belongs to m."""
        return None

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states; see the class."""
        h, c = states
        σ, tanh = self.recurrent_activation, self.activation
        hU = self.recur(h, training)
        a = ops.split(projected, 8, axis=-1)
        m = ops.split(hU + self.bias if self.use_bias else hU, 8, axis=-1)
        z = [x + h for x, h in zip(a, m, strict=True)]
        z[3] = z[3] if self.additive else a[3] * m[3]
        shapes = (σ, ops.relu, σ, ops.relu, tanh, σ, tanh, σ)
        n = [shape(z_k) for shape, z_k in zip(shapes, z, strict=True)]
        self.observe(**dict(zip(self.gates, n, strict=True)))
        c = tanh(tanh(n[0] * n[1]) + c) * tanh(n[2] + n[3])
        h = tanh(c * tanh(tanh(n[4] * n[5]) + σ(n[6] + n[7])))
        h = ops.matmul(h, self.projection) if self.projection_units else h
        return h, [h, c]


@_register
class RHNCell(GatedUnitCell):
    """One time step of a recurrent highway network, with state `[h]`: from s_0 = h,

        z = s_{k−1}·U_k + b_k, and x·W besides if k = 1, for k = 1 … depth
        g = tanh(z_g)               t = σ(z_t)              r = 1 − t, or σ(z_r)
        s_k = t∘g + r∘s_{k−1}       h' = s_depth

    `trace` shows the gates and s_k of each layer.

    J. G. Zilly, R. K. Srivastava, J. Koutník and J. Schmidhuber, "Recurrent highway
    networks", ICML 2017, https://arxiv.org/abs/1607.03474, where t and r, the transform
    and the carry gate, are coupled in all experiments. These begin with a negative b_t.

    Args:
        units: width of h.
        depth: how many layers there are in a step.
        coupled: whether r = 1 − t, and has no weights.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 2·units)`
            holds g, t; `recurrent_kernel (units, depth·2·units)` and `bias
            (depth·2·units,)` g, t of the first layer, g, t of the second, and so on;
            if not coupled, g, t, r, `3·units` each.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = RHNCell(4, depth=5)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 8), (4, 40), (40,)]
    """

    depth: int
    coupled: bool

    def __init__(self, units: int, depth: int = 3, coupled: bool = True, **kwargs: Any):
        super().__init__(units, **kwargs)
        owner = type(self).__name__
        depth = check_positive(owner, "depth", depth, whole=True)
        coupled = check_flag(owner, "coupled", coupled)
        self.set_options({"depth": depth, "coupled": coupled})

    @property
    def input_gates(self) -> tuple[str, ...]:
        """Those of the first layer."""
        return self._of_layer(1)

    @property
    def gates(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of all layers."""
        layers = range(1, self.depth + 1)
        return tuple(gate for k in layers for gate in self._of_layer(k))

    def _of_layer(self, k: int) -> tuple[str, ...]:
        kinds = ("candidate", "transform", "carry")[: 2 if self.coupled else 3]
        return tuple(f"{kind}_{k}" for kind in kinds)

    def input_bias(self) -> Tensor | None:
        """Return b of the first layer, or None."""
        return self._bias_of(1)

    def _bias_of(self, k: int) -> Tensor | None:
        width = len(self._of_layer(k)) * self.units
        return self.bias[(k - 1) * width : k * width] if self.use_bias else None

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        shown: dict[str, Tensor] = {}
        for k in range(1, self.depth + 1):
            gates = self._of_layer(k)
            shift = projected if k == 1 else self._bias_of(k)
            z = self.recur(h, training, gates)
            z = z if shift is None else z + shift
            z_g, *z_tr = ops.split(z, len(gates), axis=-1)
            g = self.activation(z_g)
            t, *r = map(self.recurrent_activation, z_tr)
            shown.update(zip(gates, (g, t, *r), strict=True))
            h = t * g + (r[0] if r else 1 - t) * h
            if k < self.depth:
                shown[f"s_{k}"] = h
        self.observe(**shown)
        return h, [h]
