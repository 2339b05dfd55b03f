"""Cells with few weights or few gates from the literature.

Each is written from its paper; where published implementations differ from it, the
cell says so.
"""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.gated import GatedUnitCell, Masks
from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import (
    check_number,
    check_positive,
    check_rate,
    own_arguments,
)
from custom_lstm.typing import (
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
class IRNNCell(SimpleRNNCell):
    """One time step of a network of rectified units begun at identity, state `[h]`:

        h' = relu(x·W + h·U + b)            at first U = I, b = 0, W ~ N(0, 0.001²)

    Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent networks
    of rectified linear units", 2015, https://arxiv.org/abs/1504.00941. It is a
    `SimpleRNNCell` with other defaults. For short memories the paper scales the
    identity: `recurrent_initializer=keras.initializers.Identity(0.01)`.

    Args:
        units: width of h.
        activation: relu.
        kernel_initializer: of `kernel (features, units)`; by default normal with a
            standard deviation of 0.001.
        recurrent_initializer: of `recurrent_kernel (units, units)`.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = IRNNCell(2)
        >>> output, _ = cell(ops.zeros((1, 3)), [ops.ones((1, 2))])
        >>> ops.convert_to_numpy(output)
        array([[1., 1.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "relu",
        kernel_initializer: InitializerLike = None,
        recurrent_initializer: InitializerLike = "identity",
        **kwargs: Any,
    ):
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.RandomNormal(0.0, 0.001)
        super().__init__(
            units,
            activation=activation,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            **kwargs,
        )


@_register
class IndRNNCell(SimpleRNNCell):
    """One time step of an independently recurrent network, with state `[h]`:

        h' = relu(x·W + u∘h + b)

    S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, "Independently recurrent neural network
    (IndRNN): Building a longer and deeper RNN", CVPR 2018,
    https://arxiv.org/abs/1803.04831. Each unit sees itself alone; layers are stacked to
    mix them. For T steps the paper keeps |u| ≤ 2^(1/T), so that nothing explodes.

    Args:
        units: width of h.
        activation: relu. Others have tanh.
        recurrent_initializer: of `recurrent_kernel (units,)`, u; by default uniform on
            [0, 1].
        recurrent_limit: the largest |u|, above 0; or None for no limit.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = IndRNNCell(4, recurrent_limit=2 ** (1 / 100))
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 4), (4,), (4,)]
    """

    recurrent_limit: float | None

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "relu",
        recurrent_initializer: InitializerLike = None,
        recurrent_limit: float | None = None,
        **kwargs: Any,
    ):
        if recurrent_initializer is None:
            recurrent_initializer = keras.initializers.RandomUniform(0.0, 1.0)
        if recurrent_limit is not None:
            owner = type(self).__name__
            check_positive(owner, "recurrent_limit", recurrent_limit)
        super().__init__(
            units,
            activation=activation,
            recurrent_initializer=recurrent_initializer,
            **kwargs,
        )
        self.set_options({"recurrent_limit": recurrent_limit})

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """`(units,)`."""
        return (self.units,)

    def recurrent_product(
        self, h: Tensor, kernel: Tensor, masks: Masks | None
    ) -> Tensor:
        """Compute `u∘h`."""
        u, limit = kernel, self.recurrent_limit
        if limit is not None:
            u = ops.clip(u, -limit, limit)
        return u * (h * masks[0] if masks else h)


@_register
class FastRNNCell(SimpleRNNCell):
    """One time step of a FastRNN, a simple network with a residual, state `[h]`:

        g = tanh(x·W + h·U + b)             h' = σ(α)·g + σ(β)·h

    A. Kusupati, M. Singh, K. Bhatia, A. Kumar, P. Jain and M. Varma, "FastGRNN: A fast,
    accurate, stable and tiny kilobyte sized gated recurrent neural network", NeurIPS
    2018, https://arxiv.org/abs/1901.02358. The two learned scalars begin as in the
    authors' EdgeML, at a small σ(α); torchrecurrent begins at a large one.

    Args:
        units: width of h.
        initial_alpha: α at first, of `alpha (1,)`.
        initial_beta: β at first, of `beta (1,)`.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = FastRNNCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), [weight.name for weight in cell.weights][3:]
        ((2, 4), ['alpha', 'beta'])
    """

    initial_alpha: float
    initial_beta: float

    def __init__(
        self,
        units: int,
        initial_alpha: float = -3.0,
        initial_beta: float = 3.0,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        first = {"initial_alpha": initial_alpha, "initial_beta": initial_beta}
        self.set_options(_checked_numbers(type(self).__name__, first))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias`, `alpha` and `beta`."""
        super().build(input_shape)
        self.alpha = _add_scalar(self, "alpha", self.initial_alpha)
        self.beta = _add_scalar(self, "beta", self.initial_beta)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        g = self.activation(projected + self.recur(h, training))
        self.observe(candidate=g)
        h = ops.sigmoid(self.alpha) * g + ops.sigmoid(self.beta) * h
        return h, [h]


@_register
class FastGRNNCell(GatedUnitCell):
    """One time step of a FastGRNN, with state `[h]`:

        a = x·W + h·U                       z = σ(a + b_z)      g = tanh(a + b_g)
        h' = (σ(ζ)·(1 − z) + σ(ν))∘g + z∘h

    A. Kusupati, M. Singh, K. Bhatia, A. Kumar, P. Jain and M. Varma, "FastGRNN: A fast,
    accurate, stable and tiny kilobyte sized gated recurrent neural network", NeurIPS
    2018, https://arxiv.org/abs/1901.02358: both sums share W and U. The two learned
    scalars begin as in the authors' EdgeML. (torchrecurrent has tanh in z too.) The
    paper's low-rank, sparse and quantised weights are left out.

    Args:
        units: width of h.
        initial_zeta: ζ at first, of `zeta (1,)`.
        initial_nu: ν at first, of `nu (1,)`.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, units)` and
            `recurrent_kernel (units, units)` are W and U, `bias (2·units,)` b_z, b_g.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = FastGRNNCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 4), (4, 4), (8,), (1,), (1,)]
    """

    gates = ("update", "candidate")
    input_gates = recurrent_gates = ("shared",)
    initial_zeta: float
    initial_nu: float

    def __init__(
        self,
        units: int,
        initial_zeta: float = 1.0,
        initial_nu: float = -4.0,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        first = {"initial_zeta": initial_zeta, "initial_nu": initial_nu}
        self.set_options(_checked_numbers(type(self).__name__, first))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias`, `zeta` and `nu`."""
        super().build(input_shape)
        self.zeta = _add_scalar(self, "zeta", self.initial_zeta)
        self.nu = _add_scalar(self, "nu", self.initial_nu)

    def input_bias(self) -> Tensor | None:
        """Return None: each gate adds its own part of b."""
        return None

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        a = projected + self.recur(h, training)
        b_z, b_g = ops.split(self.bias, 2) if self.use_bias else (0.0, 0.0)
        z, g = self.recurrent_activation(a + b_z), self.activation(a + b_g)
        self.observe(update=z, candidate=g)
        h = (ops.sigmoid(self.zeta) * (1 - z) + ops.sigmoid(self.nu)) * g + z * h
        return h, [h]


@_register
class SCRNCell(SimpleRNNCell):
    """One time step of a structurally constrained network, with states `[h, s]`:

        s' = (1 − α)·x·B + α·s              h' = σ(x·W + h·U + s'·P + b)
        output = [h', s']

    T. Mikolov, A. Joulin, S. Chopra, M. Mathieu and M. Ranzato, "Learning longer memory
    in recurrent neural networks", 2014, https://arxiv.org/abs/1412.7753: s changes
    slowly, as U for it is α·I. The paper's y = f(h·U_y + s·V) is a `Dense` layer on
    the output. It has no bias: `use_bias=False`. (torchrecurrent hands y on to the
    next step in place of h, and learns α.)

    Args:
        units: width of h.
        context_units: width of s; by default that of h.
        alpha: α, in [0, 1).
        activation: σ, in h'.
        context_initializer: of `context (features, context_units)`, B.
        context_regularizer: penalty on `context`.
        context_constraint: projection of `context` after each update.
        **kwargs: the other arguments of `SimpleRNNCell`. `recurrent_kernel (units +
            context_units, units)` is U above P; `recurrent_dropout` drops of both.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = SCRNCell(4, context_units=2)
        >>> output, (h, s) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(s.shape)
        ((2, 6), (2, 2))
    """

    state_names = ("h", "s")
    context_units: int
    alpha: float

    def __init__(
        self,
        units: int,
        context_units: int | None = None,
        alpha: float = 0.95,
        activation: ActivationLike = "sigmoid",
        context_initializer: InitializerLike = "glorot_uniform",
        context_regularizer: RegularizerLike = None,
        context_constraint: ConstraintLike = None,
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        super().__init__(units, activation=activation, **kwargs)
        options["alpha"] = check_rate(type(self).__name__, "alpha", alpha)
        if context_units is None:
            options["context_units"] = self.units
        self.set_options(options)
        self.state_size = [self.units, self.context_units]
        self.output_size = self.units + self.context_units

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and `context`."""
        super().build(input_shape)
        shape = self.kernel.shape[0], self.context_units
        self.context = self._add("context", shape)

    def project(
        self, inputs: Tensor, training: bool | None = False
    ) -> tuple[Tensor, Tensor]:
        """Compute `x·W + b` and `(1 − α)·x·B`.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout is on.

        Returns:
            Two tensors, with `units` and `context_units` in the place of `features`.
        """
        xW = super().project(inputs, training)
        masks = self.input_masks(inputs, training)
        return xW, (1 - self.alpha) * self.product(inputs, self.context, masks)

    def step(
        self,
        projected: tuple[Tensor, Tensor],
        states: States,
        training: bool | None = False,
    ) -> tuple[Tensor, States]:
        """Compute what needs the states; see the class."""
        (xW, xB), (h, s) = projected, states
        s = xB + self.alpha * s
        both = ops.concatenate([h, s], axis=-1)
        h = self.activation(xW + self.recur(both, training))
        return ops.concatenate([h, s], axis=-1), [h, s]


@_register
class CFNCell(GatedUnitCell):
    """One time step of a chaos-free network, with state `[h]`:

        i, f = σ(x·W + h·U + b)             g = tanh(x·W_g)
        h' = f∘tanh(h) + i∘g

    T. Laurent and J. von Brecht, "A recurrent neural network without chaos", ICLR 2017,
    https://arxiv.org/abs/1612.06212, where f is θ, the horizontal gate, and i is η, the
    vertical one. Without inputs h goes to 0. torchrecurrent has a bias in g too.

    Args:
        units: width of h.
        activation: tanh, of h and in g.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, 3·units)`
            holds i, f, g, `recurrent_kernel (units, 2·units)` and `bias (2·units,)`
            i, f.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = CFNCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 12), (4, 8), (8,)]
    """

    gates = ("input", "forget", "candidate")
    recurrent_gates = ("input", "forget")

    def __init__(self, units: int, activation: ActivationLike = "tanh", **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)

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
        """Compute what needs the state; see the class."""
        (h,) = states
        x_i, x_f, x_g = ops.split(projected, 3, axis=-1)
        h_i, h_f = ops.split(self.recur(h, training), 2, axis=-1)
        i, f = map(self.recurrent_activation, (x_i + h_i, x_f + h_f))
        g = self.activation(x_g)
        self.observe(input=i, forget=f, candidate=g)
        h = f * self.activation(h) + i * g
        return h, [h]


@_register
class ATRCell(GatedUnitCell):
    """One time step of an addition-subtraction twin-gated network, with state `[h]`:

        p = x·W + b                         q = h·U
        i = σ(p + q)                        f = σ(p − q)
        h' = i∘p + f∘h

    B. Zhang, D. Xiong, J. Su, Q. Lin and H. Zhang, "Simplifying neural machine
    translation with addition-subtraction twin-gated recurrent networks", EMNLP 2018,
    https://arxiv.org/abs/1810.12546.

    Args:
        units: width of h.
        activation: of p where it comes in; linear.
        **kwargs: the other arguments of `GatedUnitCell`. `kernel (features, units)`,
            `recurrent_kernel (units, units)` and `bias (units,)` hold W, U, b.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = ATRCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 4))
    """

    gates = ("candidate",)

    def __init__(self, units: int, activation: ActivationLike = None, **kwargs: Any):
        super().__init__(units, activation=activation, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        p, q = projected, self.recur(h, training)
        i, f = map(self.recurrent_activation, (p + q, p - q))
        self.observe(input=i, forget=f)
        h = i * self.activation(p) + f * h
        return h, [h]


def _checked_numbers(owner: str, numbers: dict[str, Any]) -> dict[str, float]:
    return {n: float(check_number(owner, n, x)) for n, x in numbers.items()}


def _add_scalar(cell: keras.layers.Layer, name: str, value: float) -> keras.Variable:
    first = keras.initializers.Constant(value)
    return cell.add_weight(shape=(1,), name=name, initializer=first)
