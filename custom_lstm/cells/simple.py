"""The simple recurrent cell."""

from typing import Any

import keras

from custom_lstm.cells.arguments import own_arguments
from custom_lstm.cells.gated import GatedCell, gatewise_matmul


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

    gates = ("hidden",)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__({"seed": seed, **own_arguments(locals())}, **kwargs)

    def step(
        self, projected: Any, states: Any, training: Any = False
    ) -> tuple[Any, list[Any]]:
        """What needs the state: `tanh(projected + h·U)`.

        Args:
            projected: `x·W + b`, `(batch, units)`.
            states: `[h]`, `(batch, units)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h']`.
        """
        (h,) = states
        hU = gatewise_matmul(h, self.recurrent_kernel, self.recurrent_masks(training))
        h = self.activation(projected + hU)
        return h, [h]
