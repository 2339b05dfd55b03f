"""What LSTM, GRU and simple cells share: three weights, two dropouts, one config."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.base import AbstractRNNCell, end_outside, ensure_begun_outside
from custom_lstm.cells.validation import (
    check_tensor,
    own_arguments,
    read_argument,
    write_argument,
)
from custom_lstm.typing import (
    Activation,
    ActivationLike,
    BatchSize,
    Config,
    ConstraintLike,
    DType,
    InitializerLike,
    Nest,
    RegularizerLike,
    Shape,
    Tensor,
)

Masks = tuple[Tensor, ...]
"""Dropout masks, `(batch, width)`: one for all gates, or one per gate."""


def gatewise_matmul(x: Tensor, kernel: Tensor, masks: Masks | None) -> Tensor:
    """Compute `x·W`, where gate k sees `x∘mask_k` if there are masks.

    Args:
        x: `(batch, features)` or `(batch, time, features)`.
        kernel: `(features, gates·units)`.
        masks: none, one for all gates, or one per gate: `(batch, features)` each.

    Returns:
        `(batch, gates·units)` or `(batch, time, gates·units)`.

    Example:
        >>> W = ops.ones((3, 2))
        >>> masks = ops.zeros((1, 3)), ops.ones((1, 3))
        >>> ops.convert_to_numpy(gatewise_matmul(ops.ones((1, 3)), W, masks))
        array([[0., 3.]], dtype=float32)
    """
    if masks is None:
        return ops.matmul(x, kernel)
    if len(x.shape) == 3:
        masks = tuple(ops.expand_dims(mask, 1) for mask in masks)
    kernels = ops.split(kernel, len(masks), axis=-1)
    products = [ops.matmul(x * mask, k) for mask, k in zip(masks, kernels, strict=True)]
    return ops.concatenate(products, axis=-1)


_KerasDropoutCell: Any = next(
    base
    for base in keras.layers.SimpleRNNCell.__mro__
    if base.__name__ == "DropoutRNNCell"
)
"""What `keras.layers.RNN` tells of the beginning and the end of a sequence."""


class GatedCell(AbstractRNNCell, _KerasDropoutCell):
    """Base of cells with `gates` linear maps of the inputs and of one hidden state h.

    h is the first state and the output. Weights, in Keras's names and orders: `kernel
    (features, gates·units)`, `recurrent_kernel (width of h, gates·units)`, `bias
    (gates·units,)`.

    Dropout multiplies the inputs, recurrent dropout the hidden state, by masks that
    are drawn once per sequence and stay the same over its steps (Gal and Ghahramani
    2016, https://arxiv.org/abs/1512.05287). With `recurrent_dropout`, or
    `implementation=1`, every gate has masks of its own, as in Keras.

    A subclass names its `gates`, hands its constructor's arguments on as `options`
    and writes `step`. Where not every gate sees the inputs, or h, it names those that
    do, in the order of the kernel, as `input_gates` and `recurrent_gates`.

    Args:
        options: the arguments of the subclass's constructor, by name: see
            `set_options`.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    gates: tuple[str, ...]
    units: int
    activation: Activation
    use_bias: bool
    bias: Tensor
    bias_initializer: keras.initializers.Initializer
    dropout: float
    recurrent_dropout: float
    implementation: int = 2
    _option_names: tuple[str, ...] = ()
    _axes_of_inputs = "features"

    def __init__(self, options: Config, **kwargs: Any):
        super().__init__(**kwargs)
        if options.get("bias_initializer", "zeros") is None:
            raise ValueError(
                f"{type(self).__name__}: `bias_initializer` must be an initializer, or "
                "its name. Received: bias_initializer=None"
            )
        self.set_options(options)
        self.state_size = self.units

    def set_options(self, options: Config) -> None:
        """Make attributes, and entries of `get_config`, of a constructor's arguments.

        Args:
            options: the arguments by name; those that are set already are left alone.
                They are read by `read_argument`. Those that draw a default seed do so
                in this order, which is to be Keras's.

        Raises:
            ValueError: if an argument is out of range.
        """
        names = [name for name in options if name not in self._option_names]
        for name in names:
            value = read_argument(type(self).__name__, name, options[name])
            setattr(self, name, value)
            if name == "seed":
                self.seed_generator = keras.random.SeedGenerator(value)
        self._option_names += tuple(names)

    def get_config(self) -> Config:
        """Return every constructor argument."""
        options = {
            name: write_argument(name, getattr(self, name))
            for name in self._option_names
        }
        return {**super().get_config(), **options}

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel` and `bias`."""
        features = input_shape[-1]
        if len(input_shape) != 2 or features is None:
            raise ValueError(
                f"{type(self).__name__}: inputs must be (batch, features) at each "
                f"step, with `features` known. Received shape: {tuple(input_shape)}"
            )
        self._add_weights(features)

    def _add_weights(self, features: int) -> None:
        """Add `kernel`, `recurrent_kernel` and `bias`."""
        self.kernel = self._add("kernel", (features, self.gate_width))
        if self.recurrent_shape:
            self.recurrent_kernel = self._add("recurrent", self.recurrent_shape)
        self.bias = self._add("bias", self.bias_shape) if self.use_bias else None

    @property
    def gate_width(self) -> int:
        """Width of what the gates see of the inputs: that of `x·W`."""
        return len(self.input_gates) * self.units

    @property
    def input_gates(self) -> tuple[str, ...]:
        """Names of the gates that `kernel` holds."""
        return self.gates

    @property
    def recurrent_gates(self) -> tuple[str, ...]:
        """Names of the gates that `recurrent_kernel` holds."""
        return self.gates

    @property
    def recurrent_size(self) -> int:
        """Width of h, as the next step sees it."""
        return self.output_size

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """Shape of `recurrent_kernel`; `()` if there is none."""
        return self.recurrent_size, len(self.recurrent_gates) * self.units

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of `bias`."""
        return (len(self.gates) * self.units,)

    def _add(self, kind: str, shape: tuple[int, ...], trainable: bool = True) -> Tensor:
        """Add a weight with the initializer, regularizer and constraint of `kind`."""
        return self.add_weight(
            trainable=trainable,
            shape=shape,
            name="recurrent_kernel" if kind == "recurrent" else kind,
            initializer=self._initial(kind),
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
        )

    def _initial(self, kind: str) -> InitializerLike:
        """What makes the initial value of the weight of this kind."""
        own = getattr(self, f"{kind}_initializer")
        return self._whole_bias if kind == "bias" else own

    def _whole_bias(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Initial value of all gates' biases."""
        return self.bias_initializer(shape, dtype=dtype)

    def project(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        """Compute `x·W + b`.

        Args:
            inputs: x, `(batch, features)` or `(batch, time, features)`.
            training: whether dropout is on.

        Returns:
            A tensor with `gates·units` in the place of `features`.

        Raises:
            ValueError: if `features` is not what the cell was built for.
        """
        self.check_features(inputs.shape)
        xW = self.product(inputs, self.kernel, self.input_masks(inputs, training))
        bias = self.input_bias()
        return xW if bias is None else xW + bias

    def recur(
        self, h: Tensor, training: bool | None, gates: tuple[str, ...] | None = None
    ) -> Tensor:
        """Compute `h·U`, with recurrent dropout if it is on.

        Args:
            h: hidden state, `(batch, width of h)`.
            training: whether recurrent dropout is on.
            gates: names of those, side by side in `recurrent_gates`, whose part of U
                is meant; by default all.

        Returns:
            `(batch, gates·units)`.
        """
        masks, U = self.recurrent_masks(h, training), self.recurrent_kernel
        if gates is not None:
            begin = self.recurrent_gates.index(gates[0])
            end = begin + len(gates)
            U = ops.convert_to_tensor(U)[..., begin * self.units : end * self.units]
            masks = masks[begin:end] if masks else None
        return self.recurrent_product(h, U, masks)

    def product(self, x: Tensor, kernel: Tensor, masks: Masks | None) -> Tensor:
        """Compute `x·W` for inputs x; see `gatewise_matmul`."""
        return gatewise_matmul(x, kernel, masks)

    def recurrent_product(
        self, h: Tensor, kernel: Tensor, masks: Masks | None
    ) -> Tensor:
        """Compute `h·U`, or the product with a part of U; see `gatewise_matmul`."""
        return gatewise_matmul(h, kernel, masks)

    def check_features(self, shape: Shape) -> None:
        """Raise a ValueError unless inputs have the features the cell knows."""
        if shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"{type(self).__name__} was built for {self.kernel.shape[0]} features. "
                f"Received inputs of shape {tuple(shape)}"
            )

    def input_bias(self) -> Tensor | None:
        """Return what the projected inputs are shifted by, or None."""
        return self.bias

    def input_masks(self, inputs: Tensor, training: bool | None) -> Masks | None:
        """Return the masks of the inputs, if they are dropped now."""
        if training and self.dropout:
            return self._sequence_masks("inputs", inputs)
        return None

    def recurrent_masks(self, h: Tensor, training: bool | None) -> Masks | None:
        """Return the masks of the hidden state, if it is dropped now."""
        if training and self.recurrent_dropout:
            return self._sequence_masks("recurrent", h)
        return None

    def begin_sequence(
        self, batch_size: BatchSize, training: bool | None = True
    ) -> dict[str, Masks]:
        """Draw the dropout masks of a sequence."""
        if training is False or not self.built:
            return {}
        return {
            name: self._draw(name, batch_size)
            for name, rate in self._dropout_rates().items()
            if rate
        }

    def _dropout_rates(self) -> dict[str, float]:
        return {"inputs": self.dropout, "recurrent": self.recurrent_dropout}

    def _draw(self, name: str, batch_size: BatchSize) -> Masks:
        rate = self._dropout_rates()[name]
        own_masks = self.implementation == 1 or self.recurrent_dropout
        shape = (batch_size, *self._dropped_shape(name))
        ones = ops.ones(shape, dtype=self.compute_dtype)
        gates = self.input_gates if name == "inputs" else self.recurrent_gates
        return tuple(
            keras.random.dropout(ones, rate, seed=self.seed_generator)
            for _ in range(len(gates) if own_masks else 1)
        )

    def _dropped_shape(self, name: str) -> tuple[int, ...]:
        """Shape of what is dropped of a sequence: "inputs", or h."""
        return (self.kernel.shape[0] if name == "inputs" else self.recurrent_size,)

    def _sequence_masks(self, name: str, tensor: Tensor) -> Masks:
        """Return the masks of the sequence in progress, or else new ones."""
        masks = (self.drawn or {}).get(name)
        return self._draw(name, ops.shape(tensor)[0]) if masks is None else masks

    def get_dropout_mask(self, step_input: Tensor) -> None:
        """Begin a sequence: called by `keras.layers.RNN` before its loop."""
        ensure_begun_outside(self, ops.shape(step_input)[0])

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> None:
        """Do nothing: `get_dropout_mask` has drawn all masks."""

    def reset_dropout_mask(self) -> None:
        """End the sequence: called by `keras.layers.RNN` after its loop."""
        end_outside(self)

    def reset_recurrent_dropout_mask(self) -> None:
        """Do nothing: `reset_dropout_mask` has forgotten all masks."""

    def _rank_of_inputs(self) -> int:
        """Number of the axes of one step's inputs."""
        return 2

    def __call__(
        self, inputs: Tensor, states: Nest, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Nest]:
        """Run `call` and check what goes in, `(batch, features)`, and comes out."""
        check_tensor(type(self).__name__, "inputs", inputs)
        if len(inputs.shape) != self._rank_of_inputs():
            raise ValueError(
                f"{type(self).__name__}: inputs of one step must have the axes (batch, "
                f"{self._axes_of_inputs}). Received shape: {tuple(inputs.shape)}"
            )
        return super().__call__(inputs, states, *args, **kwargs)


class GatedUnitCell(GatedCell):
    """Base of gated cells whose constructor takes what most take, and has little more.

    Args:
        units: width of h.
        activation: tanh of the candidate; None is linear.
        recurrent_activation: σ of the gates; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel`.
        recurrent_initializer: of `recurrent_kernel`.
        bias_initializer: of `bias`.
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
    """

    recurrent_activation: Activation

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
        kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(own_arguments(locals()), **kwargs)


class InputGatedCell(GatedCell):
    """Base of gated cells without `h·U`: what the gates see is the inputs alone.

    Args:
        units: width of the output.
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel (features, gates·units)`.
        bias_initializer: of `bias (gates·units,)`.
        kernel_regularizer: penalty on `kernel`.
        bias_regularizer: penalty on `bias`.
        kernel_constraint: projection of `kernel` after each update.
        bias_constraint: projection of `bias`.
        dropout: fraction of the inputs to drop, in [0, 1).
        seed: of the dropout masks.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    recurrent_dropout = 0.0

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__({"seed": seed, **own_arguments(locals())}, **kwargs)

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """`()`: there is no `recurrent_kernel`."""
        return ()

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """As wide as `kernel`."""
        return (self.gate_width,)

    def _dropout_rates(self) -> dict[str, float]:
        return {"inputs": self.dropout}
