"""Small random warps of digits, one per image and new in every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from custom_lstm.data.mnist import SIDE
from custom_lstm.errors import DataError

_LIMITS = {"shift": SIDE, "rotate": 180.0, "zoom": 0.9, "shear": 1.0, "elastic": 10.0}


@dataclass(frozen=True)
class Augment:
    """How far an image may be warped; each draw is uniform in ± its bound.

    Args:
        shift: pixels, 0 to 28, along each axis.
        rotate: degrees, 0 to 180.
        zoom: change of scale, 0 to 0.9, along each axis: 0.1 draws from 0.9 to 1.1.
        shear: pixels along x for each pixel along y, 0 to 1.
        elastic: pixels, 0 to 10, by which a smooth random field bends the strokes.

    Raises:
        DataError: if a bound is not a number in its range.

    Example:
        >>> Augment(shift=2, rotate=0, zoom=0, shear=0)
        Augment(shift=2, rotate=0, zoom=0, shear=0, elastic=0.0)
    """

    shift: float = 2.0
    rotate: float = 10.0
    zoom: float = 0.1
    shear: float = 0.1
    elastic: float = 0.0

    def __post_init__(self):
        """Check the bounds."""
        for field in fields(self):
            check_number(field.name, getattr(self, field.name), _LIMITS[field.name])


def augment_images(
    images: tf.Tensor,
    augment: Augment,
    seed: tf.Tensor,
    first: int = 0,
    strength: float | tf.Tensor = 1.0,
) -> tf.Tensor:
    """Warp each image by draws of its own.

    The new pixel at p takes the old value at A·(p − c) + c + t + e(p), where
    c = (13.5, 13.5),

        A = [cos r, −sin r]   [1, h]   [zx,  0]
            [sin r,  cos r] · [0, 1] · [ 0, zy],        t = (tx, ty),

    interpolated bilinearly between old pixels, fractions cut off, zeros outside. Each
    image has six draws, in this order: tx and ty in ±`shift`, r in ±`rotate`, zx and zy
    in 1 ± `zoom`, h in ±`shear`. The field e(p) (Simard et al., 2003) is a smooth one:
    a uniform cubic B-spline over a grid of 6×6 normal draws an axis, 28/3 pixels apart,
    of standard deviation `elastic`. All depend on `seed` and the image's index alone.

    Args:
        images: uint8 tensor `(n, 28, 28, 1)`.
        augment: the bounds of the draws.
        seed: integer tensor `(2,)`; equal seeds give equal warps.
        first: index of the first image, where these are part of a larger batch.
        strength: factor of all bounds, 0 to 1; a number or a scalar tensor.

    Returns:
        uint8 tensor `(n, 28, 28, 1)`.

    Raises:
        DataError: if an argument has a wrong type, shape or value.

    Example:
        >>> images = tf.zeros((3, 28, 28, 1), "uint8")
        >>> augment_images(images, Augment(), seed=(1, 2)).shape
        TensorShape([3, 28, 28, 1])
    """
    images, seed = tf.convert_to_tensor(images), tf.convert_to_tensor(seed)
    if images.dtype != tf.uint8 or not images.shape.is_compatible_with(
        (None, SIDE, SIDE, 1)
    ):
        raise DataError(
            "images must be uint8 (n, 28, 28, 1), "
            f"not {images.dtype.name} {images.shape}"
        )
    if not isinstance(augment, Augment):
        raise DataError(f"augment must be an Augment, not {type(augment).__name__}")
    if not seed.dtype.is_integer or not seed.shape.is_compatible_with((2,)):
        raise DataError(
            f"seed must be integers (2,), not {seed.dtype.name} {seed.shape}"
        )
    strength = _check_strength(strength)
    end = first + tf.shape(images)[0]
    transforms = _transforms(end, augment, seed, strength)[first:]
    if augment.elastic:
        field = strength * _field(end, first, augment, seed)
        return _sample(images, _affine(transforms) + field)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=(SIDE, SIDE),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def check_number(name: str, value: float, most: float) -> None:
    """Raise a DataError unless a value is a finite number from 0 to `most`."""
    number = isinstance(value, Real) and math.isfinite(value)
    if not number or not 0 <= value <= most:
        raise DataError(f"{name} must be a number from 0 to {most:g}, not {value!r}")


def _check_strength(strength: float | tf.Tensor) -> tf.Tensor:
    """Return the strength as a tensor; a tensor's range is not checked."""
    if not tf.is_tensor(strength):
        check_number("strength", strength, 1)
    strength = tf.cast(strength, tf.float32)
    if not strength.shape.is_compatible_with(()):
        raise DataError(f"strength must be a scalar, not {strength.shape}")
    return strength


def _transforms(
    count: tf.Tensor, augment: Augment, seed: tf.Tensor, strength: tf.Tensor
) -> tf.Tensor:
    """Draw the warps `(count, 8)`: the rows of A and t + c − A·c, and two zeros."""
    unit = tf.random.stateless_uniform((count, 6), seed, -1.0, 1.0, alg="philox")
    tx, ty, r, zx, zy, h = tf.unstack(strength * unit, axis=1)
    tx, ty = augment.shift * tx, augment.shift * ty
    zx, zy = 1 + augment.zoom * zx, 1 + augment.zoom * zy
    r, h = math.radians(augment.rotate) * r, augment.shear * h
    cos, sin = tf.cos(r), tf.sin(r)
    xx, xy = cos * zx, (cos * h - sin) * zy
    yx, yy = sin * zx, (sin * h + cos) * zy
    c, zero = (SIDE - 1) / 2, tf.zeros_like(tx)
    rows = [xx, xy, tx + c - c * (xx + xy), yx, yy, ty + c - c * (yx + yy), zero, zero]
    return tf.stack(rows, axis=1)


def _affine(transforms: tf.Tensor) -> tf.Tensor:
    """Return where new pixels lie in the old image: x and y, `(n, 2, 784)`."""
    rows, columns = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    ones = np.ones_like(rows)
    pixels = tf.constant(np.stack([columns, rows, ones]), tf.float32)
    return tf.matmul(tf.reshape(transforms[:, :6], (-1, 2, 3)), pixels)


def _field(end: tf.Tensor, first: int, augment: Augment, seed: tf.Tensor) -> tf.Tensor:
    """Draw e(p) of images `first` to `end`: along x and y, `(n, 2, 784)`."""
    knots = _SPLINE.shape[1]
    shape = (end * 2, knots, knots)
    other_seed = tf.cast(seed, tf.int64) + (0, 1 << 62)
    draws = tf.random.stateless_normal(shape, other_seed, alg="philox")[2 * first :]
    spline = tf.constant(_SPLINE * math.sqrt(augment.elastic), tf.float32)
    field = tf.matmul(tf.matmul(spline, draws), spline, transpose_b=True)
    return tf.reshape(field, (-1, 2, SIDE * SIDE))


def _spline() -> NDArray[np.float64]:
    """Return weights `(28, 6)` of a uniform cubic B-spline's knots at each pixel."""
    knots = 6
    place = np.arange(SIDE)[:, None] * (knots - 3) / SIDE + 1 - np.arange(knots)
    near, far = np.abs(place), 2 - np.abs(place)
    inner = 2 / 3 - near**2 + near**3 / 2
    return np.where(near < 1, inner, np.where(near < 2, far**3 / 6, 0.0))


_SPLINE = _spline()


@tf.function(jit_compile=True)  # a quarter of the time: benchmarks/LOG.md
def _sample(images: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Interpolate the images, zero outside, at places `(n, 2, 784)` in pixels."""
    side = SIDE + 2
    padded = tf.reshape(tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), (-1,))
    places = tf.clip_by_value(places + 1, 0.0, side - 1.001)
    corner = tf.floor(places)
    x, y = tf.unstack(places - corner, axis=1)
    column, row = tf.unstack(tf.cast(corner, tf.int32), axis=1)
    first = tf.range(tf.shape(images)[0])[:, None] * side**2 + row * side + column
    a, b, c, d = (
        tf.cast(tf.gather(padded, first + step), tf.float32)
        for step in (0, 1, side, side + 1)
    )
    upper, lower = a + x * (b - a), c + x * (d - c)
    return tf.cast(tf.reshape(upper + y * (lower - upper), tf.shape(images)), tf.uint8)
