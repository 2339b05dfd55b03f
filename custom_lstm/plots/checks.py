"""What the pictures ask of the arrays they are given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def shaped(name: str, values: ArrayLike, shape: Sequence[int | str]) -> NDArray[Any]:
    """The values as an array, if they have the shape.

    Args:
        name: the argument's name, for the error.
        values: what was given.
        shape: the length of each axis; a word stands for any length of at least 1.

    Returns:
        The values as an array of numbers.

    Raises:
        ValueError: naming the argument, the shape expected and the shape received.

    Example:
        >>> shaped("signs", [1, -1], ("time",))
        array([ 1, -1])
        >>> shaped("signs", [1, -1], (3,))
        Traceback (most recent call last):
        ValueError: signs must have shape (3,), got (2,)
    """
    expected = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must have shape {expected}, got rows of unequal length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(
        have > 0 if isinstance(want, str) else have == want
        for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    return array


def fractions(name: str, values: ArrayLike, length: int | str) -> NDArray[np.float64]:
    """The values as floats, if each lies between 0 and 1 (or is NaN: not known).

    Args:
        name: the argument's name, for the error.
        values: a sequence of fractions.
        length: how many there must be, or a word for any number.

    Returns:
        A float array of shape `(length,)`.

    Raises:
        ValueError: if the shape is another, or a value lies outside.

    Example:
        >>> fractions("exact", [0.5, 98.0], "epochs")
        Traceback (most recent call last):
        ValueError: exact must lie between 0 and 1, got 98.0
    """
    array = shaped(name, values, (length,)).astype(float)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        raise ValueError(f"{name} must lie between 0 and 1, got {outside[0]}")
    return array


def pictures(images: ArrayLike, shape: Sequence[int | str]) -> NDArray[np.float64]:
    """Digits as floats from 0 (paper) to 1 (ink).

    Args:
        images: `shape + (28, 28)`, with or without a last axis of length 1; uint8, or
            floats in any range.
        shape: the leading axes expected.

    Returns:
        Floats of shape `shape + (28, 28)`.

    Raises:
        ValueError: if the shape is another.

    Example:
        >>> pictures(np.full((2, 28, 28, 1), 255, np.uint8), ("time",)).shape
        (2, 28, 28)
    """
    array = np.asarray(images)
    if array.ndim == len(shape) + 3 and array.shape[-1] == 1:
        array = array[..., 0]
    array = shaped("images", array, (*shape, 28, 28))
    if array.dtype == np.uint8:
        return array / 255.0
    low, high = float(np.min(array)), float(np.max(array))
    return (array - low) / ((high - low) or 1.0)


def signed(signs: ArrayLike, time: int) -> NDArray[Any]:
    """The signs, if there is one for each step and each is 1 or -1.

    Args:
        signs: `(time,)`.
        time: the number of steps.

    Returns:
        An array of shape `(time,)`.

    Raises:
        ValueError: if the shape is another, or a sign is neither 1 nor -1.

    Example:
        >>> signed([1, 0], 2)
        Traceback (most recent call last):
        ValueError: signs must be 1 or -1, got 0
    """
    array = shaped("signs", signs, (time,))
    strange = array[np.abs(array) != 1]
    if strange.size:
        raise ValueError(f"signs must be 1 or -1, got {strange[0]}")
    return array
