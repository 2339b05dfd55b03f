"""The GRU layer."""

from typing import Any

import keras

from custom_lstm.cells import GRUCell
from custom_lstm.cells.validation import own_arguments
from custom_lstm.layers.gated_rnn import GatedRNN
from custom_lstm.typing import (
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
)


@keras.saving.register_keras_serializable(package="custom_lstm")
class GRU(GatedRNN):
    """A gated recurrent unit over whole sequences: `RNN` around a `GRUCell`.

    A drop-in for `keras.layers.GRU`: same arguments, defaults, weights and initial
    values. `custom_lstm.cells.gru.gru_step` has the equations.

    Args:
        units: width of the output and of h.
        activation: of the candidate; tanh by default, None is linear.
        recurrent_activation: of the two gates; σ by default, None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, 3·units)`.
        recurrent_initializer: of `recurrent_kernel (units, 3·units)`.
        bias_initializer: of `bias`, `(2, 3·units)` with `reset_after`, or `(3·units,)`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel` after each update.
        bias_constraint: projection of `bias` after each update.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        seed: of the dropout masks.
        return_sequences: whether to return the outputs of all steps, not just the
            last.
        return_state: whether to return the last state too: `(output, h)`.
        go_backwards: whether to begin at the last step. Outputs then come in the
            order in which they were computed.
        stateful: whether each batch continues from the last state of the one before.
        unroll: whether to unroll the loop; quicker for short sequences.
        reset_after: whether the reset gate acts after the product with the recurrent
            kernel, and not before.
        use_cudnn: `"auto"` or False. There is no cuDNN here: with True, as in Keras
            where cuDNN cannot run, the layer is made but not built.
        implementation: 1 gives every gate dropout masks of its own; 2 one for all,
            unless there is `recurrent_dropout`.
        learn_initial_state: whether to learn the state before the first step.
        **kwargs: `zero_output_for_mask` (see `RNN`), `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: `[h]`, `(batch, units)`.
        mask: boolean `(batch, time)`. A step where it is False leaves the state as it
            is.
        training: whether dropout is on.

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
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
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
