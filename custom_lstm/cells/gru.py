"""The gated recurrent unit: its equations once, and the cell around them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from custom_lstm.cells.gated import GatedCell, Masks
from custom_lstm.cells.validation import own_arguments
from custom_lstm.typing import (
    Activation,
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    States,
    Tensor,
)


class GRUGates(NamedTuple):
    """The three gates at one step, each `(batch, units)`, in the kernel's order."""

    update: Tensor
    reset: Tensor
    candidate: Tensor


def gru_step(
    xW: Tensor,
    hU: Tensor | tuple[Tensor, Tensor],
    h: Tensor,
    recall: Callable[[Tensor], Tensor],
    activation: Activation = keras.activations.tanh,
    recurrent_activation: Activation = keras.activations.sigmoid,
) -> tuple[Tensor, GRUGates]:
    """Compute one step of a GRU (Cho et al. 2014, https://arxiv.org/abs/1406.1078).

        z, r = σ(x·W + h·U + b)         g = tanh(x·W_g + b_g + recall(r))
        h' = z∘h + (1 − z)∘g

    Args:
        xW: `x·W + b`, `(batch, 3·units)`, in the order z, r, g.
        hU: `h·U`, `(batch, 2·units)`, in the order z, r, or a tuple of the two.
        h: hidden state, `(batch, units)`.
        recall: what the candidate sees of h through the reset gate r: `(r∘h)·U_g`
            or `r∘(h·U_g + b')`, as a function of r.
        activation: tanh, in g.
        recurrent_activation: σ, in z and r.

    Returns:
        h', `(batch, units)`, and the gates.

    Example:
        >>> xW, hU, h = ops.zeros((1, 6)), ops.zeros((1, 4)), ops.ones((1, 2))
        >>> h, gates = gru_step(xW, hU, h, recall=lambda r: r)
        >>> ops.convert_to_numpy(gates.update)
        array([[0.5, 0.5]], dtype=float32)
    """
    x_z, x_r, x_g = ops.split(xW, 3, axis=-1)
    h_z, h_r = hU if isinstance(hU, tuple) else ops.split(hU, 2, axis=-1)
    z = recurrent_activation(x_z + h_z)
    r = recurrent_activation(x_r + h_r)
    g = activation(x_g + recall(r))
    return z * h + (1 - z) * g, GRUGates(z, r, g)


@keras.saving.register_keras_serializable(package="custom_lstm")
class GRUCell(GatedCell):
    """One time step of a GRU, with state `[h]`; see `gru_step`.

    A drop-in for `keras.layers.GRUCell`: same arguments, defaults, weights and
    initial values. `kernel`, `recurrent_kernel` and `bias` hold z, r, g in that
    order; with `reset_after`, `bias (2, 3·units)` has a row for the inputs and one
    for the hidden state.

    Args:
        units: width of h.
        activation: tanh of the candidate; None is linear.
        recurrent_activation: σ of the two gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, 3·units)`.
        recurrent_initializer: of `recurrent_kernel (units, 3·units)`.
        bias_initializer: of `bias`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel`.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        reset_after: whether the reset gate acts after the product with the recurrent
            kernel (as in cuDNN), and not before (as first published).
        seed: of the dropout masks.
        implementation: 1 gives every gate input dropout masks of its own; 2 one for
            all, unless there is `recurrent_dropout`.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = GRUCell(4)
        >>> states = cell.get_initial_state(batch_size=2)
        >>> output, states = cell(ops.ones((2, 3)), states)
        >>> tuple(output.shape)
        (2, 4)
    """

    gates = GRUGates._fields
    recurrent_activation: Activation
    reset_after: bool

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        implementation: int = 2,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(3·units,)`, or two such rows with `reset_after`."""
        width = 3 * self.units
        return (2, width) if self.reset_after else (width,)

    def input_bias(self) -> Tensor | None:
        """Return what the projected inputs are shifted by, or None."""
        two_rows = self.use_bias and self.reset_after
        return self.bias[0] if two_rows else self.bias

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state: `gru_step`.

        Args:
            projected: `x·W + b`, `(batch, 3·units)`.
            states: `[h]`, `(batch, units)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h']`.
        """
        (h,) = states
        hU, recall = self._products(h, self.recurrent_masks(h, training))
        h, gates = gru_step(
            projected, hU, h, recall, self.activation, self.recurrent_activation
        )
        self.observe(**gates._asdict())
        return h, [h]

    def _products(
        self, h: Tensor, masks: Masks | None
    ) -> tuple[Tensor | tuple[Tensor, Tensor], Callable[[Tensor], Tensor]]:
        """`h·U` of the gates, and `recall`: see `gru_step`."""
        if self.reset_after:
            hU = self.recurrent_product(h, self.recurrent_kernel, masks)
            hU = hU + self.bias[1] if self.use_bias else hU
            h_z, h_r, h_g = ops.split(hU, 3, axis=-1)
            return (h_z, h_r), lambda r: r * h_g
        both = 2 * self.units
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        U, U_g = kernel[..., :both], kernel[..., both:]
        of_gates, of_candidate = (masks[:2], masks[2:]) if masks else (None, None)
        hU = self.recurrent_product(h, U, of_gates)
        return hU, lambda r: self.recurrent_product(r * h, U_g, of_candidate)
