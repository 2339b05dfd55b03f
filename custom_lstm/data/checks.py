"""Checks of arguments that several functions share."""

from __future__ import annotations

import math
import operator
from numbers import Real

from custom_lstm.data.pools import DataError


def check_sign(start: int) -> int:
    """Return the sign if it is 1 or −1.

    >>> check_sign(-1)
    -1
    """
    if start not in (1, -1):
        raise DataError(f"start must be 1 or -1, not {start!r}")
    return int(start)


def check_whole(name: str, value: int, least: int = 0, most: int = 2**63 - 1) -> int:
    """Return a whole number if it is in its range.

    >>> check_whole("length", 4, least=1)
    4
    """
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DataError(f"{name} must be a whole number, not {value!r}") from error
    if not least <= number <= most:
        span = f"at least {least}" if number < least else f"at most {most}"
        raise DataError(f"{name} must be {span}, not {number}")
    return number


def check_number(name: str, value: float, most: float) -> None:
    """Refuse what is no finite number from 0 to `most`.

    Raises:
        DataError: it is none.

    >>> check_number("settle", 0.3, 1)
    >>> check_number("settle", 3, 1)
    Traceback (most recent call last):
    custom_lstm.data.pools.DataError: settle must be a number from 0 to 1, not 3
    """
    number = isinstance(value, Real) and math.isfinite(value)
    if not number or not 0 <= value <= most:
        raise DataError(f"{name} must be a number from 0 to {most:g}, not {value!r}")
