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

from custom_lstm.data.ink import centre_digit
from custom_lstm.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageError", "read_digit_images"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
LARGEST = 64_000_000  # pixels: more are not decoded
_WORKING = 640  # pixels: the longer side on which ink is looked for
_COLOURFUL = 1.5  # times the contrast of grey: then a single colour shows ink better
_LIGHTNESS = np.array([[0.299], [0.587], [0.114]])  # of red, green and blue

Floats = NDArray[np.float64]


class ImageError(UserError, ValueError):
    """A file that is no picture of a digit; the message says which and why."""


def read_digit_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> NDArray[np.uint8]:
    """Read image files of one digit each as MNIST would hold them.

    Any size and colour mode, transparent or not, dark ink on light paper or light ink
    on dark, anywhere on the paper, under uneven light; a camera's note of how it was
    held is respected. What is done then, `centre_digit` says.

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
            raise ImageError(f"{path} is blank: no ink stands out from the paper")
        digits.append(digit)
    if not digits:
        raise ImageError("no image file was named")
    return np.stack(digits)


def _pixels(path: Path) -> Floats:
    """The file's pixels, 0 to 1, made small: `(height, width, 1, 3 or 4)`."""
    from PIL import Image, UnidentifiedImageError

    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image file")
    if not path.exists():
        raise ImageError(f"there is no file {path}")
    if not path.is_file():
        raise ImageError(f"{path} is no ordinary file")
    Image.init()  # without it Pillow knows no WebP
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # Pillow's, of odd files
            Image.open(path, formats=FORMATS) as image,
        ):
            return _decoded(path, image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ImageError(f"{path} is no image of a known kind ({known})") from error
    except PermissionError as error:
        raise ImageError(f"{path} may not be read") from error
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{path} is damaged: {reason}") from error


# What Pillow lets through when a file is cut short or its bytes are wrong.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def _too_large(path: Path) -> ImageError:
    return ImageError(f"{path} has too many pixels: over {LARGEST // 10**6} million")


def _decoded(path: Path, image: Image) -> Floats:
    from PIL import Image, ImageOps

    if image.width * image.height > LARGEST:
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
    """One value per pixel: its lightness, or its part of the colour that tells more.

    Ink that is as light as its paper, red on green say, still differs in a colour.
    """
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    colours = pixels[..., :3]
    if pixels.shape[2] == 4:
        colours = _on_paper(colours, pixels[..., 3])
    planes = np.concatenate([colours, colours @ _LIGHTNESS], axis=2)
    border = np.concatenate([planes[0], planes[-1], planes[:, 0], planes[:, -1]])
    away = np.abs(planes - np.median(border, axis=0))
    *contrast, of_grey = np.quantile(away, 0.9995, axis=(0, 1))
    best = int(np.argmax(contrast))
    return planes[..., best if contrast[best] > _COLOURFUL * of_grey else 3]


def _on_paper(colours: Floats, alpha: Floats) -> Floats:
    """Transparent pixels filled with paper.

    Where most is transparent, what is not is ink, and the paper is black or white,
    whichever is further from it; else what is not is paper, and goes on.
    """
    seen = alpha > 0.5
    if not seen.any():
        return np.zeros_like(colours)
    if seen.mean() > 0.5:
        paper = np.median(colours[seen], axis=0)
    else:
        paper = np.round(1 - np.average(colours.mean(-1), weights=alpha)) * np.ones(3)
    return colours * alpha[..., None] + paper * (1 - alpha[..., None])
