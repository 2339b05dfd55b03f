"""A layer on images, averaged over slightly different views of them."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.validation import check_number
from custom_lstm.typing import Config, Shape, Tensor

Tap = tuple[np.ndarray, np.ndarray]
"""For each pixel of a view, which of the image's it takes, and times what."""


def _taps(x: np.ndarray, y: np.ndarray, height: int, width: int) -> list[Tap]:
    """Return linear interpolation at (x, y) as a sum over up to four taps.

    A table that is known beforehand, so that any runtime can look it up.
    """
    taps = []
    for row, column in itertools.product((0, 1), repeat=2):
        i, j = np.floor(y) + row, np.floor(x) + column
        weight = (1 - np.abs(y - i)) * (1 - np.abs(x - j))
        weight *= (i >= 0) & (i < height) & (j >= 0) & (j < width)
        if weight.any():
            pixel = np.clip(i, 0, height - 1) * width + np.clip(j, 0, width - 1)
            taps.append((pixel.astype("int32"), weight.astype("float32")))
    return taps


def _sampled(pixels: Tensor, taps: list[Tap]) -> Tensor:
    """Return what taps make of `(pixels, batch·channels)`."""
    parts = [
        ops.multiply(ops.take(pixels, pixel, axis=0), weight[:, None])
        for pixel, weight in taps
    ]
    return sum(parts[1:], parts[0])


@keras.saving.register_keras_serializable(package="custom_lstm")
class ViewAverage(keras.layers.Wrapper):
    """Outside training, the mean of a layer's outputs for several views of an image.

        y = 1/n · Σ_v layer(view v of the image)

    The views are the image as it is; shifted by `shift` up, down, left and right;
    turned by `rotate` to either side; and smaller and larger by `zoom`: nine, or fewer
    where one of the three is 0. Between pixels a view interpolates linearly, and what
    it takes from beyond the border is 0. In training the layer is called once, as
    without this wrapper. The mean varies less with how exactly an image lies, so a
    network that learned from warped images errs less often, at n times the cost of
    each answer.

    Args:
        layer: the layer or model to apply, on images `(batch, height, width, channels)`
            of any number type; its output is `(batch, ...)`.
        shift: pixels, 0 or more.
        rotate: degrees, 0 or more and less than 180.
        zoom: fraction of the size, 0 or more and less than 1.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        images: `(batch, height, width, channels)`.
        training: whether to call the layer once.

    Raises:
        ValueError: if `layer` is no layer, `shift`, `rotate` or `zoom` is out of range,
            or the images have another rank, an unknown size, or are no larger than
            the shift.

    Source: averaging answers over shifted images, Krizhevsky, Sutskever and Hinton,
    2012, https://doi.org/10.1145/3065386.

    Example:
        >>> average = ViewAverage(keras.layers.Flatten())
        >>> point = ops.array([[0, 0, 0], [0, 5.0, 0], [0, 0, 0]])
        >>> ops.convert_to_numpy(average(ops.reshape(point, (1, 3, 3, 1))))
        array([[0., 1., 0., 1., 1., 1., 0., 1., 0.]], dtype=float32)
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        shift: float = 1.0,
        rotate: float = 0.0,
        zoom: float = 0.0,
        **kwargs: Any,
    ):
        check_number("ViewAverage", "shift", shift, least=0)
        check_number("ViewAverage", "rotate", rotate, least=0, below=180)
        check_number("ViewAverage", "zoom", zoom, least=0, below=1)
        super().__init__(layer, **kwargs)
        self.shift, self.rotate, self.zoom = shift, rotate, zoom

    def get_config(self) -> Config:
        """Return every constructor argument."""
        own = {"shift": self.shift, "rotate": self.rotate, "zoom": self.zoom}
        return {**super().get_config(), **own}

    def build(self, input_shape: Shape) -> None:
        """Build the layer."""
        self._check(input_shape)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return that of the layer."""
        self._check(input_shape)
        return self.layer.compute_output_shape(input_shape)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """Return the layer's output, or the mean of its outputs."""
        self._check(images.shape)
        if training:
            return self.layer(images, training=True)
        images = ops.cast(images, "float32")
        height, width, channels = map(int, images.shape[1:])  # of a trace, tensors
        pixels = ops.reshape(ops.transpose(images, (1, 2, 0, 3)), (height * width, -1))
        views = [_sampled(pixels, taps) for taps in self._views(height, width)]
        together = ops.concatenate([pixels, *views], axis=1)
        together = ops.reshape(together, (height, width, -1, channels))
        outputs = self.layer(ops.transpose(together, (2, 0, 1, 3)), training=False)
        apart = ops.reshape(outputs, (1 + len(views), -1, *outputs.shape[1:]))
        mean = ops.mean(ops.cast(apart, "float32"), axis=0)
        return ops.cast(mean, outputs.dtype)

    def _views(self, height: int, width: int) -> Iterator[list[Tap]]:
        """Yield where each view but the first takes its pixels.

        Its pixel p shows A·p + d of the image, with p = (x, y).
        """
        s, same, quarter = self.shift, np.eye(2), np.array([[0, -1], [1, 0]])
        angles = np.radians([self.rotate, -self.rotate])
        looks = [(same, move) for move in ((0, s), (0, -s), (s, 0), (-s, 0)) if s]
        looks += [(np.cos(a) * same + np.sin(a) * quarter, (0, 0)) for a in angles if a]
        looks += [((1 + z) * same, (0, 0)) for z in (self.zoom, -self.zoom) if z]
        centre = np.array([width - 1, height - 1]) / 2
        y, x = np.mgrid[:height, :width].reshape(2, -1)
        for matrix, move in looks:
            d = centre - matrix @ centre + move
            place = matrix @ [x, y] + d[:, None]
            yield _taps(place[0], place[1], height, width)

    def _check(self, shape: Shape) -> None:
        sides = shape[1:3]
        known = [size for size in sides if size is not None]
        if len(shape) != 4 or len(known) < 2 or min(known) <= self.shift:
            raise ValueError(
                f"ViewAverage {self.name!r}: images must be (batch, height, width, "
                f"channels), of a known size and larger than {self.shift} pixels each "
                f"way. Received shape: {tuple(shape)}"
            )
