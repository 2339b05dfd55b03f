"""The simple recurrent layer."""

from typing import Any

import keras

from custom_lstm.cells import SimpleRNNCell
from custom_lstm.cells.validation import own_arguments
from custom_lstm.layers.gated_rnn import GatedRNN
from custom_lstm.typing import (
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
)


@keras.saving.register_keras_serializable(package="custom_lstm")
class SimpleRNN(GatedRNN):
    """A simple recurrent network over whole sequences: `RNN` around a `SimpleRNNCell`.

    A drop-in for `keras.layers.SimpleRNN`: same arguments, defaults, weights and
    initial values.

    Args:
        units: width of the output and of h.
        activation: of h; tanh by default, None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, units)`.
        recurrent_initializer: of `recurrent_kernel (units, units)`.
        bias_initializer: of `bias (units,)`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel` after each update.
        bias_constraint: projection of `bias` after each update.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        return_sequences: whether to return the outputs of all steps, not just the
            last.
        return_state: whether to return the last state too: `(output, h)`.
        go_backwards: whether to begin at the last step. Outputs then come in the
            order in which they were computed.
        stateful: whether each batch continues from the last state of the one before.
        unroll: whether to unroll the loop; quicker for short sequences.
        seed: of the dropout masks.
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
        >>> tuple(SimpleRNN(4)(keras.ops.ones((2, 5, 3))).shape)
        (2, 4)
    """

    cell_class = SimpleRNNCell
    cell_name = "simple_rnn_cell"

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
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        learn_initial_state: bool = False,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)
