"""One layer at every time step, all steps in one call."""

import inspect
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.validation import check_tensor, fits
from custom_lstm.layers.nests import masks_in
from custom_lstm.typing import Nest, Shape, Tensor


@keras.saving.register_keras_serializable(package="custom_lstm")
class TimeDistributed(keras.layers.TimeDistributed):
    """A layer applied to every time step, with time folded into the batch axis.

        (batch, time, ...)  →  (batch·time, ...)  →  layer  →  (batch, time, ...)

    Configuration, weights and outputs are those of `keras.layers.TimeDistributed`,
    which calls the layer once per step instead. Three things differ:

    - One call: on a CPU, convolutions run several times faster.
    - A `BatchNormalization` inside sees all steps as one batch and updates its moving
      averages once, not `time` times with small batches; activity regularisers and
      `add_loss` count once.
    - The layer may be any layer or whole model with any nest of inputs and outputs,
      also one that has no `compute_output_shape`.

    Args:
        layer: the layer or model to apply. It must not be stateful.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: tensor `(batch, time, ...)` of rank 3 or more and any dtype, or a nest
            of them. Batch and time may be unknown before run time.
        training: passed on to the layer.
        mask: boolean `(batch, time, ...)`. Passed on, folded, if the layer takes one.
            The mask of the outputs is what the layer computes; or else this one,
            reduced to `(batch, time)` where the outputs have no more of its axes: a
            step counts if anything in it does.

    Raises:
        ValueError: if `layer` is no layer or is stateful, inputs lack a time axis, or
            the mask does not fit them.

    Example:
        >>> film = ops.zeros((2, 5, 28, 28, 1))
        >>> tuple(TimeDistributed(keras.layers.Conv2D(8, 3))(film).shape)
        (2, 5, 26, 26, 8)
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        if getattr(layer, "stateful", False):
            raise ValueError(
                "TimeDistributed folds time into the batch axis, so the wrapped layer "
                f"cannot carry a state from call to call. Received: stateful {layer}"
            )
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Nest) -> None:
        """Build the layer for one step, whatever the number of sequences."""
        if self.layer.built:
            return
        step_shape = keras.tree.map_shape_structure(_fold_shape, input_shape)
        try:
            self._build_layer(step_shape)
        except ValueError as error:
            error.add_note(
                f"TimeDistributed {self.name!r}: its inputs of the shape {input_shape} "
                f"give {self.layer.name!r} steps of the shape {step_shape}."
            )
            raise
        self.layer.built = True

    def _build_layer(self, step_shape: Nest) -> None:
        if type(self.layer).build is not keras.layers.Layer.build:
            self.layer.build(step_shape)
        else:  # its weights sit in sub-layers: a symbolic call builds them
            self.layer(keras.tree.map_shape_structure(keras.KerasTensor, step_shape))

    def compute_output_shape(self, input_shape: Nest) -> Nest:
        """Return `(batch, time)`, followed by the axes of the layer's outputs."""
        step_shape = keras.tree.map_shape_structure(_fold_shape, input_shape)
        batch, time = keras.tree.flatten(input_shape)[:2]
        return keras.tree.map_shape_structure(
            lambda shape: (batch, time, *shape[1:]),
            self.layer.compute_output_shape(step_shape),
        )

    def compute_output_spec(
        self, inputs: Nest, training: bool | None = None, mask: Nest = None
    ) -> Nest:
        """Return shape and dtype of the outputs, from those of the layer's."""
        _check_axes(inputs)
        steps = keras.tree.map_structure(
            lambda x: keras.KerasTensor(_fold_shape(x.shape), x.dtype), inputs
        )
        batch, time = keras.tree.flatten(inputs)[0].shape[:2]
        return keras.tree.map_structure(
            lambda y: keras.KerasTensor((batch, time, *y.shape[1:]), y.dtype),
            self.layer.compute_output_spec(steps),
        )

    def compute_mask(self, inputs: Nest, mask: Nest = None) -> Nest:
        """Return the mask of the outputs, `(batch, time, ...)`, or None."""
        masks = masks_in(mask)
        folded = keras.tree.map_structure(
            lambda m: None if m is None else Fold()(m), mask
        )
        own = type(self.layer).compute_mask is not keras.layers.Layer.compute_mask
        if own:  # such as that of Embedding and Masking
            steps = keras.tree.map_structure(Fold(), inputs)
            made = self.layer.compute_mask(steps, folded)
            if made := masks_in(made):
                return Unfold()(made[0], keras.tree.flatten(inputs)[0])
        if not masks or len(masks[0].shape) == 2:
            return masks[0] if masks else None
        output = keras.tree.flatten(self.compute_output_spec(inputs))[0]
        axes = tuple(range(len(output.shape) - 1, len(masks[0].shape)))
        return ops.any(masks[0], axis=axes) if axes else masks[0]

    def call(
        self, inputs: Nest, training: bool | None = None, mask: Nest = None
    ) -> Nest:
        """Apply the layer to all steps at once."""
        first = keras.tree.flatten(inputs)[0]
        _check_axes(inputs)
        kwargs = {"training": training}
        masks = masks_in(mask)
        for tensor in masks:
            _check_mask(tensor, first)
        if masks and "mask" in inspect.signature(self.layer.call).parameters:
            kwargs["mask"] = keras.tree.map_structure(
                lambda m: None if m is None else Fold()(m), mask
            )
        outputs = self.layer(keras.tree.map_structure(Fold(), inputs), **kwargs)
        return keras.tree.map_structure(lambda y: Unfold()(y, first), outputs)


@keras.saving.register_keras_serializable(package="custom_lstm")
class Fold(keras.Operation):
    """Make one axis, that of rows, of the axes (batch, time).

    An operation of its own, so that models may hold it where no axis is known: as part
    of the mask that a layer makes.
    """

    def call(self, x: Tensor) -> Tensor:
        """Return `(batch·time, ...)`."""
        batch, time, *rest = ops.shape(x)
        known = isinstance(batch, int) and isinstance(time, int)
        return ops.reshape(x, (batch * time if known else -1, *rest))

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        """Return shape and dtype of the result."""
        return keras.KerasTensor((None, *x.shape[2:]), x.dtype)


@keras.saving.register_keras_serializable(package="custom_lstm")
class Unfold(keras.Operation):
    """Give rows `(batch·time, ...)` the axes (batch, time) again; see `Fold`."""

    def call(self, rows: Tensor, like: Tensor) -> Tensor:
        """Return `rows` with the first two axes of `like`."""
        return ops.reshape(rows, (*ops.shape(like)[:2], *ops.shape(rows)[1:]))

    def compute_output_spec(self, rows: Tensor, like: Tensor) -> keras.KerasTensor:
        """Return shape and dtype of the result."""
        return keras.KerasTensor((*like.shape[:2], *rows.shape[1:]), rows.dtype)


def _fold_shape(shape: Shape | None) -> Shape:
    """Return the shape of one step of a batch of any size."""
    shape = shape or ()
    if len(shape) < 3:
        raise ValueError(
            "TimeDistributed: inputs must have the axes (batch, time, ...), at least "
            f"three. Received shape: {tuple(shape)}"
        )
    return (None, *shape[2:])


def _check_axes(inputs: Nest) -> None:
    """Raise unless all inputs have the same first two axes, batch and time."""
    shapes = [tuple(getattr(x, "shape", ())) for x in keras.tree.flatten(inputs)]
    for shape in shapes:
        _fold_shape(shape)
        if not fits(shape[:2], shapes[0][:2]):
            raise ValueError(
                "TimeDistributed: all inputs must have the same first axes (batch, "
                f"time). Received shapes: {', '.join(map(str, shapes))}"
            )


def _check_mask(mask: Tensor, inputs: Tensor) -> None:
    check_tensor("TimeDistributed", "`mask`", mask, "booleans")
    expected = tuple(inputs.shape[:2])
    if not fits(mask.shape[:2], expected):
        raise ValueError(
            f"The `mask` passed to the `TimeDistributed` layer has a shape "
            f"{tuple(mask.shape)} that is incompatible with the input shape "
            f"{tuple(inputs.shape)}. It must begin with (batch, time) = {expected}."
        )
