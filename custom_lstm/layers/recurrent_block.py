"""Recurrent layers over the slices of 3-D images."""

import inspect
from collections.abc import Sequence
from typing import Any, Self, TypeAlias, TypeVar

import keras
from keras import ops

from custom_lstm.cells.validation import (
    check_choice,
    check_flag,
    check_number,
    check_positive,
    check_rate,
    check_seed,
    check_tensor,
    fits,
    write_argument,
)
from custom_lstm.layers.gru import GRU
from custom_lstm.layers.lstm import LSTM
from custom_lstm.layers.rnn import RNN
from custom_lstm.layers.simple_rnn import SimpleRNN
from custom_lstm.layers.time_distributed import TimeDistributed
from custom_lstm.typing import Activation, ActivationLike, Config, Shape, Tensor

_OWNER = "RecurrentBlock"
OUTPUTS = ("vector", "sequence", "aggregate")
KINDS: dict[str, type[RNN]] = {"simple": SimpleRNN, "gru": GRU, "lstm": LSTM}
CellLike: TypeAlias = str | type[keras.layers.Layer] | keras.layers.Layer
Value = TypeVar("Value")
Each: TypeAlias = Value | Sequence[Value]
"""One value for all layers, or a list or tuple of one for each."""


@keras.saving.register_keras_serializable(package="custom_lstm")
class RecurrentBlock(keras.layers.Layer):
    """One encoder for every slice of a 3-D image, then recurrent layers over them.

        image → slices x₁ … x_T → encoder(x_t) → layer 1 → … → layer n → output

    What each layer k does, from slice to slice,

        h_t = cell_k(dropout(x_t), h_(t−1))         y_t = act_k(W_k·norm(h_t) + b_k)

    is set by arguments that hold one value for all layers, or a list or tuple of one
    value for each. The block has as many layers as the longest of them has values.

    The block follows the detector network of HAhRD (Google Summer of Code 2018): a
    shared convolution network over 40 slices, then LSTM layers with output sizes of
    their own.

    Args:
        encoder: layer or model, `(batch, x, y, channels)` → `(batch, features)`,
            applied to every slice with the same weights.
        hidden_sizes: width of each layer's hidden state; None where `cell` is an
            instance, which knows it.
        output_sizes: width of y; None leaves W and b out, and y is as wide as h.
        cell: `"simple"`, `"gru"`, `"lstm"`, the class of a recurrent cell that takes
            its width first, or an instance.
        output_activation: such as `"relu"` or `"tanh"`; None is linear.
        output: `"vector"` for y at the last slice, `"sequence"` for y at all of
            them, `"aggregate"` for these, concatenated into one vector.
        weight_decay: λ in the loss λ·Σw² over the weights of the recurrent layers,
            W_k among them. Biases, gains and the encoder are left out; so is a weight
            that has a regulariser already.
        dropout: fraction of a layer's inputs dropped in training, in [0, 1): the same
            ones at every slice (Gal and Ghahramani 2016,
            https://arxiv.org/abs/1512.05287).
        layer_norm: whether h is normalised (Ba et al. 2016,
            https://arxiv.org/abs/1607.06450).
        seed: of dropout.
        unroll: whether to unroll the loop.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        images: `(batch, x, y, slices)`, or `(batch, slices, x, y, channels)`.
        mask: boolean `(batch, slices)`. At a slice where it is False, a dead layer of
            a detector say, states stay as they are, and its part of an aggregate is 0.
        training: whether dropout is on.

    Returns:
        `(batch, size)`, `(batch, slices, size)` or `(batch, slices·size)`, as `output`
        says, with the last layer's output size.

    Raises:
        ValueError: if arguments, images or mask do not fit.

    Example:
        >>> encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)])
        >>> block = RecurrentBlock(encoder, [16, 12], [None, 6], cell=["gru", "lstm"])
        >>> tuple(block(ops.ones((2, 5, 5, 40))).shape)
        (2, 6)
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        hidden_sizes: Each[int | None],
        output_sizes: Each[int | None] = None,
        cell: Each[CellLike] = "lstm",
        output_activation: Each[ActivationLike] = None,
        output: str = "vector",
        weight_decay: float = 0.0,
        dropout: Each[float] = 0.0,
        layer_norm: Each[bool] = False,
        seed: int | None = None,
        unroll: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.layers.Layer):
            raise ValueError(
                f"{_OWNER}: `encoder` must be a layer or a model. Received: {encoder!r}"
            )
        self.kind = check_choice(_OWNER, "output", output, OUTPUTS)
        self.weight_decay = float(check_number(_OWNER, "weight_decay", weight_decay, 0))
        self.seed = check_seed(_OWNER, seed)
        self.unroll = check_flag(_OWNER, "unroll", unroll)
        self.encode = TimeDistributed(encoder, name="encode")
        self.stages = self._make_stages(
            hidden_sizes=hidden_sizes,
            output_sizes=output_sizes,
            cell=cell,
            output_activation=output_activation,
            dropout=dropout,
            layer_norm=layer_norm,
        )
        self.supports_masking = True

    def _make_stages(self, **arguments: Any) -> list["Stage"]:
        layers = _per_layer(**arguments)
        stages = [
            Stage(
                **layer,
                seed=None if self.seed is None else self.seed + k,
                return_sequences=k < len(layers) - 1 or self.kind != "vector",
                unroll=self.unroll,
                name=f"layer_{k + 1}",
                dtype=self.dtype_policy,
            )
            for k, layer in enumerate(layers)
        ]
        if len({id(stage.recurrent.cell) for stage in stages}) < len(layers):
            raise ValueError(
                f"{_OWNER}: {len(layers)} layers need as many cells, not one instance "
                f"for all. Received: cell={arguments['cell']!r}"
            )
        return stages

    def get_config(self) -> Config:
        """Return every constructor argument; those of the layers as lists."""
        stages = self.stages
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encode.layer),
            "hidden_sizes": [stage.hidden_size for stage in stages],
            "output_sizes": [stage.output_size for stage in stages],
            "cell": [
                stage.kind or keras.saving.serialize_keras_object(stage.recurrent.cell)
                for stage in stages
            ],
            "output_activation": [
                write_argument("activation", stage.activation) for stage in stages
            ],
            "output": self.kind,
            "weight_decay": self.weight_decay,
            "dropout": [stage.dropout.rate for stage in stages],
            "layer_norm": [stage.norm is not None for stage in stages],
            "seed": self.seed,
            "unroll": self.unroll,
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the block whose `get_config` this is."""

        def read(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            return keras.saving.deserialize_keras_object(value, custom_objects)

        parts = {
            "encoder": read(config["encoder"]),
            "cell": [read(cell) for cell in config["cell"]],
        }
        return cls(**{**config, **parts})

    def build(self, images_shape: Shape) -> None:
        """Build the encoder and the layers."""
        shape = self._slices_shape(images_shape)
        self.encode.build(shape)
        features = self.encode.compute_output_spec(
            keras.KerasTensor(shape, self.compute_dtype)
        ).shape
        if len(features) != 3 or features[-1] is None:
            raise ValueError(
                f"RecurrentBlock {self.name!r}: `encoder` must make a vector (batch, "
                f"features) of each slice (batch, {', '.join(map(str, shape[2:]))}). "
                f"It makes: (batch, {', '.join(map(str, features[2:]))})"
            )
        for stage in self.stages:
            stage.build(features)
            features = (*features[:2], stage.width)
            if self.weight_decay:
                stage.regularize(self.weight_decay)

    def compute_output_shape(self, images_shape: Shape) -> Shape:
        """Return `(batch, size)`, `(batch, slices, size)` or `(batch, slices·size)`."""
        batch, slices = self._slices_shape(images_shape)[:2]
        size = self.stages[-1].width
        if self.kind == "sequence":
            return batch, slices, size
        return batch, size if self.kind == "vector" else slices * size

    def compute_mask(self, images: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask of the slices for a sequence; vectors have none."""
        return mask if self.kind == "sequence" else None

    def call(
        self, images: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Encode every slice, run the layers over them, gather the outputs."""
        who = f"{_OWNER} {self.name!r}"
        check_tensor(who, "images", images)
        if mask is not None:
            check_tensor(who, "`mask`", mask, "booleans")
        batch, slices, *_ = self._slices_shape(images.shape, mask)
        if len(images.shape) == 4:
            images = ops.expand_dims(ops.transpose(images, (0, 3, 1, 2)), -1)
        x = self.encode(images, training=training)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        for stage in self.stages:
            x = stage(x, mask=mask, training=training)
        if self.kind != "aggregate":
            return x
        if mask is not None:
            x = ops.where(mask[..., None], x, ops.zeros_like(x))
        return ops.reshape(x, (-1, slices * self.stages[-1].width))

    def _slices_shape(
        self, shape: Shape, mask: Tensor | None = None
    ) -> tuple[Any, ...]:
        """Return `(batch, slices, x, y, channels)`, after all checks."""
        who, shape = f"{_OWNER} {self.name!r}", shape or ()
        if len(shape) not in (4, 5):
            raise ValueError(
                f"{who}: images must be (batch, x, y, slices), or (batch, slices, x, "
                f"y, channels). Received shape: {tuple(shape)}"
            )
        if len(shape) == 4:
            shape = (shape[0], shape[3], shape[1], shape[2], 1)
        if self.kind == "aggregate" and shape[1] is None:
            raise ValueError(
                f"{who}: output='aggregate' needs a number of slices that is known "
                f"beforehand. Received images of shape: {tuple(shape)}"
            )
        if mask is not None and not fits(mask.shape, shape[:2]):
            raise ValueError(
                f"{who}: `mask` must be (batch, slices) = {tuple(shape[:2])}. Received "
                f"shape: {tuple(mask.shape)}"
            )
        return tuple(shape)


class Stage(keras.layers.Layer):
    """A layer of the block: dropout, a recurrent layer, norm, projection, activation.

    Its arguments are those of `RecurrentBlock`, one layer's value each.
    """

    def __init__(
        self,
        hidden_sizes: int | None,
        output_sizes: int | None,
        cell: CellLike,
        output_activation: ActivationLike,
        dropout: float,
        layer_norm: bool,
        seed: int | None = None,
        return_sequences: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        own = {"dtype": self.dtype_policy}
        self.recurrent = _recurrent(
            cell,
            hidden_sizes,
            return_sequences=return_sequences,
            unroll=unroll,
            name=f"{self.name}_recurrent",
            **own,
        )
        self.kind = cell if isinstance(cell, str) else None
        self.hidden_size = hidden_sizes if self.kind else None
        rate = check_rate(_OWNER, "dropout", dropout)
        self.dropout = keras.layers.SpatialDropout1D(rate, seed=seed, **own)
        check_choice(_OWNER, "layer_norm", layer_norm, (True, False))
        self.norm = keras.layers.LayerNormalization(**own) if layer_norm else None
        self.output_size, self.projection = output_sizes, None
        if output_sizes is not None:
            check_positive(_OWNER, "output_sizes", output_sizes, whole=True)
            self.projection = keras.layers.Dense(output_sizes, **own)
        self.activation = _activation(output_activation)
        self.supports_masking = True

    @property
    def width(self) -> int:
        """Return the width of the outputs."""
        return self.output_size or self.recurrent.cell.output_size

    def build(self, input_shape: Shape) -> None:
        """Build the recurrent layer, norm and projection."""
        self.recurrent.build(input_shape)
        hidden = self.recurrent.compute_output_shape(input_shape)
        if self.norm is not None:
            self.norm.build(hidden)
        if self.projection is not None:
            self.projection.build(hidden)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return that of the recurrent layer, with the width of the outputs."""
        return (*self.recurrent.compute_output_shape(input_shape)[:-1], self.width)

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Run over the steps."""
        x = self.dropout(inputs, training=training)
        x = self.recurrent(x, mask=mask, training=training)
        if self.norm is not None:
            x = self.norm(x)
        if self.projection is not None:
            x = self.projection(x)
        return self.activation(x)

    def regularize(self, decay: float) -> None:
        """Give every weight without a penalty one of L2; not biases and gains."""
        for weight in self.weights:
            if len(weight.shape) > 1 and "bias" not in weight.name:
                weight.regularizer = weight.regularizer or keras.regularizers.L2(decay)


def _per_layer(**arguments: Any) -> list[dict[str, Any]]:
    """Return one dict of arguments for each layer."""
    lists = {k: v for k, v in arguments.items() if isinstance(v, list | tuple)}
    counts = {name: len(values) for name, values in lists.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(
            f"{_OWNER}: lists must have one value for each layer, all the same number. "
            f"Received lengths: {counts}"
        )
    count = next(iter(counts.values()), 1)
    return [
        {name: lists[name][k] if name in lists else v for name, v in arguments.items()}
        for k in range(count)
    ]


def _recurrent(cell: Any, hidden_size: int | None, **options: Any) -> RNN:
    """Return the recurrent layer of a kind, of a cell's class, or of a cell."""
    if isinstance(cell, str) and cell not in KINDS:
        raise ValueError(
            f"{_OWNER}: `cell` must be one of {tuple(KINDS)}, the class of a recurrent "
            f"cell, or an instance. Received: cell={cell!r}"
        )
    layer_class = isinstance(cell, type) and issubclass(cell, keras.layers.Layer)
    if isinstance(cell, str) or layer_class:
        check_positive(_OWNER, "hidden_sizes", hidden_size, whole=True)
        if isinstance(cell, str):
            return KINDS[cell](hidden_size, **options)
        return RNN(_make_cell(cell, hidden_size, dtype=options["dtype"]), **options)
    for name in ("state_size", "output_size", "call"):
        if isinstance(cell, type) or not hasattr(cell, name):
            raise ValueError(
                f"{_OWNER}: `cell` must be a recurrent cell with `state_size`, "
                f"`output_size` and `call`. Received: cell={cell!r}"
            )
    if hidden_size not in (None, keras.tree.flatten(cell.state_size)[0]):
        raise ValueError(
            f"{_OWNER}: the cell {cell.name!r} has the state size {cell.state_size}; "
            "leave its hidden size None. Received: hidden_sizes="
            f"{hidden_size!r}"
        )
    return RNN(cell, **options)


def _make_cell(cell_class: type, *args: Any, **kwargs: Any) -> keras.layers.Layer:
    """Return a cell of this class, if its width is all that it needs."""
    try:
        inspect.signature(cell_class).bind(*args, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"{_OWNER}: a {cell_class.__name__} cannot be made from its width alone "
            f"({error}). Give an instance instead of the class."
        ) from error
    return cell_class(*args, **kwargs)


def _activation(activation: ActivationLike) -> Activation:
    try:
        return keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{_OWNER}: `output_activation` must be 'relu', 'tanh', another activation "
            f"of Keras, or None. Received: output_activation={activation!r}"
        ) from error
