"""A user's own image files of digits, read as MNIST would hold them."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom_lstm.data.mnist import SIDE
from custom_lstm.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 64_000_000
LENGTH = 20  # pixels: the longer side of MNIST's digits

_WORKING = 640  # pixels: the longer side at which a digit is looked for
_COLOURFUL = 1.5  # times the contrast of grey: then a single colour shows ink better
_LIGHTNESS = np.array([[0.299], [0.587], [0.114]])  # of red, green and blue
_THINNEST = 2.0  # pixels: the stroke width of MNIST's thinnest digits
_FAINTEST = 0.06  # of white: less contrast is not ink
_NOISE = 6.0  # times the background's own spread: less contrast is not ink
_MINOR = 0.08  # of the largest stroke's ink: less is a speck
_STROKE = 0.08  # of the picture's longer side: as long may be a stroke
_EDGE = 0.25  # of the picture's longer side: as long on the border may be an edge
_MAD = 1.4826  # standard deviations of a normal distribution in its median deviation

Floats = NDArray[np.float64]


class ImageError(UserError, ValueError):
    """A file that shows no digit or cannot be read; the message says which and why."""


def read_digit_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> NDArray[np.uint8]:
    """Read image files of one digit each as MNIST would hold them.

    Any size and colour mode, transparent or not, dark ink on light paper or light ink
    on dark, anywhere on the paper, under uneven light. A camera's orientation tag is
    respected. `centre_digit` describes what is done with the picture then.

    Args:
        paths: the files: PNG, JPEG, BMP, GIF (its first picture) or WebP.

    Returns:
        The digits, uint8, `(files, 28, 28)`, bright on black.

    Raises:
        ImageError: a file is missing, is no such image or a damaged one, has too many
            pixels to be decoded safely, or shows no ink.

    Example:
        >>> import tempfile
        >>> from PIL import Image, ImageDraw
        >>> one = Image.new("RGB", (300, 200), "white")
        >>> ImageDraw.Draw(one).line((250, 40, 250, 140), fill="navy", width=14)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     one.save(f"{folder}/one.png")
        ...     digits = read_digit_images([f"{folder}/one.png"])
        >>> digits.shape, int((digits[0].max(axis=1) > 0).sum())
        ((1, 28, 28), 20)
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    digits = []
    for path in map(Path, paths):
        digit = centre_digit(_grey(_pixels(path)))
        if digit is None:
            raise ImageError(f"{path} is blank: no ink was found on it")
        digits.append(digit)
    if not digits:
        raise ImageError("no image file was named")
    return np.stack(digits)


def centre_digit(grey: NDArray) -> NDArray[np.uint8] | None:
    """Bring the picture of one digit to the form of MNIST's.

    The background is a smooth surface through what the picture's border shows; ink is
    what differs from it, to the side, darker or lighter, that differs more. The ink is
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
    ink = _segment(np.asarray(grey, float))
    if ink is None:
        return None
    rows, columns = np.nonzero(ink > 0.2)
    ink = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _centre(_scale(ink))


def _pixels(path: Path) -> Floats:
    """Return a file's pixels, 0 to 1, made small: `(height, width, 1, 3 or 4)`."""
    from PIL import Image, UnidentifiedImageError

    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image file")
    if not path.exists():
        raise ImageError(f"there is no file {path}")
    if not path.is_file():
        raise ImageError(f"{path} is not a regular file")
    Image.init()  # without it Pillow does not read WebP
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # Pillow's, of odd files
            Image.open(path, formats=FORMATS) as image,
        ):
            return _decode(path, image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ImageError(f"{path} is no image of a known kind ({known})") from error
    except PermissionError as error:
        raise ImageError(f"{path} is not readable") from error
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{path} is damaged: {reason}") from error


# What Pillow lets through when a file is cut short or its bytes are wrong.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def _too_large(path: Path) -> ImageError:
    million = MAX_PIXELS // 10**6
    return ImageError(f"{path} has too many pixels: over {million} million")


def _decode(path: Path, image: Image) -> Floats:
    from PIL import Image, ImageOps

    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    size = (_WORKING, _WORKING)
    image.draft(None, size)  # a JPEG can be decoded small
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16 bits of grey
        image = Image.fromarray(np.asarray(image, np.float32) / 65535)
        largest = 1.0
    else:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        largest = 255.0
    image.thumbnail(size, Image.Resampling.BOX)
    pixels = np.asarray(image, float) / largest
    return pixels.reshape(*pixels.shape[:2], -1)


def _grey(pixels: Floats) -> Floats:
    """Reduce pixels to lightness, or to the colour channel with far more contrast."""
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    colours = pixels[..., :3]
    if pixels.shape[2] == 4:
        colours = _fill_transparent(colours, pixels[..., 3])
    planes = np.concatenate([colours, colours @ _LIGHTNESS], axis=2)
    border = np.concatenate([planes[0], planes[-1], planes[:, 0], planes[:, -1]])
    away = np.abs(planes - np.median(border, axis=0))
    *contrast, of_grey = np.quantile(away, 0.9995, axis=(0, 1))
    best = int(np.argmax(contrast))
    return planes[..., best if contrast[best] > _COLOURFUL * of_grey else 3]


def _fill_transparent(colours: Floats, alpha: Floats) -> Floats:
    """Fill transparent pixels with background.

    Where most are transparent, the others are ink, and the background is black or
    white, whichever is further from it; elsewhere they are paper, and continued.
    """
    seen = alpha > 0.5
    if not seen.any():
        return np.zeros_like(colours)
    if seen.mean() > 0.5:
        paper = np.median(colours[seen], axis=0)
    else:
        paper = np.round(1 - np.average(colours.mean(-1), weights=alpha)) * np.ones(3)
    return colours * alpha[..., None] + paper * (1 - alpha[..., None])


def _segment(grey: Floats) -> Floats | None:
    """Return how much ink there is at each pixel, 0 to 1."""
    background, spread = _background(grey)
    contrast = grey - background
    bare = np.abs(contrast) < spread
    contrast *= np.sign((contrast**3).sum()) or 1.0
    contrast = ndimage.gaussian_filter(contrast, max(grey.shape) / 400)
    noise = _MAD * float(np.median(np.abs(contrast[bare])))
    highest = float(np.sort(contrast, axis=None)[-max(3, contrast.size // 2000) :][0])
    if highest < max(_FAINTEST, _NOISE * noise):
        return None
    full = float(np.median(contrast[contrast > 0.5 * highest]))
    least = max(0.1 * full, 3 * noise)
    ink = np.clip((contrast - least) / (full - least), 0, 1)
    ink *= _digit_mask(ink)
    return ink / ink.max()


def _background(grey: Floats) -> tuple[Floats, float]:
    """Return the background alone, and how far from it one of its pixels may lie.

    First the border is fitted by least absolute deviations, by a level, or a quadratic
    surface if that fits far better; then all that lies near the last fit.
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
    spread = 3 * _MAD * float(np.median(away[border])) + 0.02
    for _ in range(4):
        fit = _fit(terms, values, (away < spread).astype(float))
        away = np.abs(values - terms @ fit)
    return basis @ fit, spread


def _fit(terms: Floats, values: Floats, weights: Floats) -> Floats:
    """Return the coefficients of a weighted least-squares fit."""
    root = np.sqrt(weights)
    fit, *_ = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)
    return fit.astype(np.float64)


def _digit_mask(ink: Floats) -> NDArray[np.bool_]:
    """Return where the digit's strokes are, without specks.

    An edge along the border is left out too, if there is a stroke apart from it.
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


def _scale(ink: Floats) -> Floats:
    """Scale to a longer side of 20 pixels, strokes no thinner than MNIST's."""
    from PIL import Image

    lacking = _THINNEST / LENGTH * max(ink.shape) - _stroke_width(ink)
    if lacking > 0:
        ink = _thicken(ink, lacking / 2)
    height, width = (max(1, round(LENGTH * n / max(ink.shape))) for n in ink.shape)
    small = Image.fromarray(ink.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    scaled = np.clip(np.asarray(small, float), 0, None)
    return np.clip(scaled / np.quantile(scaled[scaled > 0.1], 0.9), 0, 1)


def _stroke_width(ink: Floats) -> float:
    """Return the mean width of the strokes: a bar's is four times its mean depth."""
    depth = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    return 4 * float(depth[depth > 0].mean() - 0.25)


def _thicken(ink: Floats, more: float) -> Floats:
    """Grow the strokes by so many pixels on every side."""
    ink = np.pad(ink, int(np.ceil(more)))
    away = ndimage.distance_transform_edt(ink < 0.5)
    return np.maximum(ink, np.clip(more + 0.5 - away, 0, 1))


def _centre(ink: Floats) -> NDArray[np.uint8]:
    """Place ink in the field, its centre of mass as near the middle as it fits."""
    field = np.zeros((SIDE, SIDE), np.uint8)
    middle = ndimage.center_of_mass(ink)
    top, left = (
        int(np.clip(round(SIDE / 2 - mean), 0, SIDE - side))
        for mean, side in zip(middle, ink.shape, strict=True)
    )
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(255 * ink)
    return field
