"""Cells that discretise a differential equation, and cells that hold what they have.

Those of one matrix U are `SimpleRNNCell`s with another equation: they take its
arguments, and add their own by `set_options`.
"""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import (
    check_number,
    check_positive,
    own_arguments,
)
from custom_lstm.typing import (
    DType,
    InitializerLike,
    Shape,
    States,
    Tensor,
)

_register = keras.saving.register_keras_serializable(package="custom_lstm")


def uniform(low: float, high: float) -> dict[str, Any]:
    """Return an initializer, drawn between two numbers, as an argument's default."""
    limits = {"minval": low, "maxval": high}
    return {"class_name": "RandomUniform", "config": limits}


_WEIGHTS, _CONTROL = uniform(0.0, 1.0), uniform(-0.1, 0.1)
_INPUTS, _RESERVOIR = uniform(-0.5, 0.5), uniform(-1.0, 1.0)


@_register
class AntisymmetricRNNCell(SimpleRNNCell):
    """One time step of an antisymmetric network, with state `[h]`:

        A = U − Uᵀ − γI         h' = h + ε·tanh(x·W + h·A + b)

    B. Chang, M. Chen, E. Haber and E. H. Chi, "AntisymmetricRNN: A dynamical system
    view on recurrent neural networks", ICLR 2019, https://arxiv.org/abs/1902.09689: a
    step of Euler's method for an equation that neither grows nor decays, but for γ.
    (torchrecurrent begins with ε = 1, γ = 0.)

    Args:
        units: width of h.
        epsilon: ε, the step, above 0.
        gamma: γ, the damping, at least 0.
        recurrent_initializer: of `recurrent_kernel (units, units)`, U; the paper draws
            it from a normal distribution of variance 1/units.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = AntisymmetricRNNCell(4, epsilon=0.01)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape)
        (2, 4)
    """

    epsilon: float
    gamma: float

    def __init__(
        self,
        units: int,
        epsilon: float = 0.1,
        gamma: float = 0.01,
        recurrent_initializer: InitializerLike = "lecun_normal",
        **kwargs: Any,
    ):
        kwargs["recurrent_initializer"] = recurrent_initializer
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        check_number(type(self).__name__, "gamma", gamma, 0)

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """Shape of U: one for all gates."""
        return self.units, self.units

    def antisymmetric_product(self, h: Tensor, training: bool | None) -> Tensor:
        """Compute `h·A`."""
        U = ops.convert_to_tensor(self.recurrent_kernel)
        masks = self.recurrent_masks(h, training)
        hU = self.recurrent_product(h, U - ops.transpose(U), masks and masks[:1])
        return hU - self.gamma * h

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state.

        Args:
            projected: `x·W + b`, `(batch, gates·units)`.
            states: `[h]`, `(batch, units)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h']`.
        """
        (h,) = states
        g = self.activation(projected + self.antisymmetric_product(h, training))
        h = h + self.epsilon * g
        return h, [h]


@_register
class GatedAntisymmetricRNNCell(AntisymmetricRNNCell):
    """One time step of a gated antisymmetric network, with state `[h]`:

        A = U − Uᵀ − γI         z = σ(x·W_z + h·A + b_z)
                                h' = h + ε·z∘tanh(x·W_g + h·A + b_g)

    B. Chang et al. 2019, https://arxiv.org/abs/1902.09689, section 3.3: both use one A.

    Args:
        units: width of h.
        **kwargs: the other arguments of `AntisymmetricRNNCell`. Weights are `kernel
            (features, 2·units)`, in the order z, g, `recurrent_kernel (units, units)`,
            U, and `bias (2·units,)`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = GatedAntisymmetricRNNCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(cell.kernel.shape), tuple(cell.recurrent_kernel.shape)
        ((3, 8), (4, 4))
    """

    gates = ("update", "candidate")

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see `AntisymmetricRNNCell.step`."""
        (h,) = states
        x_z, x_g = ops.split(projected, 2, axis=-1)
        hA = self.antisymmetric_product(h, training)
        z, g = ops.sigmoid(x_z + hA), self.activation(x_g + hA)
        self.observe(update=z, candidate=g)
        h = h + self.epsilon * (z * g)
        return h, [h]


@_register
class CoRNNCell(SimpleRNNCell):
    """One time step of a coupled oscillatory network, with states `[h, z]`:

        z' = z + Δt·(tanh(x·W + h·U_h + z·U_z + b) − γ·h − ε·z)
        h' = h + Δt·z'

    T. K. Rusch and S. Mishra, "Coupled oscillatory recurrent neural network (coRNN)",
    ICLR 2021, https://arxiv.org/abs/2010.00951, equation 3, of whose two forms this is
    that of the authors' code: the damping is ε·z, and not ε·z'.

    Args:
        units: width of h, the positions, and z, the velocities.
        dt: Δt, above 0.
        gamma: γ, the frequency, above 0.
        epsilon: ε, the damping, above 0.
        **kwargs: the other arguments of `SimpleRNNCell`. `recurrent_kernel (2·units,
            units)` is U_h above U_z.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = CoRNNCell(4)
        >>> output, (h, z) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(z.shape)
        ((2, 4), (2, 4))
    """

    short_name = "cornn"
    state_names = ("h", "z")
    dt: float
    gamma: float
    epsilon: float

    def __init__(
        self,
        units: int,
        dt: float = 0.1,
        gamma: float = 1.0,
        epsilon: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        self.state_size = [self.units, self.units]
        for name, value in (("dt", dt), ("gamma", gamma)):
            check_positive(type(self).__name__, name, value)

    @property
    def recurrent_size(self) -> int:
        """Width of h and z together."""
        return 2 * self.units

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, units)`.
            states: `[h, z]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', z']`.
        """
        h, z = states
        hU = self.recur(ops.concatenate([h, z], axis=-1), training)
        force = self.activation(projected + hU)
        z = z + self.dt * (force - self.gamma * h - self.epsilon * z)
        h = h + self.dt * z
        self.observe(force=force)
        return h, [h, z]


@_register
class UnICORNNCell(SimpleRNNCell):
    """One time step of undamped independent oscillators, with states `[h, z]`:

        z' = z − Δt·σ(c)∘(tanh(x·W + h∘u + b) + α·h)
        h' = h + Δt·σ(c)∘z'

    T. K. Rusch and S. Mishra, "UnICORNN: A recurrent model for learning very long time
    dependencies", ICML 2021, https://arxiv.org/abs/2103.05487. Each unit sees its own
    state alone, and has its own time step.

    Args:
        units: width of h, the positions, and z, the velocities.
        dt: Δt, above 0.
        alpha: α, at least 0.
        recurrent_initializer: of `recurrent_kernel (units,)`, u.
        control_initializer: of `control (units,)`, c.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = UnICORNNCell(4)
        >>> output, (h, z) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 4), (4,), (4,), (4,)]
    """

    short_name = "unicornn"
    state_names = ("h", "z")
    dt: float
    alpha: float
    control_initializer: keras.initializers.Initializer

    def __init__(
        self,
        units: int,
        dt: float = 0.1,
        alpha: float = 0.0,
        recurrent_initializer: InitializerLike = _WEIGHTS,
        control_initializer: InitializerLike = _CONTROL,
        **kwargs: Any,
    ):
        kwargs["recurrent_initializer"] = recurrent_initializer
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        self.state_size = [self.units, self.units]
        check_positive(type(self).__name__, "dt", dt)
        check_number(type(self).__name__, "alpha", alpha, 0)

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and `control`."""
        super().build(input_shape)
        control = self.control_initializer
        self.control = self.add_weight((self.units,), control, name="control")

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """`(units,)`: each unit sees itself alone."""
        return (self.units,)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states; see `CoRNNCell.step`."""
        h, z = states
        masks = self.recurrent_masks(h, training)
        dropped = h if masks is None else h * masks[0]
        dt = self.dt * ops.sigmoid(self.control)
        force = self.activation(projected + dropped * self.recurrent_kernel)
        z = z - dt * (force + self.alpha * h)
        h = h + dt * z
        self.observe(force=force)
        return h, [h, z]


@_register
class LEMCell(SimpleRNNCell):
    """One time step of a long expressive memory, with states `[h, z]`:

        s, s̄ = Δt·σ(x·W + h·U + b)         in their own units
        z' = (1 − s)∘z + s∘tanh(x·W_z + h·U_z + b_z)
        h' = (1 − s̄)∘h + s̄∘tanh(x·W_h + z'·U_h + b_h)

    T. K. Rusch, S. Mishra, N. B. Erichson and M. W. Mahoney, "Long expressive memory
    for sequence modeling", ICLR 2022, https://arxiv.org/abs/2110.04744, equation 3.
    (torchrecurrent 0.2.5 has z in the place of z'.)

    Args:
        units: width of h and z.
        dt: Δt, above 0.
        **kwargs: the other arguments of `SimpleRNNCell`. Weights are `kernel (features,
            4·units)`, `recurrent_kernel (units, 4·units)` and `bias (4·units,)`, in the
            order s̄, s, z, h.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LEMCell(4)
        >>> output, (h, z) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 16))
    """

    gates = ("step", "slow_step", "slow_candidate", "candidate")
    state_names = ("h", "z")
    dt: float

    def __init__(self, units: int, dt: float = 1.0, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        self.state_size = [self.units, self.units]
        check_positive(type(self).__name__, "dt", dt)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, 4·units)`.
            states: `[h, z]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', z']`.
        """
        h, z = states
        masks, n = self.recurrent_masks(h, training), 3 * self.units
        of_h, of_z = (masks[:3], masks[3:]) if masks else (None, None)
        U = ops.convert_to_tensor(self.recurrent_kernel)
        hU = self.recurrent_product(h, U[:, :n], of_h)
        z_h, z_z, z_c = ops.split(projected[:, :n] + hU, 3, axis=-1)
        s_h, s_z = self.dt * ops.sigmoid(z_h), self.dt * ops.sigmoid(z_z)
        c = self.activation(z_c)
        z = (1 - s_z) * z + s_z * c
        zU = self.recurrent_product(z, U[:, n:], of_z)
        g = self.activation(projected[:, n:] + zU)
        h = (1 - s_h) * h + s_h * g
        self.observe(step=s_h, slow_step=s_z, slow_candidate=c, candidate=g)
        return h, [h, z]


def spectral_radius(matrix: Tensor) -> Tensor:
    """Return the modulus of the largest eigenvalue: ‖A^k‖^(1/k), where k is 2³².

    Args:
        matrix: A, `(n, n)`, not nilpotent.

    Example:
        >>> turn = ops.convert_to_tensor([[0.0, -2.0], [2.0, 0.0]])
        >>> round(float(ops.convert_to_numpy(spectral_radius(turn))), 4)
        2.0
    """
    logarithm, share = 0.0, 1.0
    for _ in range(33):
        size = ops.sqrt(ops.sum(ops.square(matrix)))
        logarithm = logarithm + share * ops.log(size)
        matrix, share = matrix / size, share / 2
        matrix = ops.matmul(matrix, matrix)
    return ops.exp(logarithm)


@_register
class EchoStateCell(SimpleRNNCell):
    """One time step of an echo state network, with state `[h]`:

        h' = (1 − α)·h + α·tanh(x·W + h·U + b)

    H. Jaeger, "The 'echo state' approach to analysing and training recurrent neural
    networks", GMD report 148, 2001; leaky: H. Jaeger, M. Lukoševičius, D. Popovici and
    U. Siewert, Neural Networks 20 (2007), https://doi.org/10.1016/j.neunet.2007.04.016.
    W, U and b are drawn once and not trained: what reads h is.

    Args:
        units: width of h.
        spectral_radius: of U, the modulus of its largest eigenvalue, above 0. Below 1,
            h forgets where it began.
        leak: α, in (0, 1].
        connectivity: fraction of U that is not 0, in (0, 1].
        kernel_initializer: of `kernel (features, units)`, W.
        recurrent_initializer: of `recurrent_kernel (units, units)`, U, before it is
            thinned out and scaled.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = EchoStateCell(8, spectral_radius=0.9)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> U = ops.convert_to_numpy(cell.recurrent_kernel)
        >>> import numpy as np
        >>> round(float(abs(np.linalg.eigvals(U)).max()), 3)
        0.9
        >>> len(cell.trainable_weights)
        0
    """

    short_name = "echo_state"
    spectral_radius: float
    leak: float
    connectivity: float

    def __init__(
        self,
        units: int,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        connectivity: float = 0.1,
        kernel_initializer: InitializerLike = _INPUTS,
        recurrent_initializer: InitializerLike = _RESERVOIR,
        **kwargs: Any,
    ):
        kwargs["kernel_initializer"] = kernel_initializer
        kwargs["recurrent_initializer"] = recurrent_initializer
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        owner = type(self).__name__
        check_positive(owner, "spectral_radius", spectral_radius)
        for name, value in (("leak", leak), ("connectivity", connectivity)):
            if check_positive(owner, name, value) > 1:
                raise ValueError(
                    f"{owner}: `{name}` must be at most 1. Received: {name}={value!r}"
                )

    def _add(
        self, kind: str, shape: tuple[int, ...], trainable: bool = False
    ) -> Tensor:
        return super()._add(kind, shape, trainable)

    def _initial(self, kind: str) -> InitializerLike:
        return self._reservoir if kind == "recurrent" else super()._initial(kind)

    def _reservoir(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Return U: thinned out, of the spectral radius."""
        drawn = self.recurrent_initializer(shape, dtype="float32")
        order = keras.random.uniform(shape, seed=self.seed_generator)
        kept = max(1, round(self.connectivity * self.units))
        ranks = ops.argsort(ops.argsort(order, axis=0), axis=0)
        U = ops.where(ranks < kept, drawn, ops.zeros_like(drawn))
        U = U * (self.spectral_radius / spectral_radius(U))
        return ops.cast(U, dtype or self.variable_dtype)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see `SimpleRNNCell.step`."""
        (h,) = states
        g = self.activation(projected + self.recur(h, training))
        h = (1 - self.leak) * h + self.leak * g
        return h, [h]
