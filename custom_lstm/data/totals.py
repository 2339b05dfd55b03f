"""The totals of a sequence of digits, with alternating signs.

A sequence of digits d₁ … d_T has the totals y_t = Σ_{k≤t} ± d_k: the first digit is
added (start sign 1) or subtracted (start sign −1), the next the other way, and so on.
"""

from __future__ import annotations

import tensorflow as tf

from custom_lstm.data.checks import check_sign, check_whole
from custom_lstm.data.pools import DataError

LARGEST_DIGIT = 9


def alternating_signs(length: int, start: int = 1) -> tf.Tensor:
    """Give the signs of a sequence's digits.

    Args:
        length: how many digits, at least 1.
        start: the first sign, 1 or −1.

    Returns:
        int32 tensor `(length,)`.

    Raises:
        DataError: if an argument is out of range.

    >>> print(*alternating_signs(5).numpy())
    1 -1 1 -1 1
    """
    return _signs(check_whole("length", length, least=1), check_sign(start))


def totals_by_cumsum(labels: tf.Tensor, start: int = 1) -> tf.Tensor:
    """Add and subtract digits by a cumulative sum of signed digits.

    Args:
        labels: integer tensor `(..., time)`, time at least 1.
        start: the first sign, 1 or −1.

    Returns:
        int32 tensor `(..., time)` of the totals at every step.

    Raises:
        DataError: if an argument is none of the above.

    >>> print(*totals_by_cumsum([3, 5, 4, 1]).numpy())
    3 -2 2 1
    """
    labels, start = _labels(labels), check_sign(start)
    return tf.cumsum(labels * _signs(tf.shape(labels)[-1], start), axis=-1)


def totals_by_scan(labels: tf.Tensor, start: int = 1) -> tf.Tensor:
    """Add and subtract digits by a scan that carries the total and the next sign.

    It gives what `totals_by_cumsum` gives, one step after the other, as a recurrent
    network has to do it; the cumulative sum is quicker.

    Args:
        labels: integer tensor `(..., time)`, time at least 1.
        start: the first sign, 1 or −1.

    Returns:
        int32 tensor `(..., time)` of the totals at every step.

    Raises:
        DataError: if an argument is none of the above.

    >>> print(*totals_by_scan([3, 5, 4, 1]).numpy())
    3 -2 2 1
    """
    labels, start = _labels(labels), tf.constant(check_sign(start))
    steps = tf.experimental.numpy.moveaxis(labels, -1, 0)

    def step(carry, digit):
        total, sign = carry
        return total + sign * digit, -sign

    totals, _ = tf.scan(step, steps, (tf.zeros_like(steps[0]), start))
    return tf.experimental.numpy.moveaxis(totals, 0, -1)


def total_range(length: int, start: int = 1) -> tuple[int, int]:
    """Bound the totals that are possible anywhere in a sequence.

    Args:
        length: how many digits, at least 1.
        start: the first sign, 1 or −1.

    Returns:
        The lowest and the highest total.

    Raises:
        DataError: if an argument is out of range.

    >>> total_range(3), total_range(3, start=-1)
    ((-9, 18), (-18, 9))
    """
    length = check_whole("length", length, least=1)
    first, second = LARGEST_DIGIT * ((length + 1) // 2), LARGEST_DIGIT * (length // 2)
    return (-second, first) if check_sign(start) == 1 else (-first, second)


def _signs(length: int | tf.Tensor, start: int) -> tf.Tensor:
    even = tf.math.floormod(tf.range(length), 2) == 0
    return tf.where(even, start, -start)


def _labels(labels: tf.Tensor) -> tf.Tensor:
    try:
        labels = tf.convert_to_tensor(labels)
    except (TypeError, ValueError) as error:
        raise DataError(f"labels must be integers (..., time): {error}") from error
    if not labels.dtype.is_integer or not labels.shape.rank or labels.shape[-1] == 0:
        raise DataError(
            "labels must be integers (..., time), time at least 1, "
            f"not {labels.dtype.name} {labels.shape}"
        )
    return tf.cast(labels, tf.int32)
