"""From a grey picture of a digit to the digit as MNIST would hold it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["centre_digit"]

FIELD, LENGTH = 28, 20  # MNIST's digits are 20 pixels long, in a field of 28
_THINNEST = 2.0  # pixels: the stroke of MNIST's thinnest digits
_FAINTEST = 0.06  # less contrast than this share of white is no ink
_NOISE = 6.0  # times the paper's own spread: less than this is no ink
_MINOR = 0.08  # of the largest stroke's ink: less is a speck
_STROKE = 0.08  # of the picture's longer side: as long may be a stroke
_EDGE = 0.25  # of the picture's longer side: as long on the border may be an edge

Floats = NDArray[np.float64]


def centre_digit(grey: NDArray) -> NDArray[np.uint8] | None:
    """Bring the picture of one digit to the form of MNIST's.

    The paper is a smooth surface through what the picture's border shows; ink is what
    differs from it, to the side, darker or lighter, that differs more. The ink is
    cropped, scaled to a longer side of 20 pixels, and shifted by whole pixels until
    its centre of mass is the middle of 28×28 pixels (LeCun et al., 1998).

    Args:
        grey: `(height, width)`, 0 to 1, dark on light or light on dark.

    Returns:
        uint8 `(28, 28)`, bright on black; None if there is no ink.

    Example:
        >>> paper = np.full((60, 90), 0.9)
        >>> paper[10:50, 70:76] = 0.2
        >>> digit = centre_digit(paper)
        >>> digit.shape, int(digit.max()), int((digit.max(axis=1) > 0).sum())
        ((28, 28), 255, 20)
    """
    ink = _ink(np.asarray(grey, float))
    if ink is None:
        return None
    rows, columns = np.nonzero(ink > 0.2)
    ink = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _centred(_scaled(ink))


def _ink(grey: Floats) -> Floats | None:
    """How much ink there is at each pixel, 0 to 1."""
    paper, spread = _paper(grey)
    contrast = grey - paper
    bare = np.abs(contrast) < spread
    contrast *= np.sign((contrast**3).sum()) or 1.0
    contrast = ndimage.gaussian_filter(contrast, max(grey.shape) / 400)
    noise = 1.4826 * float(np.median(np.abs(contrast[bare])))
    highest = float(np.sort(contrast, axis=None)[-max(3, contrast.size // 2000) :][0])
    if highest < max(_FAINTEST, _NOISE * noise):
        return None
    full = float(np.median(contrast[contrast > 0.5 * highest]))
    least = max(0.1 * full, 3 * noise)
    ink = np.clip((contrast - least) / (full - least), 0, 1)
    ink *= _digit(ink)
    return ink / ink.max()


def _paper(grey: Floats) -> tuple[Floats, float]:
    """The paper alone, and how far from it a pixel of paper may lie.

    The first fit is to the border, by least absolute deviations, which ink on less
    than half of it does not sway: one level, or a quadratic surface if that fits far
    better. The later fits are to all that lies near the last.
    """
    y, x = (np.linspace(-1, 1, side) for side in grey.shape)
    y, x = np.meshgrid(y, x, indexing="ij")
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    thin = (slice(None, None, max(1, max(grey.shape) // 100)),) * 2
    terms, values = basis[thin].reshape(-1, 6), grey[thin].ravel()
    border = np.abs(terms[:, 1:3]).max(axis=1) > 0.92
    fit = np.array([np.median(values[border]), 0, 0, 0, 0, 0])
    away = level = np.abs(values - fit[0])
    for _ in range(12):
        weights = border / np.maximum(away, 0.01)
        surface = _fit(terms, values, weights)
        away = np.abs(values - terms @ surface)
    if np.median(away[border]) < 0.5 * np.median(level[border]):
        fit = surface
    else:
        away = level
    spread = 3 * 1.4826 * float(np.median(away[border])) + 0.02
    for _ in range(4):
        fit = _fit(terms, values, (away < spread).astype(float))
        away = np.abs(values - terms @ fit)
    return basis @ fit, spread


def _fit(terms: Floats, values: Floats, weights: Floats) -> Floats:
    root = np.sqrt(weights)
    fit, *_ = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)
    return fit.astype(np.float64)


def _digit(ink: Floats) -> NDArray[np.bool_]:
    """Where the digit is: its strokes, without specks and without the paper's edge.

    An edge, a table's or a shadow's, runs along the border; it is left out if there is
    a stroke apart from the border to be read instead.
    """
    square = np.ones((3, 3), bool)
    gap = max(1, max(ink.shape) // 100)
    near = ndimage.binary_dilation(ink > 0.35, square, iterations=gap)
    labels, count = ndimage.label(near, square)
    mass = ndimage.sum_labels(ink, labels, range(count + 1))
    mass[0] = 0
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    along = np.bincount(sides, minlength=count + 1)
    boxes = [(slice(0, 0),) * 2, *ndimage.find_objects(labels)]
    long = np.array([max(side.stop - side.start for side in box) for box in boxes])
    if ((along == 0) & (long > _STROKE * max(ink.shape))).any():
        mass[along > _EDGE * max(ink.shape)] = 0
    return np.isin(labels, np.flatnonzero(mass > _MINOR * mass.max()))


def _scaled(ink: Floats) -> Floats:
    """The ink with a longer side of 20 pixels and strokes no thinner than MNIST's."""
    from PIL import Image

    lacking = _THINNEST / LENGTH * max(ink.shape) - _stroke(ink)
    if lacking > 0:
        ink = _thickened(ink, lacking / 2)
    height, width = (max(1, round(LENGTH * n / max(ink.shape))) for n in ink.shape)
    small = Image.fromarray(ink.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    scaled = np.clip(np.asarray(small, float), 0, None)
    return np.clip(scaled / np.quantile(scaled[scaled > 0.1], 0.9), 0, 1)


def _stroke(ink: Floats) -> float:
    """The mean width of the strokes: a bar's is four times its mean depth."""
    depth = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    return 4 * float(depth[depth > 0].mean() - 0.25)


def _thickened(ink: Floats, more: float) -> Floats:
    """The strokes grown by so many pixels on every side."""
    ink = np.pad(ink, int(np.ceil(more)))
    away = ndimage.distance_transform_edt(ink < 0.5)
    return np.maximum(ink, np.clip(more + 0.5 - away, 0, 1))


def _centred(ink: Floats) -> NDArray[np.uint8]:
    """The ink in the field, its centre of mass as near the middle as it fits."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    middle = ndimage.center_of_mass(ink)
    top, left = (
        int(np.clip(round(FIELD / 2 - mean), 0, FIELD - side))
        for mean, side in zip(middle, ink.shape, strict=True)
    )
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(255 * ink)
    return field
