"""What a pool of digits is, and the one error of this room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from custom_lstm.errors import UserError

SIDE = 28
"""Height and width of a digit, in pixels."""


class DataError(UserError):
    """Data that cannot be had or used; the message says what to do about it.

    >>> raise DataError("length 0 is less than 1")
    Traceback (most recent call last):
    ...
    custom_lstm.data.pools.DataError: length 0 is less than 1
    """


@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits in memory, bright on dark.

    Args:
        images: uint8 array `(n, 28, 28)`, 0 is the ground, 255 full ink.
        labels: uint8 array `(n,)` of the values 0 to 9.

    Raises:
        DataError: if a shape, a dtype or a label is none of the above.

    >>> digits = Digits(np.zeros((3, 28, 28), "uint8"), np.array([1, 2, 3], "uint8"))
    >>> len(digits)
    3
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        """Refuse what is no pool of digits."""
        for name, shape in (("images", "(n, 28, 28)"), ("labels", "(n,)")):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
                came = getattr(array, "dtype", type(array).__name__)
                raise DataError(f"{name} must be a uint8 array {shape}, not {came}")
        count = self.labels.size
        if self.images.shape != (count, SIDE, SIDE) or self.labels.shape != (count,):
            raise DataError(
                "images and labels must have the shapes (n, 28, 28) and (n,), "
                f"not {self.images.shape} and {self.labels.shape}"
            )
        if not count:
            raise DataError("a pool needs at least one digit, this one has none")
        if self.labels.max() > 9:
            raise DataError(f"labels must be 0 to 9, one is {self.labels.max()}")

    def __len__(self) -> int:
        """How many digits there are."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Pools:
    """Three pools that share no digit, and the line that says which data it is.

    Args:
        name: `"mnist"` or `"digits"`.
        train: what the weights are fitted to.
        validation: what choices (best epoch, early stop) are made by.
        test: what scores are reported on.
        notice: one line for the user: which data this is, how to get the other.

    >>> one = Digits(np.zeros((1, 28, 28), "uint8"), np.array([7], "uint8"))
    >>> Pools("digits", one, one, one, notice="Data: one seven").notice
    'Data: one seven'
    """

    name: str
    train: Digits
    validation: Digits
    test: Digits
    notice: str
