"""Cells that compute all steps at once: their new state is linear in the old.

Their gates see the inputs alone, so that `custom_lstm.RNN` needs no loop for them: the
states of all steps are one `linear_scan`.
"""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.gated import InputGatedCell
from custom_lstm.cells.scan import linear_scan
from custom_lstm.cells.validation import check_flag, check_number, own_arguments
from custom_lstm.typing import (
    Activation,
    ActivationLike,
    InitializerLike,
    Shape,
    States,
    Tensor,
)

_register = keras.saving.register_keras_serializable(package="custom_lstm")

_LEAST = 1e-30
"""What is not distinguished from 0 where it divides."""


class LinearCell(InputGatedCell):
    """Base of cells with one state, linear in itself:

        s' = a∘s + b            a, b, 0 ≤ a ≤ 1, of the inputs alone

    A subclass writes `linear`, and `read` if the output is not the state.
    """

    def linear(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b of one step, or of all.

        Args:
            projected: what `project` returned, `(batch, width)` or `(batch, time,
                width)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `linear`.")

    def read(self, projected: Tensor, state: Tensor) -> Tensor:
        """Return the output of one step, or of all: by default the state.

        Args:
            projected: what `project` returned.
            state: s' of the same steps.
        """
        return state

    def step(self, projected: Tensor, states: States) -> tuple[Tensor, States]:
        """Compute one step of the recurrence.

        Args:
            projected: what `project` returned, `(batch, width)`.
            states: `[s]`, `(batch, units)`.

        Returns:
            The output, and `[s']`.
        """
        a, b = self.linear(projected)
        state = a * states[0] + b
        return self.read(projected, state), [state]

    def scan(
        self, projected: Tensor, states: States, mask: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Compute all steps at once: `linear_scan`.

        Args:
            projected: what `project` returned, `(batch, time, width)`.
            states: `[s]` before the first step.
            mask: boolean `(batch, time)`: where it is False the state stays.

        Returns:
            Outputs and `[s']` of every step, `(batch, time, units)` each.
        """
        a, b = self.linear(projected)
        if mask is not None:
            acts = ops.expand_dims(mask, -1)
            a = ops.where(acts, a, ops.ones_like(a))
            b = ops.where(acts, b, ops.zeros_like(b))
        state = linear_scan(a, b, states[0])
        return self.read(projected, state), [state]


@_register
def positive(x: Tensor) -> Tensor:
    """Return x + ½ where x ≥ 0, σ(x) elsewhere: g of Feng et al. 2024, above 0.

    Example:
        >>> ops.convert_to_numpy(positive(ops.convert_to_tensor([-90.0, 0.0, 2.0])))
        array([0. , 0.5, 2.5], dtype=float32)
    """
    return ops.relu(x) + ops.sigmoid(ops.minimum(x, 0))


@_register
class MinGRUCell(LinearCell):
    """One time step of a minGRU, with state `[h]`:

        z = σ(x·W_z + b_z)          g = γ(x·W_g + b_g)
        h' = (1 − z)∘h + z∘g        γ(a) = a + ½ where a ≥ 0, σ(a) elsewhere

    L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we
    needed?", 2024, https://arxiv.org/abs/2410.01201. γ is that of their appendix B and
    of the code in use; their section 3.1 has none: `activation="linear"`. It keeps h
    positive for their scan of logarithms. Ours, `linear_scan`, multiplies the decays
    1 − z themselves, which is more exact over thousands of steps, and takes any γ.

    Args:
        units: width of h.
        activation: γ; None is linear.
        **kwargs: the other arguments of `InputGatedCell`. Weights are `kernel
            (features, 2·units)` and `bias (2·units,)`, in the order z, g.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = MinGRUCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), [weight.name for weight in cell.weights]
        ((2, 4), ['kernel', 'bias'])
    """

    gates = ("update", "candidate")

    def __init__(
        self,
        units: int,
        activation: ActivationLike = positive,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def linear(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 − z and z∘g."""
        x_z, x_g = ops.split(projected, 2, axis=-1)
        z, g = ops.sigmoid(x_z), self.activation(x_g)
        self.observe(update=z, candidate=g)
        return 1 - z, z * g


@_register
class MinLSTMCell(LinearCell):
    """One time step of a minLSTM, with state `[h]`:

        f, i = σ(x·W_f + b_f), σ(x·W_i + b_i)       g = γ(x·W_g + b_g)
        h' = f/(f + i)∘h + i/(f + i)∘g

    L. Feng et al., "Were RNNs all we needed?", 2024, https://arxiv.org/abs/2410.01201,
    section 3.2, with γ of appendix B; see `MinGRUCell`.

    Args:
        units: width of h.
        activation: γ; None is linear.
        **kwargs: the other arguments of `InputGatedCell`. Weights are `kernel
            (features, 3·units)` and `bias (3·units,)`, in the order f, i, g.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = MinLSTMCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.kernel.shape)
        ((2, 4), (3, 12))
    """

    short_name = "min_lstm"
    gates = ("forget", "input", "candidate")

    def __init__(
        self,
        units: int,
        activation: ActivationLike = positive,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def linear(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return f/(f + i) and i/(f + i)∘g."""
        x_f, x_i, x_g = ops.split(projected, 3, axis=-1)
        f, i = ops.sigmoid(x_f), ops.sigmoid(x_i)
        f = f / ops.maximum(f + i, _LEAST)
        i, g = 1 - f, self.activation(x_g)
        self.observe(forget=f, input=i, candidate=g)
        return f, i * g


@_register
class SRUCell(LinearCell):
    """One time step of a simple recurrent unit, with state `[c]`:

        f, r = σ(x·W_f + b_f), σ(x·W_r + b_r)       g = x·W_g
        c' = f∘c + (1 − f)∘g                        h' = r∘tanh(c') + (1 − r)∘s·x

    T. Lei, Y. Zhang and Y. Artzi, "Training RNNs as fast as CNNs", 2017,
    https://arxiv.org/abs/1709.02755v1. In the last version of the paper (T. Lei,
    Y. Zhang, S. I. Wang, H. Dai and Y. Artzi, "Simple recurrent units for highly
    parallelizable recurrence", EMNLP 2018) the gates see c too, f, r = σ(… + v∘c),
    which is no longer linear in c, tanh is left out, and s is √3: that is
    `peephole=True, activation="linear", highway_scale=3**0.5`, and runs step by step.

    Args:
        units: width of c and h.
        activation: tanh of c' in h'; None is linear.
        peephole: whether the gates see c, by `peephole (2, units)`: v_f, v_r.
        highway_scale: s.
        peephole_initializer: of `peephole`.
        **kwargs: the other arguments of `InputGatedCell`. Weights are `kernel
            (features, 3·units)`, in the order g, f, r, `bias (2·units,)`, and, if
            the inputs are not as wide as c, `highway_kernel (features, units)`, by
            which x is multiplied in h'.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = SRUCell(4)
        >>> output, (c,) = cell(ops.ones((2, 4)), cell.get_initial_state(2))
        >>> tuple(output.shape), [weight.name for weight in cell.weights]
        ((2, 4), ['kernel', 'bias'])
    """

    gates = ("candidate", "forget", "reset")
    state_names = ("c",)
    activation: Activation
    v: Tensor

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        peephole: bool = False,
        highway_scale: float = 1.0,
        peephole_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        check_flag(type(self).__name__, "peephole", peephole)
        check_number(type(self).__name__, "highway_scale", highway_scale)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(2·units,)`: of the two gates."""
        return (2 * self.units,)

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `bias`, and what else there is."""
        super().build(input_shape)
        shape = input_shape[-1], self.units
        self.v = self.highway_kernel = None
        if self.peephole:
            v, n = self.peephole_initializer, self.units
            self.v = self.add_weight((2, n), v, name="peephole")
        if input_shape[-1] != self.units:
            W = self.kernel_initializer
            self.highway_kernel = self.add_weight(shape, W, name="highway_kernel")

    def input_bias(self) -> Tensor | None:
        """Return b_f and b_r behind zeros for g."""
        if not self.use_bias:
            return None
        return ops.concatenate([ops.zeros((self.units,), self.bias.dtype), self.bias])

    def project(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        """Compute g, what the gates see of x, and x as it goes into h'.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout is on.

        Returns:
            A tensor with `4·units` in the place of `features`.
        """
        projected, W = super().project(inputs, training), self.highway_kernel
        x = inputs if W is None else ops.matmul(inputs, W)
        return ops.concatenate([projected, ops.cast(x, projected.dtype)], axis=-1)

    def linear(
        self, projected: Tensor, before: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return f and (1 − f)∘g."""
        g, x_f, _, _ = ops.split(projected, 4, axis=-1)
        f = ops.sigmoid(x_f if before is None else x_f + self.v[0] * before)
        self.observe(candidate=g, forget=f)
        return f, (1 - f) * g

    def read(
        self, projected: Tensor, state: Tensor, before: Tensor | None = None
    ) -> Tensor:
        """Return h'."""
        _, _, x_r, x = ops.split(projected, 4, axis=-1)
        r = ops.sigmoid(x_r if before is None else x_r + self.v[1] * before)
        self.observe(reset=r)
        return r * self.activation(state) + (1 - r) * (self.highway_scale * x)

    def step(self, projected: Tensor, states: States) -> tuple[Tensor, States]:
        """Compute one step, in which the gates may see c."""
        (c,) = states
        before = c if self.peephole else None
        f, b = self.linear(projected, before)
        new = f * c + b
        return self.read(projected, new, before), [new]

    def why_not_scanned(self, masked: bool, training: bool | None) -> str | None:
        """Return why all steps cannot be computed at once, or None."""
        return "its gates see the state: `peephole` is True" if self.peephole else None
