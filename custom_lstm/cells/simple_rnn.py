"""The simple recurrent network: its equation once, and the cell around it."""

from typing import Any

import keras

from custom_lstm.cells.gated import GatedCell
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


def simple_rnn_step(
    xW: Tensor, hU: Tensor, activation: Activation = keras.activations.tanh
) -> Tensor:
    """Compute one step of a simple recurrent network (Elman 1990).

        h' = tanh(x·W + h·U + b)

    Args:
        xW: `x·W + b`, `(batch, units)`.
        hU: `h·U`, `(batch, units)`.
        activation: tanh.

    Returns:
        h', `(batch, units)`.

    Example:
        >>> h = simple_rnn_step(keras.ops.zeros((1, 2)), keras.ops.ones((1, 2)))
        >>> keras.ops.convert_to_numpy(h).round(3)
        array([[0.762, 0.762]], dtype=float32)
    """
    return activation(xW + hU)


@keras.saving.register_keras_serializable(package="custom_lstm")
class SimpleRNNCell(GatedCell):
    """One time step of a simple recurrent network (Elman 1990), with state `[h]`:

        h' = tanh(x·W + h·U + b)

    A drop-in for `keras.layers.SimpleRNNCell`: same arguments, defaults, weights and
    initial values.

    Args:
        units: width of h.
        activation: tanh; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, units)`.
        recurrent_initializer: of `recurrent_kernel (units, units)`.
        bias_initializer: of `bias (units,)`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel`.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        seed: of the dropout masks.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = SimpleRNNCell(4)
        >>> states = cell.get_initial_state(batch_size=2)
        >>> output, states = cell(keras.ops.ones((2, 3)), states)
        >>> tuple(output.shape)
        (2, 4)
    """

    gates: tuple[str, ...] = ("hidden",)

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
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
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__({"seed": seed, **own_arguments(locals())}, **kwargs)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state: `simple_rnn_step`.

        Args:
            projected: `x·W + b`, `(batch, units)`.
            states: `[h]`, `(batch, units)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h']`.
        """
        (h,) = states
        h = simple_rnn_step(projected, self.recur(h, training), self.activation)
        return h, [h]
