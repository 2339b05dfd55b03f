"""Cells whose products are convolutions: states are images, volumes or signals."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.gated import GatedCell, Masks
from custom_lstm.cells.gru import GRUCell
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.validation import (
    StateShape,
    check_choice,
    check_positive,
    own_arguments,
)
from custom_lstm.typing import (
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
    States,
    Tensor,
)

Size = int | Sequence[int]
"""One length for all axes of an image, or one for each."""


class ConvolutionalCell(GatedCell):
    """Base of cells in which `x·W` and `h·U` are convolutions over images.

    The first of a subclass's bases; the second is the cell whose equations it keeps.
    `kernel` is `(*kernel_size, channels, gates·filters)`, `recurrent_kernel`
    `(*kernel_size, filters, gates·filters)`, `bias (gates·filters,)`. The recurrent
    convolution has strides of 1 and keeps the size of the state.

    Args:
        options: the arguments of the subclass's constructor, by name.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    filters: int
    kernel_size: Size
    strides: Size
    padding: str
    data_format: str
    dilation_rate: Size
    implementation = 1  # with dropout, every gate has masks of its own, as in Keras
    _axes_of_inputs = "..., channels"

    def __init__(self, options: dict[str, Any], **kwargs: Any):
        owner, options = type(self).__name__, dict(options)
        for name in ("kernel_size", "strides", "dilation_rate"):
            options[name] = _lengths(owner, name, options[name])
        filters = options["filters"]
        options["filters"] = check_positive(owner, "filters", filters, whole=True)
        padding = str(options["padding"]).lower()
        options["padding"] = check_choice(owner, "padding", padding, ("valid", "same"))
        data_format = options["data_format"] or keras.config.image_data_format()
        formats = ("channels_last", "channels_first")
        check_choice(owner, "data_format", data_format, formats)
        options["data_format"] = data_format
        GatedCell.__init__(self, options, **kwargs)
        strided, dilated = (
            max(keras.tree.flatten(size)) > 1
            for size in (self.strides, self.dilation_rate)
        )
        if strided and dilated:
            raise ValueError(
                f"{owner}: either `strides` or `dilation_rate` must be 1. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}"
            )
        del self._state_size  # known once it is built

    @property
    def units(self) -> int:  # type: ignore[override]
        """Number of channels of the states."""
        return self.filters

    def build(self, input_shape: Shape) -> None:
        """Build the weights for images of one size, `(batch, *image, channels)`."""
        *image, channels = self._channels_last(tuple(input_shape)[1:])
        if not 1 <= len(image) <= 3 or None in (*image, channels):
            raise ValueError(
                f"{type(self).__name__}: inputs must be (batch, "
                f"{self._axes_of_inputs}) at each step, with one to three axes of "
                f"known length besides the channels. Received shape: {input_shape}"
            )
        self.rank = len(image)
        size = self._each("kernel_size")
        for name in ("strides", "dilation_rate"):
            self._each(name)
        spans = zip(size, self._each("dilation_rate"), image, strict=True)
        too_large = any((k - 1) * d >= length for k, d, length in spans)
        if self.padding == "valid" and too_large:
            raise ValueError(
                f"{type(self).__name__}: no step of the kernel {size} fits into images "
                f'of shape {tuple(image)}; write padding="same" or a smaller kernel.'
            )
        width = len(self.gates) * self.filters
        self.kernel = self._add("kernel", (*size, channels, width))
        self.recurrent_kernel = self._add("recurrent", (*size, self.filters, width))
        self.bias = self._add("bias", self.bias_shape) if self.use_bias else None
        self._image = (*image, channels)
        made = self._convolve(
            keras.KerasTensor((1, *self._image)), keras.KerasTensor(self.kernel.shape)
        )
        self._state_image = (*made.shape[1:-1], self.filters)
        shape = self._channels_last(self._state_image, back=True)
        states = len(self.state_names or ("h",))
        self.state_size = (
            [StateShape(shape)] * states if states > 1 else (StateShape(shape))
        )

    def _each(self, name: str) -> tuple[int, ...]:
        """One length for each axis of an image, of an argument."""
        size = getattr(self, name)
        lengths = (size,) * self.rank if isinstance(size, int) else tuple(size)
        if len(lengths) != self.rank:
            raise ValueError(
                f"{type(self).__name__}: `{name}` must be one number, or one for each "
                f"of the {self.rank} axes of an image. Received: {name}={size}"
            )
        return lengths

    def _channels_last(self, axes: Any, back: bool = False) -> Any:
        """The axes of one image, or a tensor of images, with the channels last."""
        if self.data_format == "channels_last":
            return axes
        if isinstance(axes, tuple):
            return (axes[-1], *axes[:-1]) if back else (*axes[1:], axes[0])
        first = -self.rank - 1
        return ops.moveaxis(axes, *((-1, first) if back else (first, -1)))

    def _convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(
            x,
            kernel,
            strides=self._each("strides"),
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self._each("dilation_rate"),
        )

    def product(self, x: Tensor, kernel: Tensor, masks: Masks | None) -> Tensor:
        """Convolve inputs, of one step or of all: `(batch, [time,] *image, ...)`."""
        x = self._channels_last(x)
        if len(x.shape) == self.rank + 2:
            return _gatewise(x, kernel, masks, self._convolve)
        if masks is not None:
            masks = tuple(ops.expand_dims(mask, 1) for mask in masks)
        return _gatewise(x, kernel, masks, self._convolve_steps)

    def _convolve_steps(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Convolve `(batch, time, *image, channels)`."""
        batch, time = ops.shape(x)[:2]
        known = isinstance(batch, int) and isinstance(time, int)
        rows = batch * time if known else -1
        made = self._convolve(ops.reshape(x, (rows, *x.shape[2:])), kernel)
        return ops.reshape(made, (batch, time, *made.shape[1:]))

    def recurrent_product(
        self, h: Tensor, kernel: Tensor, masks: Masks | None
    ) -> Tensor:
        """Convolve the hidden state, and keep its size."""

        def convolve(x: Tensor, kernel: Tensor) -> Tensor:
            return ops.conv(x, kernel, padding="same", data_format="channels_last")

        return _gatewise(h, kernel, masks, convolve)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states: the equations of the cell that is convolved.

        Args:
            projected: what `project` returned, with the channels last.
            states: list of images, `(batch, *image)`.
            training: whether recurrent dropout is on.

        Returns:
            h', and the new states.
        """
        states = [self._channels_last(state) for state in states]
        h, new = super().step(projected, states, training)  # type: ignore[misc]
        new = [self._channels_last(state, back=True) for state in new]
        return new[0], new

    def check_features(self, shape: Shape) -> None:
        """Raise a ValueError unless inputs are images as the cell knows them."""
        image = tuple(shape)[-self.rank - 1 :]
        if self._channels_last(image) != self._image:
            raise ValueError(
                f"{type(self).__name__} was built for images of shape "
                f"{self._channels_last(self._image, back=True)}. Received inputs of "
                f"shape {tuple(shape)}"
            )

    def _dropped_shape(self, name: str) -> tuple[int, ...]:
        return self._image if name == "inputs" else self._state_image

    def _rank_of_inputs(self) -> int:
        return self.rank + 2

    def __call__(self, inputs: Tensor, states: Any, *args: Any, **kwargs: Any) -> Any:
        """Run `call` and check what goes in, `(batch, *image)`, and comes out."""
        if not getattr(self, "built", False):
            self.build(tuple(inputs.shape))
            self.built = True
        return super().__call__(inputs, states, *args, **kwargs)


def _gatewise(x: Tensor, kernel: Tensor, masks: Masks | None, convolve: Any) -> Tensor:
    """Convolve with all gates' kernels, where gate k sees `x∘mask_k`."""
    if masks is None:
        return convolve(x, ops.convert_to_tensor(kernel))
    kernels = ops.split(ops.convert_to_tensor(kernel), len(masks), axis=-1)
    pairs = zip(masks, kernels, strict=True)
    return ops.concatenate([convolve(x * mask, k) for mask, k in pairs], axis=-1)


def _lengths(owner: str, name: str, size: Any) -> Size:
    if isinstance(size, list | tuple) and size:
        return tuple(check_positive(owner, name, one, whole=True) for one in size)
    return check_positive(owner, name, size, whole=True)


@keras.saving.register_keras_serializable(package="custom_lstm")
class ConvLSTMCell(ConvolutionalCell, LSTMCell):
    """One time step of a convolutional LSTM, with states `[h, c]` that are images.

        z = x∗W + h∗U + b           i, f, o = σ(z_i), σ(z_f), σ(z_o)    g = tanh(z_g)
        c' = f∘c + i∘g              h' = o∘tanh(c')

    `RNN(ConvLSTMCell(...))` computes what `keras.layers.ConvLSTM1D`, `ConvLSTM2D` and
    `ConvLSTM3D` do, whose weights it takes; the inputs say how many axes an image has.

    Args:
        filters: number of channels of h and c.
        kernel_size: of both convolutions: one number, or one for each axis.
        strides: of the convolution of the inputs.
        padding: "valid" or "same", of the convolution of the inputs.
        data_format: "channels_last" or "channels_first"; by default Keras's setting.
        dilation_rate: of the convolution of the inputs.
        activation: tanh of the candidate and of c'; None is linear.
        recurrent_activation: σ of the three gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (*kernel_size, channels, 4·filters)`.
        recurrent_initializer: of `recurrent_kernel`.
        bias_initializer: of `bias (4·filters,)`.
        unit_forget_bias: start the forget gate's bias at 1.
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
        ValueError: if an argument is out of range, or images are not of known size.

    Source: Shi et al., 2015, https://arxiv.org/abs/1506.04214, without peepholes.

    Example:
        >>> from custom_lstm import RNN
        >>> layer = RNN(ConvLSTMCell(8, 3, padding="same"), return_sequences=True)
        >>> tuple(layer(ops.ones((2, 5, 16, 16, 1))).shape)
        (2, 5, 16, 16, 8)
    """

    output_activation = None

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        strides: Size = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Size = 1,
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
        kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)


@keras.saving.register_keras_serializable(package="custom_lstm")
class ConvGRUCell(ConvolutionalCell, GRUCell):
    """One time step of a convolutional GRU, with a state `[h]` that is an image.

        z, r = σ(x∗W + h∗U + b)         g = tanh(x∗W_g + (r∘h)∗U_g + b_g)
        h' = z∘h + (1 − z)∘g

    The inputs say how many axes an image has, one to three.

    Args:
        filters: number of channels of h.
        kernel_size: of both convolutions: one number, or one for each axis.
        strides: of the convolution of the inputs.
        padding: "valid" or "same", of the convolution of the inputs.
        data_format: "channels_last" or "channels_first"; by default Keras's setting.
        dilation_rate: of the convolution of the inputs.
        activation: tanh of the candidate; None is linear.
        recurrent_activation: σ of the two gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (*kernel_size, channels, 3·filters)`.
        recurrent_initializer: of `recurrent_kernel`.
        bias_initializer: of `bias (3·filters,)`.
        kernel_regularizer: penalty on `kernel`.
        recurrent_regularizer: penalty on `recurrent_kernel`.
        bias_regularizer: penalty on `bias`.
        kernel_constraint: projection of `kernel` after each update.
        recurrent_constraint: projection of `recurrent_kernel`.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        recurrent_dropout: fraction of h to drop, in [0, 1).
        reset_after: whether the reset gate acts after the convolution, as in Keras's
            GRU, and not before, as published.
        seed: of the dropout masks.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of range, or images are not of known size.

    Source: Ballas et al., 2016, https://arxiv.org/abs/1511.06432. There z and 1 − z
    are exchanged; here they are as in `keras.layers.GRU`.

    Example:
        >>> from custom_lstm import RNN
        >>> layer = RNN(ConvGRUCell(8, 3, padding="same"))
        >>> tuple(layer(ops.ones((2, 5, 16, 16, 1))).shape)
        (2, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        strides: Size = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Size = 1,
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
        reset_after: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)
