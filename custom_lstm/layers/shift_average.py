"""A layer on images, averaged over small shifts of them."""

from typing import Any

import keras
from keras import ops

SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
"""Along height and width, in units of `pixels`."""


@keras.saving.register_keras_serializable(package="custom_lstm")
class ShiftAverage(keras.layers.Wrapper):
    """Outside training, the mean of what a layer makes of an image and its neighbours.

        y = ⅕ · Σ_s layer(image shifted by s)

    over s = 0, p up, down, left and right. What is shifted in is 0. In training the
    layer is called once, as if it stood alone. The mean varies less with where exactly
    an image lies, so a network that learned from shifted images errs less often, at
    five times the cost of each answer.

    Args:
        layer: the layer or model to apply, on images `(batch, height, width, channels)`
            of any number type; its output is `(batch, ...)`.
        pixels: p, 1 or more.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if `layer` is no layer, `pixels` is not positive, or the images have
            another rank or are no larger than the shift.

    Source: averaging answers over shifted images, Krizhevsky, Sutskever and Hinton,
    2012, https://doi.org/10.1145/3065386.

    Example:

    >>> average = ShiftAverage(keras.layers.Flatten())
    >>> point = ops.array([[0, 0, 0], [0, 5.0, 0], [0, 0, 0]])
    >>> ops.convert_to_numpy(average(ops.reshape(point, (1, 3, 3, 1))))
    array([[0., 1., 0., 1., 1., 1., 0., 1., 0.]], dtype=float32)
    """

    def __init__(self, layer: keras.layers.Layer, pixels: int = 1, **kwargs: Any):
        if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1:
            raise ValueError(
                "ShiftAverage: `pixels` must be a positive integer. "
                f"Received: pixels={pixels!r}"
            )
        super().__init__(layer, **kwargs)
        self.pixels = pixels

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "pixels": self.pixels}

    def build(self, input_shape: Any) -> None:
        """Builds the layer."""
        self._check(input_shape)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's."""
        self._check(input_shape)
        return self.layer.compute_output_shape(input_shape)

    def call(self, images: Any, training: Any = None) -> Any:
        """The layer's output, or the mean of its outputs.

        Args:
            images: `(batch, height, width, channels)`.
            training: whether to call the layer once.
        """
        self._check(images.shape)
        if training:
            return self.layer(images, training=True)
        _, height, width, _ = ops.shape(images)
        p = self.pixels
        padded = ops.pad(images, ((0, 0), (p, p), (p, p), (0, 0)))
        views = [
            padded[:, p * (1 + y) : p * (1 + y) + height][
                :, :, p * (1 + x) : p * (1 + x) + width
            ]
            for y, x in SHIFTS
        ]
        outputs = self.layer(ops.concatenate(views), training=False)
        apart = ops.reshape(outputs, (len(SHIFTS), -1, *outputs.shape[1:]))
        mean = ops.mean(ops.cast(apart, "float32"), axis=0)
        return ops.cast(mean, outputs.dtype)

    def _check(self, shape: Any) -> None:
        small = len(shape) == 4 and any(
            side is not None and side <= self.pixels for side in shape[1:3]
        )
        if len(shape) != 4 or small:
            raise ValueError(
                f"ShiftAverage {self.name!r}: images must be (batch, height, width, "
                f"channels), larger than {self.pixels} pixels each way. "
                f"Received shape: {tuple(shape)}"
            )
