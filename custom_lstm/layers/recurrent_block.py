"""Recurrent layers over the slices of 3-D images."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.validation import (
    check_choice,
    check_flag,
    check_number,
    check_seed,
    check_tensor,
    fits,
    write_argument,
)
from custom_lstm.layers.recurrent_stage import OWNER, Stage, per_layer
from custom_lstm.layers.time_distributed import TimeDistributed

OUTPUTS = ("vector", "sequence", "aggregate")


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
            them, `"aggregate"` for these, one behind the other, in one vector.
        weight_decay: λ in the loss λ·Σw² over the weights of the recurrent layers,
            W_k among them. Biases, gains and the encoder are left out; so is a weight
            that has a regulariser already.
        dropout: share of a layer's inputs dropped in training, in [0, 1): the same
            ones at every slice (Gal and Ghahramani 2016,
            https://arxiv.org/abs/1512.05287).
        layer_norm: whether h is normalised (Ba et al. 2016,
            https://arxiv.org/abs/1607.06450).
        seed: of dropout.
        unroll: whether to write the loop out.
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
        hidden_sizes: Any,
        output_sizes: Any = None,
        cell: Any = "lstm",
        output_activation: Any = None,
        output: str = "vector",
        weight_decay: float = 0.0,
        dropout: Any = 0.0,
        layer_norm: Any = False,
        seed: int | None = None,
        unroll: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.layers.Layer):
            raise ValueError(
                f"{OWNER}: `encoder` must be a layer or a model. Received: {encoder!r}"
            )
        self.kind = check_choice(OWNER, "output", output, OUTPUTS)
        self.weight_decay = float(check_number(OWNER, "weight_decay", weight_decay, 0))
        self.seed = seed = check_seed(OWNER, seed)
        self.unroll = check_flag(OWNER, "unroll", unroll)
        self.encode = TimeDistributed(encoder, name="encode")
        layers = per_layer(
            hidden_sizes=hidden_sizes,
            output_sizes=output_sizes,
            cell=cell,
            output_activation=output_activation,
            dropout=dropout,
            layer_norm=layer_norm,
        )
        self.stages = [
            Stage(
                **layer,
                seed=None if seed is None else seed + k,
                return_sequences=k < len(layers) - 1 or output != "vector",
                unroll=self.unroll,
                name=f"layer_{k + 1}",
                dtype=self.dtype_policy,
            )
            for k, layer in enumerate(layers)
        ]
        if len({id(stage.recurrent.cell) for stage in self.stages}) < len(layers):
            raise ValueError(
                f"{OWNER}: {len(layers)} layers need as many cells, not one instance "
                f"for all. Received: cell={cell!r}"
            )
        self.supports_masking = True

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument; those of the layers as lists."""
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
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The block whose `get_config` this is."""

        def read(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            return keras.saving.deserialize_keras_object(value, custom_objects)

        parts = {
            "encoder": read(config["encoder"]),
            "cell": [read(cell) for cell in config["cell"]],
        }
        return cls(**{**config, **parts})

    def build(self, images_shape: Any) -> None:
        """Builds the encoder and the layers."""
        shape = self._slices_shape(images_shape)
        self.encode.build(shape)
        features = self.encode.compute_output_spec(
            keras.KerasTensor(shape, self.compute_dtype)
        ).shape
        if len(features) != 3 or features[-1] is None:
            raise ValueError(
                f"{OWNER} {self.name!r}: `encoder` must make a vector (batch, "
                f"features) of each slice (batch, {', '.join(map(str, shape[2:]))}). "
                f"It makes: (batch, {', '.join(map(str, features[2:]))})"
            )
        for stage in self.stages:
            stage.build(features)
            features = (*features[:2], stage.width)
            if self.weight_decay:
                stage.regularize(self.weight_decay)

    def compute_output_shape(self, images_shape: Any) -> tuple[Any, ...]:
        """`(batch, size)`, `(batch, slices, size)` or `(batch, slices·size)`."""
        batch, slices = self._slices_shape(images_shape)[:2]
        size = self.stages[-1].width
        if self.kind == "sequence":
            return batch, slices, size
        return batch, size if self.kind == "vector" else slices * size

    def compute_mask(self, images: Any, mask: Any = None) -> Any:
        """A sequence keeps the mask of its slices; vectors have none."""
        return mask if self.kind == "sequence" else None

    def call(self, images: Any, mask: Any = None, training: Any = None) -> Any:
        """Encodes every slice, runs the layers over them, gathers the outputs."""
        who = f"{OWNER} {self.name!r}"
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

    def _slices_shape(self, shape: Any, mask: Any = None) -> tuple[Any, ...]:
        """Shape of the slices, `(batch, slices, x, y, channels)`, after all checks."""
        who, shape = f"{OWNER} {self.name!r}", shape or ()
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
