"""Small random warps of digits, one per image, made anew for every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real

import tensorflow as tf

from custom_lstm.data.pools import SIDE, DataError

_LIMITS = {"shift": SIDE, "rotate": 180.0, "zoom": 0.9, "shear": 1.0}


@dataclass(frozen=True)
class Augment:
    """How far an image may be warped; each draw is uniform in ± its bound.

    Args:
        shift: pixels, 0 to 28, along each axis.
        rotate: degrees, 0 to 180.
        zoom: change of scale, 0 to 0.9, along each axis: 0.1 draws from 0.9 to 1.1.
        shear: pixels along x for each pixel along y, 0 to 1.

    Raises:
        DataError: if a bound is not a number in its range.

    >>> Augment(shift=2, rotate=0, zoom=0, shear=0)
    Augment(shift=2, rotate=0, zoom=0, shear=0)
    """

    shift: float = 2.0
    rotate: float = 10.0
    zoom: float = 0.1
    shear: float = 0.1

    def __post_init__(self):
        """Refuse what is out of range."""
        for field in fields(self):
            value, most = getattr(self, field.name), _LIMITS[field.name]
            number = isinstance(value, Real) and math.isfinite(value)
            if not number or not 0 <= value <= most:
                raise DataError(
                    f"{field.name} must be a number from 0 to {most:g}, not {value!r}"
                )


def augment_images(images: tf.Tensor, augment: Augment, seed: tf.Tensor) -> tf.Tensor:
    """Warp each image about its centre by draws of its own.

    The new pixel at p takes the old value at A·(p − c) + c + t, where c = (13.5, 13.5),

        A = [cos r, −sin r]   [1, h]   [zx,  0]
            [sin r,  cos r] · [0, 1] · [ 0, zy],        t = (tx, ty),

    interpolated bilinearly between old pixels, fractions cut off, zeros outside. Each
    image has six draws, in this order: tx and ty in ±`shift`, r in ±`rotate`, zx and zy
    in 1 ± `zoom`, h in ±`shear`. They depend on `seed` and the image's index alone.

    Args:
        images: uint8 tensor `(n, 28, 28, 1)`.
        augment: the bounds of the draws.
        seed: integer tensor `(2,)`; equal seeds give equal warps.

    Returns:
        uint8 tensor `(n, 28, 28, 1)`.

    Raises:
        DataError: if an argument is none of the above.

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
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_transforms(tf.shape(images)[0], augment, seed),
        output_shape=(SIDE, SIDE),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _transforms(count: tf.Tensor, augment: Augment, seed: tf.Tensor) -> tf.Tensor:
    """Draw the warps `(count, 8)`: the rows of A and t + c − A·c, and two zeros."""
    unit = tf.random.stateless_uniform((count, 6), seed, -1.0, 1.0, alg="philox")
    tx, ty, r, zx, zy, h = tf.unstack(unit, axis=1)
    tx, ty = augment.shift * tx, augment.shift * ty
    zx, zy = 1 + augment.zoom * zx, 1 + augment.zoom * zy
    r, h = math.radians(augment.rotate) * r, augment.shear * h
    cos, sin = tf.cos(r), tf.sin(r)
    xx, xy = cos * zx, (cos * h - sin) * zy
    yx, yy = sin * zx, (sin * h + cos) * zy
    c, zero = (SIDE - 1) / 2, tf.zeros_like(tx)
    rows = [xx, xy, tx + c - c * (xx + xy), yx, yy, ty + c - c * (yx + yy), zero, zero]
    return tf.stack(rows, axis=1)
