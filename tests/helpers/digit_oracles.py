"""Totals and warps of digits, computed in another way than the package does."""

import math

import numpy as np
import tensorflow as tf
from scipy import interpolate, ndimage


def plain_totals(labels, start):
    """Add and subtract one digit after the other, in plain Python."""
    total, totals = 0, []
    for position, digit in enumerate(labels):
        total += start * digit if position % 2 == 0 else -start * digit
        totals.append(total)
    return totals


def warp_by_scipy(images, augment, seed):
    """Warp as the docstring says, in float64, with scipy's interpolation."""
    draws = tf.random.stateless_uniform((len(images), 6), seed, -1, 1, alg="philox")
    pixels = np.mgrid[:28, :28][::-1].reshape(2, -1)  # x and y of every pixel
    warped = []
    for image, draw, field in zip(
        images[..., 0],
        draws.numpy().astype(float),
        field_by_scipy(len(images), augment, seed),
        strict=True,
    ):
        tx, ty = augment.shift * draw[:2]
        r = math.radians(augment.rotate) * draw[2]
        zx, zy = 1 + augment.zoom * draw[3:5]
        h = augment.shear * draw[5]
        turn = np.array([[math.cos(r), -math.sin(r)], [math.sin(r), math.cos(r)]])
        matrix = turn @ [[1, h], [0, 1]] @ np.diag([zx, zy])
        offset = 13.5 + np.array([tx, ty]) - matrix @ [13.5, 13.5]
        x, y = matrix @ pixels + offset[:, None] + field
        values = image.astype(float)
        new = ndimage.map_coordinates(values, [y, x], order=1, mode="grid-constant")
        warped.append(new.reshape(28, 28))
    return np.stack(warped)[..., None]


def field_by_scipy(count, augment, seed):
    """Sum scipy's cubic B-splines, one about each knot, weighted by the draws."""
    seed = tf.constant([seed[0], seed[1] + (1 << 62)], tf.int64)
    draws = tf.random.stateless_normal((count, 2, 6, 6), seed, alg="philox").numpy()
    bump = interpolate.BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    knots = (np.arange(6) - 1) * 28 / 3
    weights = np.nan_to_num(bump((np.arange(28)[:, None] - knots) * 3 / 28))
    field = np.einsum("yi,ncij,xj->ncyx", weights, draws, weights)
    return augment.elastic * field.reshape(count, 2, -1)
