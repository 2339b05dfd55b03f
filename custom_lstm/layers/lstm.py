"""The LSTM layer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from custom_lstm.cells import LSTMCell
from custom_lstm.cells.validation import check_choice, own_arguments
from custom_lstm.kernels import registry
from custom_lstm.kernels.loop import zeroed
from custom_lstm.layers.gated_rnn import GatedRNN
from custom_lstm.layers.nests import known_size
from custom_lstm.layers.steps import boolean_mask
from custom_lstm.typing import (
    ActivationLike,
    Config,
    ConstraintLike,
    InitializerLike,
    Nest,
    RegularizerLike,
    Tensor,
)


@keras.saving.register_keras_serializable(package="custom_lstm")
class LSTM(GatedRNN):
    """A long short-term memory over whole sequences: `RNN` around an `LSTMCell`.

    A drop-in for `keras.layers.LSTM`: same arguments, defaults, weights and initial
    values. `custom_lstm.cells.lstm.lstm_step` has the equations.

    Args:
        units: width of the output, of h and of c.
        activation: of the candidate; tanh by default, None is linear.
        recurrent_activation: of the three gates; σ by default, None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, 4·units)`.
        recurrent_initializer: of `recurrent_kernel (units, 4·units)`.
        bias_initializer: of `bias (4·units,)`.
        unit_forget_bias: whether the forget gate's bias starts at 1 (Jozefowicz et al.
            2015), whatever `bias_initializer` says, unless it is `Chrono`.
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
        return_state: whether to return the last states too: `(output, h, c)`.
        go_backwards: whether to begin at the last step. Outputs then come in the
            order in which they were computed.
        stateful: whether each batch continues from the last states of the one before.
        unroll: whether to unroll the loop; quicker for short sequences.
        use_cudnn: `"auto"`, True or False: whether cuDNN runs it where it can, that is
            on a GPU, without masks; with True nothing else does.
        implementation: 1 gives every gate dropout masks of its own; 2 one for all,
            unless there is `recurrent_dropout`.
        output_activation: of c' in h'. By default the same as `activation`.
        learn_initial_state: whether to learn the state before the first step.
        kernel: what runs the sequence: `"auto"`, the fastest that can; `"reference"`,
            the cell, step by step; or another of
            `custom_lstm.kernels.registry.KERNELS`.
        **kwargs: `zero_output_for_mask` (see `RNN`), `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: `[h, c]`, `(batch, units)` each.
        mask: boolean `(batch, time)`. A step where it is False leaves the states as
            they are.
        training: whether dropout is on.

    Attributes:
        kernel_used: name of the kernel that was chosen last, or None. An eager call
            chooses each time. A compiled one (in `tf.function`, `jax.jit`, `fit`,
            `predict`) chooses while it is traced, once for its shapes, and runs the
            same kernel from then on: `kernel_for` returns which.
        kernel_reason: if it was `"reference"`, because no other kernel can run the
            call: why not. Or None.

    Raises:
        ValueError: if an argument is out of range, or (in a call) the named kernel
            cannot run.

    Example:
        >>> layer = LSTM(4, return_state=True)
        >>> output, h, c = layer(keras.ops.ones((2, 5, 3)))
        >>> tuple(output.shape), tuple(c.shape)
        ((2, 4), (2, 4))
    """

    cell_class = LSTMCell
    cell_name = "lstm_cell"
    kernel_used: str | None = None
    kernel_reason: str | None = None

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
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        output_activation: ActivationLike = None,
        learn_initial_state: bool = False,
        kernel: str = "auto",
        **kwargs: Any,
    ):
        options = own_arguments(locals())
        check_choice(type(self).__name__, "kernel", kernel, registry.NAMES)
        super().__init__({k: v for k, v in options.items() if k != "kernel"}, **kwargs)
        self.kernel = kernel
        may_be = self._named() in ("auto", "cudnn") and not self._why_no_cudnn()
        if may_be and keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA does not know cuDNN's operation

    def get_config(self) -> Config:
        """Return every constructor argument."""
        return {**super().get_config(), "kernel": self.kernel}

    def kernel_for(
        self, sequences: Tensor, mask: Tensor | None = None, training: bool = False
    ) -> str:
        """Return the name of the kernel that runs a call with these arguments.

        Args:
            sequences: a tensor, or what has the `shape` of one, such as a
                `keras.KerasTensor`: `(batch, time, features)`, or with the time first
                if the layer has it so, and None for a size that is not known when the
                call is compiled.
            mask: the mask, or None. What it holds does not matter.
            training: whether dropout is on.

        Raises:
            ValueError: if the layer names a kernel that cannot run them.

        Example:
            >>> layer = LSTM(4, kernel="reference")
            >>> layer.kernel_for(keras.KerasTensor((None, 5, 3)))
            'reference'
        """
        eager = hasattr(sequences, "numpy") and registry.runs_eagerly()
        shape = self._batch_first_shapes(tuple(sequences.shape))
        request = self._request(shape, mask, training, eager)
        return registry.choose(self._named(), request).name

    def _named(self) -> str:
        return "cudnn" if self.use_cudnn is True else self.kernel

    def _why_no_cudnn(self) -> str | None:
        """Return why cuDNN can never run the layer, or None."""
        return registry.supports("cudnn", self._request((None, None, 1), None, False))

    def inner_loop(
        self,
        sequences: Nest,
        initial_state: Nest,
        mask: Nest,
        training: bool | None = False,
        constants: Nest = None,
    ) -> tuple[Nest, Nest, Nest]:
        """Run all steps by the kernel chosen for these inputs; see `RNN.inner_loop`."""
        cell = self.cell
        variables = [weight.value for weight in cell.weights]
        given = [sequences, *initial_state, *variables]
        request = self._request(
            sequences.shape,
            mask,
            training,
            registry.runs_eagerly(),
            registry.transformation(given),
            registry.of_higher_order(given),
        )
        kernel = registry.choose(self._named(), request)
        self.kernel_used = kernel.name
        self.kernel_reason = registry.why_stepped(request) if not kernel.run else None
        if kernel.run is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        cell.check_features(sequences.shape)
        mask = boolean_mask(mask)
        if mask is not None:
            sequences = zeroed(mask, sequences)
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
            count = ops.cast(count, outputs.dtype)[..., None]
            outputs = outputs[:, -1:] if request.only_last else outputs
            outputs = outputs * (count[:, -1:] if request.only_last else count)
        return outputs[:, -1], outputs, [h, c]

    def _request(
        self,
        shape: Sequence[Any],
        mask: Nest,
        training: bool | None,
        eager: bool = False,
        transformed: str | None = None,
        higher_order: bool = False,
    ) -> registry.Request:
        cell = self.cell
        own_masks = cell.implementation == 1 or cell.recurrent_dropout
        drops = training and (cell.dropout or cell.recurrent_dropout)
        *unsure, features = shape
        batch, time = map(known_size, unsure)
        masked = mask is not None
        backwards = self.unroll and self.go_backwards
        return registry.Request(
            batch=batch,
            time=time,
            features=int(features),
            units=cell.units,
            dtype=self.compute_dtype,
            masked=masked,
            cell=type(cell).__name__,
            activations=(
                cell.activation,
                cell.recurrent_activation,
                cell.output_activation or cell.activation,
            ),
            gatewise_dropout=bool(drops and own_masks),
            unroll=self.unroll,
            cudnn=bool(self.use_cudnn),
            zeros_as_keras=backwards and masked and self.zero_output_for_mask,
            eager=eager,
            transformed=transformed,
            all_states=self.return_all_states,
            training=bool(training),
            only_last=not self.return_sequences,
            jit=registry.compiled_by_xla(),
            higher_order=higher_order,
        )


def _begun(mask: Tensor) -> Tensor:
    """Return where an unmasked step has been: outputs before are 0, as in Keras."""
    return ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
