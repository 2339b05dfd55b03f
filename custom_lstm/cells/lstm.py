"""The long short-term memory: its equations once, and the cell around them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from custom_lstm.cells.gated import GatedCell
from custom_lstm.cells.validation import own_arguments
from custom_lstm.typing import (
    Activation,
    ActivationLike,
    ConstraintLike,
    DType,
    InitializerLike,
    RegularizerLike,
    States,
    Tensor,
)

__all__ = ["LSTMCell", "LSTMGates", "lstm_step", "lstm_step_backward"]


class LSTMGates(NamedTuple):
    """The four gates at one step, each `(batch, units)`, in the kernel's order."""

    input: Tensor
    forget: Tensor
    candidate: Tensor
    output: Tensor


LSTMStep = tuple[Tensor, Tensor, LSTMGates]
"""h' and c', `(batch, units)` each, and the gates."""


def lstm_step(
    xW: Tensor,
    hU: Tensor,
    c: Tensor,
    activation: Activation = keras.activations.tanh,
    recurrent_activation: Activation = keras.activations.sigmoid,
    output_activation: Activation = keras.activations.tanh,
) -> LSTMStep:
    """Compute one step of an LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

        z = x·W + h·U + b           i, f, o = σ(z_i), σ(z_f), σ(z_o)    g = tanh(z_g)
        c' = f∘c + i∘g              h' = o∘tanh(c')

    Args:
        xW: `x·W + b`, `(batch, 4·units)`, in the order i, f, g, o.
        hU: `h·U`, `(batch, 4·units)`.
        c: cell state, `(batch, units)`.
        activation: tanh, in g.
        recurrent_activation: σ, in i, f and o.
        output_activation: tanh, in h'.

    Returns:
        h' and c', `(batch, units)` each, and the gates.

    Example:
        >>> xW, hU, c = ops.zeros((1, 8)), ops.zeros((1, 8)), ops.ones((1, 2))
        >>> h, c, gates = lstm_step(xW, hU, c)
        >>> ops.convert_to_numpy(gates.forget), ops.convert_to_numpy(c)
        (array([[0.5, 0.5]], dtype=float32), array([[0.5, 0.5]], dtype=float32))
    """
    z_i, z_f, z_g, z_o = ops.split(xW + hU, 4, axis=-1)
    i = recurrent_activation(z_i)
    f = recurrent_activation(z_f)
    g = activation(z_g)
    o = recurrent_activation(z_o)
    c = f * c + i * g
    h = o * output_activation(c)
    return h, c, LSTMGates(i, f, g, o)


def _through_sigmoid(y: Tensor, dy: Tensor) -> Tensor:
    return dy * (y * (1 - y))


def _through_tanh(y: Tensor, dy: Tensor) -> Tensor:
    return dy * (1 - y * y)


def lstm_step_backward(
    dh: Tensor,
    dc: Tensor,
    gates: LSTMGates,
    c_before: Tensor,
    c: Tensor,
    through_sigmoid: Callable[..., Tensor] = _through_sigmoid,
    through_tanh: Callable[..., Tensor] = _through_tanh,
) -> tuple[Tensor, Tensor]:
    """Compute the gradients through `lstm_step` with tanh and σ, derived by hand.

    With σ' = σ(1 − σ) and tanh' = 1 − tanh², from h' = o∘tanh(c') and
    c' = f∘c + i∘g:

        δc' ← δc' + δh'∘o∘(1 − tanh²c')            δc = δc'∘f
        δz_i = δc'∘g∘i(1−i)                        δz_f = δc'∘c∘f(1−f)
        δz_g = δc'∘i∘(1−g²)                        δz_o = δh'∘tanh(c')∘o(1−o)

    What remains is linear: δh = δz·Uᵀ, δx = δz·Wᵀ, and, summed over all steps,
    δW = xᵀ·δz, δU = hᵀ·δz, δb = δz.

    Args:
        dh: of h', `(batch, units)`: from above and from the next step.
        dc: of c', `(batch, units)`: from the next step.
        gates: those of the step.
        c_before, c: cell state before and after the step, `(batch, units)`.
        through_sigmoid: of y = σ and dy, dy∘y(1 − y): a backend may have it in one.
        through_tanh: of y = tanh and dy, dy∘(1 − y²): the same.

    Returns:
        δz `(batch, 4·units)`, and δc `(batch, units)`, of c before the step.

    Source: Werbos, 1990, https://doi.org/10.1109/5.58337; Gers, Schmidhuber and
    Cummins, 2000, https://doi.org/10.1162/089976600300015015.

    Example:
        >>> one = ops.ones((1, 1))
        >>> gates = LSTMGates(one * 0.5, one * 0.5, one * 0.0, one)
        >>> dz, dc = lstm_step_backward(one, one, gates, c_before=one, c=one * 0.0)
        >>> ops.convert_to_numpy(dz), ops.convert_to_numpy(dc)
        (array([[0. , 0.5, 1. , 0. ]], dtype=float32), array([[1.]], dtype=float32))
    """
    i, f, g, o = gates
    tanh_c = ops.tanh(c)
    dc = dc + through_tanh(y=tanh_c, dy=dh * o)
    dz_i = through_sigmoid(y=i, dy=dc * g)
    dz_f = through_sigmoid(y=f, dy=dc * c_before)
    dz_g = through_tanh(y=g, dy=dc * i)
    dz_o = through_sigmoid(y=o, dy=dh * tanh_c)
    return ops.concatenate([dz_i, dz_f, dz_g, dz_o], axis=-1), dc * f


@keras.saving.register_keras_serializable(package="custom_lstm")
class LSTMCell(GatedCell):
    """One time step of an LSTM, with states `[h, c]`; see `lstm_step`.

    A drop-in for `keras.layers.LSTMCell`: same arguments, defaults, weights and
    initial values, so that `set_weights(get_weights())` carries over both ways.

    Args:
        units: width of h and c.
        activation: tanh of the candidate; None is linear.
        recurrent_activation: σ of the three gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, 4·units)`.
        recurrent_initializer: of `recurrent_kernel (units, 4·units)`.
        bias_initializer: of `bias (4·units,)`.
        unit_forget_bias: start the forget gate's bias at 1 (Jozefowicz et al. 2015),
            whatever `bias_initializer` says, unless it is `Chrono`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel`.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        seed: of the dropout masks.
        implementation: 1 gives every gate input dropout masks of its own; 2 one for
            all, unless there is `recurrent_dropout`.
        output_activation: tanh of c' in h'. By default the same as `activation`.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LSTMCell(4)
        >>> h, c = cell.get_initial_state(batch_size=2)
        >>> output, (h, c) = cell(ops.ones((2, 3)), [h, c])
        >>> tuple(output.shape)
        (2, 4)
    """

    gates: tuple[str, ...] = LSTMGates._fields
    state_names: tuple[str, ...] | None = ("h", "c")
    recurrent_activation: Activation
    output_activation: Activation | None
    unit_forget_bias: bool

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        implementation: int = 2,
        output_activation: ActivationLike = None,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)
        if output_activation is None:
            self.output_activation = None
        self.state_size = [self.units, self.units]

    def _whole_bias(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        whole = getattr(self.bias_initializer, "makes_whole_bias", False)
        if whole or not self.unit_forget_bias:
            return self.bias_initializer(shape, dtype=dtype)
        n = self.units
        b_i = self.bias_initializer((n,), dtype=dtype)
        b_go = self.bias_initializer((2 * n,), dtype=dtype)
        return ops.concatenate([b_i, ops.ones((n,), dtype=dtype), b_go])

    @property
    def activations(self) -> tuple[Activation, Activation, Activation]:
        """Those of the candidate, of the gates, and of c' in h'."""
        output_activation = self.output_activation or self.activation
        return self.activation, self.recurrent_activation, output_activation

    def recurrence(self, xW: Tensor, hU: Tensor, c: Tensor) -> LSTMStep:
        """Compute the equations of a step: `lstm_step`. Variants override this.

        Args:
            xW: what `project` returned for x, `(batch, gates·units)`.
            hU: `h·U`, `(batch, gates·units)`.
            c: cell state, `(batch, units)`.

        Returns:
            h', c' and the gates.
        """
        return lstm_step(xW, hU, c, *self.activations)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states: `recurrence`.

        Args:
            projected: what `project` returned, `(batch, gates·units)`.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        h, c, gates = self.recurrence(projected, self.recur(h, training), c)
        self.observe(**gates._asdict())
        return h, [h, c]
