"""The simple recurrent layer."""

from typing import Any

import keras

from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import own_arguments
from custom_lstm.layers.gated import GatedRNN


@keras.saving.register_keras_serializable(package="custom_lstm")
class SimpleRNN(GatedRNN):
    """A simple recurrent network over whole sequences: `RNN` around a `SimpleRNNCell`.

    A drop-in for `keras.layers.SimpleRNN`: same arguments, defaults, weights and
    initial values.

    Args:
        units: width of the output and of h.
        activation: tanh; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, units)`.
        recurrent_initializer: of `recurrent_kernel (units, units)`.
        bias_initializer: of `bias (units,)`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel`.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        return_sequences: see `RNN`, as for the next four.
        return_state: with it, `(output, h)` is returned.
        go_backwards: begin at the last step.
        stateful: go on from the batch before.
        unroll: write the loop out.
        seed: of the dropout masks.
        learn_initial_state: whether to learn the state before the first step.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, `trainable`.

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
        activation: Any = "tanh",
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
