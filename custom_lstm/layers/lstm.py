"""The LSTM layer."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.validation import check_choice, own_arguments
from custom_lstm.kernels import lstm as kernels
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
        use_cudnn: `"auto"`, True or False: whether cuDNN runs it where it can, that is
            on a GPU, without masks; with True nothing else does.
        implementation: 1 gives every gate dropout masks of its own.
        output_activation: tanh of c' in h'. By default the same as `activation`.
        learn_initial_state: whether to learn the state before the first step.
        kernel: what runs the sequence: `"auto"`, the fastest that can; `"reference"`,
            the cell, step by step; or another of `custom_lstm.kernels.lstm.KERNELS`.
        **kwargs: `zero_output_for_mask`, `name`, `dtype`, `trainable`.

    Attributes:
        kernel_used: name of the kernel that the last call ran.

    Raises:
        ValueError: if an argument is out of range, or (in a call) the kernel asked
            for cannot run.

    Example:

    >>> layer = LSTM(4, return_state=True)
    >>> output, h, c = layer(keras.ops.ones((2, 5, 3)))
    >>> tuple(output.shape), tuple(c.shape)
    ((2, 4), (2, 4))
    """

    cell_class = LSTMCell
    cell_name = "lstm_cell"
    kernel_used: str | None = None

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
        kernel: str = "auto",
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        check_choice(type(self).__name__, "kernel", kernel, kernels.NAMES)
        super().__init__({k: v for k, v in options.items() if k != "kernel"}, **kwargs)
        self.kernel = kernel
        may_be = self._asked() in ("auto", "cudnn") and not self._why_no_cudnn()
        if may_be and keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA does not know cuDNN's operation

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "kernel": self.kernel}

    def _asked(self) -> str:
        return "cudnn" if self.use_cudnn is True else self.kernel

    def _why_no_cudnn(self) -> str | None:
        """Why cuDNN can never run the layer, or None."""
        return kernels.why_not("cudnn", self._request((None, None, 1), None, False))

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: Any = False
    ) -> Any:
        """All steps, by the kernel chosen for these inputs; see `RNN.inner_loop`."""
        cell = self.cell
        request = self._request(sequences.shape, mask, training)
        kernel = kernels.choose(self._asked(), request)
        self.kernel_used = kernel.name
        if kernel.run is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        cell.check_features(sequences.shape)
        if mask is not None:
            mask = ops.cast(keras.tree.flatten(mask)[0], "bool")
            mask = mask if len(mask.shape) == 2 else ops.squeeze(mask, -1)
        if self.go_backwards:
            sequences = ops.flip(sequences, 1)
            mask = None if mask is None else ops.flip(mask, 1)
        dropped = cell.input_masks(sequences, training)
        if dropped is not None:
            sequences = sequences * ops.expand_dims(dropped[0], 1)
        bias = cell.bias if cell.use_bias else ops.zeros((4 * cell.units,))
        weights = cell.kernel, cell.recurrent_kernel, bias
        tensors = (
            ops.cast(tensor, self.compute_dtype)
            for tensor in (sequences, *initial_state, *weights)
        )
        outputs, h, c = kernel.run(request, *tensors, mask)
        if mask is not None:
            count = mask if self.zero_output_for_mask else _begun(mask)
            outputs = outputs * ops.cast(count, outputs.dtype)[..., None]
        return outputs[:, -1], outputs, [h, c]

    def _request(self, shape: Any, mask: Any, training: Any) -> kernels.Request:
        cell = self.cell
        own_masks = cell.implementation == 1 or cell.recurrent_dropout
        drops = training and (cell.dropout or cell.recurrent_dropout)
        *unsure, features = shape  # JAX has symbols in place of unknown sizes
        batch, time = (size if isinstance(size, int) else None for size in unsure)
        return kernels.Request(
            batch=batch,
            time=time,
            features=features,
            units=cell.units,
            dtype=self.compute_dtype,
            masked=mask is not None,
            cell=type(cell).__name__,
            activations=(
                cell.activation,
                cell.recurrent_activation,
                cell.output_activation or cell.activation,
            ),
            gatewise_dropout=bool(drops and own_masks),
            unroll=self.unroll,
            cudnn=bool(self.use_cudnn),
            zeros_as_keras=bool(
                self.unroll
                and self.go_backwards
                and self.zero_output_for_mask
                and mask is not None
            ),
        )


def _begun(mask: Any) -> Any:
    """Where a step has been that counts: outputs before are 0, as in Keras."""
    return ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
