"""The LSTM layer."""

from typing import Any

import keras

from custom_lstm.cells.arguments import own_arguments
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.layers.gated import GatedRNN


@keras.saving.register_keras_serializable(package="custom_lstm")
class LSTM(GatedRNN):
    """A long short-term memory over whole sequences: `RNN` around an `LSTMCell`.

    A drop-in for `keras.layers.LSTM`: same arguments, defaults, weights and initial
    values. The equations stand in `custom_lstm.cells.lstm.lstm_step`.

    Args:
        units: width of the output, of h and of c.
        activation: tanh of the candidate; None is linear.
        recurrent_activation: σ of the three gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, 4·units)`.
        recurrent_initializer: of `recurrent_kernel (units, 4·units)`.
        bias_initializer: of `bias (4·units,)`.
        unit_forget_bias: start the forget gate's bias at 1.
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
        return_state: with it, `(output, h, c)` is returned.
        go_backwards: begin at the last step.
        stateful: go on from the batch before.
        unroll: write the loop out.
        use_cudnn: `"auto"` or False. There is no cuDNN here: with True, as in Keras
            where cuDNN cannot run, the layer is made but not built.
        implementation: 1 gives every gate dropout masks of its own.
        output_activation: tanh of c' in h'. By default the same as `activation`.
        learn_initial_state: whether to learn the state before the first step.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> layer = LSTM(4, return_state=True)
    >>> output, h, c = layer(keras.ops.ones((2, 5, 3)))
    >>> tuple(output.shape), tuple(c.shape)
    ((2, 4), (2, 4))
    """

    cell_class = LSTMCell
    cell_name = "lstm_cell"

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        output_activation: Any = None,
        learn_initial_state: bool = False,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)
