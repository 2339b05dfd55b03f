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
        >>> digit.shape, digit.max(), int((digit.max(axis=1) > 0).sum())
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
    contrast = grey - _paper(grey)
    contrast *= np.sign((contrast**3).sum()) or 1.0
    contrast = ndimage.gaussian_filter(contrast, max(grey.shape) / 400)
    noise = 1.4826 * float(np.median(np.abs(contrast)))
    highest = float(np.sort(contrast, axis=None)[-max(3, contrast.size // 2000) :][0])
    if highest < max(_FAINTEST, _NOISE * noise):
        return None
    full = float(np.median(contrast[contrast > 0.5 * highest]))
    least = max(0.1 * full, 3 * noise)
    ink = np.clip((contrast - least) / (full - least), 0, 1)
    return ink * _digit(ink)


def _paper(grey: Floats) -> Floats:
    """The paper alone: a quadratic surface, fitted to the border and then to all of it.

    The first fit takes least absolute deviations, which ink on less than half of the
    border does not sway; the later ones leave out what lies too far from the last.
    """
    y, x = (np.linspace(-1, 1, side) for side in grey.shape)
    y, x = np.meshgrid(y, x, indexing="ij")
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    thin = (slice(None, None, max(1, max(grey.shape) // 100)),) * 2
    terms, values = basis[thin].reshape(-1, 6), grey[thin].ravel()
    border = np.abs(terms[:, 1:3]).max(axis=1) > 0.92
    weights = border.astype(float)
    for _ in range(12):
        away = np.abs(values - terms @ _fit(terms, values, weights))
        weights = border / np.maximum(away, 0.01)
    near = 3 * 1.4826 * np.median(away[border]) + 0.02
    for _ in range(4):
        fit = _fit(terms, values, (away < near).astype(float))
        away = np.abs(values - terms @ fit)
    return basis @ fit


def _fit(terms: Floats, values: Floats, weights: Floats) -> Floats:
    root = np.sqrt(weights)
    return np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]


def _digit(ink: Floats) -> NDArray[np.bool_]:
    """Where the digit is: its strokes without specks, shadows and the paper's edge."""
    gap = max(1, max(ink.shape) // 100)
    square = np.ones((3, 3), bool)
    near = ndimage.binary_dilation(ink > 0.35, square, iterations=gap)
    labels, count = ndimage.label(near, square)
    numbers = np.arange(1, count + 1)
    mass = ndimage.sum_labels(ink, labels, numbers)
    low, high = np.array(
        [
            [(side.start, side.stop) for side in box]
            for box in ndimage.find_objects(labels)
        ]
    ).transpose(2, 0, 1)
    inner = ((low > 0) & (high < ink.shape)).all(axis=1)
    long = (high - low).max(axis=1)
    apart = inner & (long > 0.2 * max(ink.shape))
    if apart.any():  # then what touches the border is not the digit
        mass = np.where(inner, mass, 0)
    return np.isin(labels, numbers[mass >= _MINOR * mass.max()])


def _scaled(ink: Floats) -> Floats:
    """The ink with a longer side of 20 pixels and strokes no thinner than MNIST's."""
    from PIL import Image

    scale = LENGTH / max(ink.shape)
    inside = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))[1:-1, 1:-1]
    width = 4 * (inside[inside > 0].mean() - 0.25) * scale
    if width < _THINNEST:
        more = (_THINNEST - width) / 2 / scale
        pad = int(np.ceil(more))
        ink = np.pad(ink, pad)
        outside = ndimage.distance_transform_edt(ink < 0.5)
        ink = np.maximum(ink, np.clip(more + 0.5 - outside, 0, 1))
        scale = LENGTH / max(ink.shape)
    height, width = (max(1, round(scale * side)) for side in ink.shape)
    small = Image.fromarray(ink.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    scaled = np.clip(np.asarray(small, float), 0, None)
    return np.clip(scaled / np.quantile(scaled[scaled > 0.1], 0.9), 0, 1)


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
