"""The GRU layer."""

from typing import Any

import keras

from custom_lstm.cells.gru import GRUCell
from custom_lstm.cells.validation import own_arguments
from custom_lstm.layers.gated import GatedRNN


@keras.saving.register_keras_serializable(package="custom_lstm")
class GRU(GatedRNN):
    """A gated recurrent unit over whole sequences: `RNN` around a `GRUCell`.

    A drop-in for `keras.layers.GRU`: same arguments, defaults, weights and initial
    values. The equations stand in `custom_lstm.cells.gru.gru_step`.

    Args:
        units: width of the output and of h.
        activation: tanh of the candidate; None is linear.
        recurrent_activation: σ of the two gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, 3·units)`.
        recurrent_initializer: of `recurrent_kernel (units, 3·units)`.
        bias_initializer: of `bias`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel`.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        seed: of the dropout masks.
        return_sequences: see `RNN`, as for the next four.
        return_state: with it, `(output, h)` is returned.
        go_backwards: begin at the last step.
        stateful: go on from the batch before.
        unroll: write the loop out.
        reset_after: whether the reset gate acts after the product with the recurrent
            kernel, and not before.
        use_cudnn: `"auto"` or False. There is no cuDNN here: with True, as in Keras
            where cuDNN cannot run, the layer is made but not built.
        implementation: 1 gives every gate dropout masks of its own.
        learn_initial_state: whether to learn the state before the first step.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> tuple(GRU(4, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape)
    (2, 5, 4)
    """

    cell_class = GRUCell
    cell_name = "gru_cell"

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        learn_initial_state: bool = False,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)
