"""Sequences of digits with their totals, as tf.data pipelines.

A sequence of digits d₁ … d_T has the totals y_t = Σ_{k≤t} ± d_k: the first digit is
added (start sign 1) or subtracted (start sign −1), the next the other way, and so on.

All digits are in memory. An epoch is a permutation of them by (seed, epoch), cut into
sequences, so every epoch has new sequences and shows each digit once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from custom_lstm.data.augment import Augment, augment_images, check_number
from custom_lstm.data.digits import Digits
from custom_lstm.errors import DataError

LARGEST_DIGIT = 9


def alternating_signs(length: int, start: int = 1) -> tf.Tensor:
    """Return the signs of a sequence's digits.

    Args:
        length: how many digits, at least 1.
        start: the first sign, 1 or −1.

    Returns:
        int32 tensor `(length,)`.

    Raises:
        DataError: if an argument is out of range.

    Example:
        >>> print(*alternating_signs(5).numpy())
        1 -1 1 -1 1
    """
    return _signs(_check_whole("length", length, least=1), _check_sign(start))


def totals_by_cumsum(labels: tf.Tensor, start: int = 1) -> tf.Tensor:
    """Add and subtract digits by a cumulative sum of signed digits.

    Args:
        labels: integer tensor `(..., time)`, time at least 1.
        start: the first sign, 1 or −1.

    Returns:
        int32 tensor `(..., time)` of the totals at every step.

    Raises:
        DataError: if an argument has a wrong type, shape or value.

    Example:
        >>> print(*totals_by_cumsum([3, 5, 4, 1]).numpy())
        3 -2 2 1
    """
    labels, start = _check_labels(labels), _check_sign(start)
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
        DataError: if an argument has a wrong type, shape or value.

    Example:
        >>> print(*totals_by_scan([3, 5, 4, 1]).numpy())
        3 -2 2 1
    """
    labels, start = _check_labels(labels), tf.constant(_check_sign(start))
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

    Example:
        >>> total_range(3), total_range(3, start=-1)
        ((-9, 18), (-18, 9))
    """
    length = _check_whole("length", length, least=1)
    first, second = LARGEST_DIGIT * ((length + 1) // 2), LARGEST_DIGIT * (length // 2)
    return (-second, first) if _check_sign(start) == 1 else (-first, second)


def epoch_order(n_digits: int, seed: int, epoch: int) -> tf.Tensor:
    """Return the order of the digits in one epoch, a permutation by (seed, epoch).

    Args:
        n_digits: how many digits the pool has.
        seed: of the run, 0 to 2⁶³ − 1.
        epoch: 0 for the first.

    Returns:
        int32 tensor `(n_digits,)` that holds 0 to n_digits − 1 once each.

    Raises:
        DataError: if an argument is out of range.

    Example:
        >>> sorted(epoch_order(5, seed=1, epoch=0).numpy().tolist())
        [0, 1, 2, 3, 4]
    """
    return _order(
        _check_whole("n_digits", n_digits, least=1),
        _check_whole("seed", seed),
        _check_whole("epoch", epoch),
    )


def index_batches(
    count: int,
    shape: tuple[int, ...],
    *,
    epochs: int,
    seed: int,
    shuffle: bool = True,
    ensemble_size: int = 1,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Cut every epoch's order of some examples into batches.

    An epoch shows each example at most once and drops what makes no full batch. Batch k
    of epoch e depends on (`seed`, e, k) alone: a run that starts at `first_epoch` and
    `first_step` continues exactly as if it had never stopped.

    Of an ensemble of m networks, number k has rows k, k + m, k + 2m, … of each batch.
    Each has an order of its own in every epoch, and so learns from what a network
    alone would: an epoch shows each example at most m times.

    Args:
        count: how many examples there are.
        shape: of a batch of their indices.
        epochs: how many epochs the whole run has, those before `first_epoch` included.
        seed: of the run, 0 to 2⁶³ − 1.
        shuffle: whether each epoch, and each network of an ensemble, has an order of
            its own; otherwise examples come in their own order.
        ensemble_size: networks that share each batch; must divide its rows.
        first_epoch: the epoch to begin with, 0 to `epochs`.
        first_step: the batch of that epoch to begin with, 0 to the batches it has.

    Returns:
        A dataset of the batch's number in the whole run, int64, and indices, int32 of
        `shape`.

    Raises:
        DataError: if an argument is out of range.

    Example:
        >>> batches = index_batches(
        ...     7, (2,), epochs=2, seed=0, first_step=1, shuffle=False
        ... )
        >>> [(int(k), i.tolist()) for k, i in batches.as_numpy_iterator()]
        [(1, [2, 3]), (2, [4, 5]), (3, [0, 1]), (4, [2, 3]), (5, [4, 5])]
    """
    rows = _rows_of_each(shape[0], ensemble_size)
    size = rows * math.prod(shape[1:])
    steps = _check_whole("count", count, least=size) // size
    epochs, seed = _check_whole("epochs", epochs, least=1), _check_whole("seed", seed)
    first_epoch = _check_whole("first_epoch", first_epoch, most=epochs)
    first_step = _check_whole("first_step", first_step, most=steps)

    def order_of(number):
        order = _order(count, seed, number) if shuffle else tf.range(count)
        return tf.reshape(order[: steps * size], (steps, rows, -1))

    def batches_of(epoch):
        orders = [order_of(epoch * ensemble_size + k) for k in range(ensemble_size)]
        indices = tf.reshape(tf.stack(orders, axis=2), (steps, *shape))
        begin = tf.where(epoch == first_epoch, first_step, 0)
        number = epoch * steps + tf.range(steps, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((number[begin:], indices[begin:]))

    left = max(0, (epochs - first_epoch) * steps - first_step)
    batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(batches_of)
    return batches.apply(tf.data.experimental.assert_cardinality(left))


def steps_per_epoch(
    n_digits: int, length: int, batch_size: int, ensemble_size: int = 1
) -> int:
    """Count the full batches of sequences in one epoch; the remainder is dropped.

    Args:
        n_digits: how many digits the pool has.
        length: digits to a sequence.
        batch_size: sequences to a batch.
        ensemble_size: networks that share each batch, of which each sees all digits.

    Returns:
        The number of batches, at least 1.

    Raises:
        DataError: if a number is less than 1, the pool is too small for one batch, or
            the batch cannot be shared equally.

    Example:
        >>> steps_per_epoch(55_000, length=4, batch_size=64)
        214
        >>> steps_per_epoch(55_000, length=4, batch_size=5 * 64, ensemble_size=5)
        214
    """
    n_digits, length = _check_length(n_digits, length)
    batch_size = _check_whole("batch_size", batch_size, least=1)
    rows = _rows_of_each(batch_size, ensemble_size)
    if rows > n_digits // length:
        each = "" if ensemble_size == 1 else f" for each of {ensemble_size} networks"
        raise DataError(
            f"batch_size {batch_size} is larger than the pool{each}: its {n_digits} "
            f"digits make {n_digits // length} sequences of length {length}"
        )
    return n_digits // (length * rows)


def training_sequences(
    digits: Digits,
    *,
    length: int,
    batch_size: int,
    epochs: int,
    seed: int,
    start: int = 1,
    augment: Augment | None = None,
    augment_decay: float = 0.0,
    ensemble_size: int = 1,
    first_epoch: int = 0,
    first_step: int = 0,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Cut every epoch's order of the digits into batches of sequences.

    An epoch shows each digit at most once, to each network of an ensemble, and drops
    what makes no full batch. Batch k of epoch e, its warps included, depends on
    (`seed`, e, k) alone, and on `epochs` if warps decay: a run that starts at
    `first_epoch` and `first_step` continues exactly as if it had never stopped.

    Args:
        digits: the pool.
        length: digits to a sequence.
        batch_size: sequences to a batch.
        epochs: how many epochs the whole run has, those before `first_epoch` included.
        seed: of the run, 0 to 2⁶³ − 1.
        start: the first sign, 1 or −1.
        augment: bounds of random warps; None for none.
        augment_decay: share of all steps, 0 to 1, at the end of the run, over which
            those bounds shrink linearly to 0: what is learned last is learned from
            digits as they are.
        ensemble_size: networks that share each batch, each in an order of its own; see
            `index_batches`.
        first_epoch: the epoch to begin with, 0 to `epochs`.
        first_step: the batch of that epoch to begin with, 0 to `steps_per_epoch`.
        share: (k, n) gives share k, from 0, of the n equal ones of each batch.

    Returns:
        A dataset of images, uint8 `(batch_size / n, length, 28, 28, 1)`, and totals,
        float32 `(batch_size / n, length, 1)`: all epochs one after the other.

    Raises:
        DataError: if an argument is out of range.

    Example:
        >>> pool = Digits(np.zeros((9, 28, 28), "uint8"), np.arange(9, dtype="uint8"))
        >>> batches = training_sequences(pool, length=2, batch_size=2, epochs=3, seed=1)
        >>> len(batches)
        6
        >>> next(iter(batches))[0].shape
        TensorShape([2, 2, 28, 28, 1])
    """
    steps = steps_per_epoch(_pool_size(digits), length, batch_size, ensemble_size)
    share, start = _check_share(share, batch_size), _check_sign(start)
    first = share[0] * batch_size // share[1] * length
    warp = _warp(augment, augment_decay, epochs * steps, seed, first)
    batches = index_batches(
        len(digits),
        (batch_size, length),
        epochs=epochs,
        seed=seed,
        ensemble_size=ensemble_size,
        first_epoch=first_epoch,
        first_step=first_step,
    )
    with tf.device("CPU"):
        images, labels = tf.constant(digits.images), tf.constant(digits.labels)

    def batch(number, indices):
        indices = _cut(indices, share)
        chosen = warp(tf.gather(images, indices)[..., None], number)
        totals = totals_by_cumsum(tf.gather(labels, indices), start)
        return chosen, tf.cast(totals, tf.float32)[..., None]

    return prefetched(batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE))


def evaluation_sequences(
    digits: Digits,
    *,
    length: int,
    batch_size: int,
    start: int = 1,
    multiple: int = 1,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Cut a pool into sequences in its own order, every digit once.

    The last sequence may be shorter: it is filled up with zeros, images and totals, and
    the mask is 0 there. The last batch may be smaller.

    With `multiple` over 1 all batches have one size, near `batch_size` and a multiple
    of it, filled up with sequences whose mask is 0. The mask of the others is then a
    little more than 1, so that a weighted sum divided by the number of sequences stays
    what it is without those.

    Args:
        digits: the pool.
        length: digits to a sequence.
        batch_size: sequences to a batch.
        start: the first sign, 1 or −1.
        multiple: the number of devices that share each batch.
        share: (k, n) gives share k, from 0, of the n equal ones of each batch; n must
            divide `multiple`.

    Returns:
        A dataset of images, uint8 `(batch, length, 28, 28, 1)`, totals, float32
        `(batch, length, 1)`, and the mask, float32 `(batch, length)`, which Keras takes
        as `sample_weight`.

    Raises:
        DataError: if an argument is out of range.

    Example:
        >>> pool = Digits(np.zeros((3, 28, 28), "uint8"), np.array([7, 4, 5], "uint8"))
        >>> batches = evaluation_sequences(pool, length=2, batch_size=8)
        >>> [(images, totals, mask)] = batches.as_numpy_iterator()
        >>> totals[..., 0].tolist(), mask.tolist()
        ([[7.0, 3.0], [5.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])
    """
    size, length = _check_length(_pool_size(digits), length)
    batch_size = _check_whole("batch_size", batch_size, least=1)
    multiple = _check_whole("multiple", multiple, least=1)
    share = _check_share(share, multiple)
    count = rows = -(-size // length)
    if multiple > 1:
        batches = -(-count // batch_size)
        batch_size = multiple * -(-count // (batches * multiple))
        rows = batches * batch_size
    shape = (rows, length)
    missing = rows * length - size
    images = np.pad(digits.images, ((0, missing), (0, 0), (0, 0)))
    labels = np.pad(digits.labels, (0, missing)).reshape(shape)
    real = (np.arange(rows * length) < size).reshape(shape)
    mask = (real * (rows / count)).astype(np.float32)
    with tf.device("CPU"):
        totals = tf.cast(totals_by_cumsum(labels, start), tf.float32) * real
        parts = (images.reshape(*shape, *images.shape[1:], 1), totals[..., None], mask)
        sequences = tf.data.Dataset.from_tensor_slices(parts)
    batched = sequences.batch(batch_size)
    if share[1] > 1:
        batched = batched.map(lambda *parts: tuple(_cut(x, share) for x in parts))
    return prefetched(batched)


def prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prepare two batches ahead, without tf.data's autotuning.

    TensorFlow 2.21's tuner sleeps between its looks at a pipeline, up to a minute, and
    the end of an iteration sometimes waits until it wakes. Without it, `AUTOTUNE`
    means as many calls at once as there are cores.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)


def _check_whole(name: str, value: int, least: int = 0, most: int = 2**63 - 1) -> int:
    """Return a whole number if it is in its range, or raise a DataError."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DataError(f"{name} must be a whole number, not {value!r}") from error
    if not least <= number <= most:
        span = f"at least {least}" if number < least else f"at most {most}"
        raise DataError(f"{name} must be {span}, not {number}")
    return number


def _check_sign(start: int) -> int:
    if start not in (1, -1):
        raise DataError(f"start must be 1 or -1, not {start!r}")
    return int(start)


def _check_labels(labels: tf.Tensor) -> tf.Tensor:
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


def _check_share(share: tuple[int, int], whole: int) -> tuple[int, int]:
    number, shares = share
    shares = _check_whole("shares", shares, least=1)
    if whole % shares:
        raise DataError(f"{shares} equal shares cannot be made of {whole}")
    return _check_whole("share", number, most=shares - 1), shares


def _check_length(n_digits: int, length: int) -> tuple[int, int]:
    n_digits = _check_whole("n_digits", n_digits, least=1)
    length = _check_whole("length", length, least=1)
    if length > n_digits:
        raise DataError(f"length {length} is longer than the pool of {n_digits} digits")
    return n_digits, length


def _pool_size(digits: Digits) -> int:
    if not isinstance(digits, Digits):
        raise DataError(f"digits must be a Digits, not {type(digits).__name__}")
    return len(digits)


def _rows_of_each(rows: int, ensemble_size: int) -> int:
    size = _check_whole("ensemble_size", ensemble_size, least=1)
    if rows % size:
        raise DataError(f"{rows} rows cannot be shared equally by {size} networks")
    return rows // size


def _signs(length: int | tf.Tensor, start: int) -> tf.Tensor:
    even = tf.math.floormod(tf.range(length), 2) == 0
    return tf.where(even, start, -start)


def _order(count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Sort random 64-bit keys; augmentation draws from keys of negative numbers."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    keys = tf.random.stateless_uniform(
        (count,), key, minval=None, maxval=None, dtype=tf.int64, alg="philox"
    )
    return tf.argsort(keys, stable=True)


def _warp(
    augment: Augment | None, decay: float, steps: int, seed: int, first: int
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return what warps the images of a batch, given its number in the run."""
    check_number("augment_decay", decay, 1)
    if augment is None:
        return lambda images, number: images
    if not isinstance(augment, Augment):
        raise DataError(f"augment must be an Augment, not {type(augment).__name__}")

    def warp(images, number):
        strength: tf.Tensor | float = 1.0
        if decay:
            done = tf.cast(number, tf.float32) / steps
            strength = 1 - tf.maximum(0.0, done - (1 - decay)) / decay
        flat = tf.reshape(images, (-1, *images.shape[-3:]))
        key = tf.stack([seed, -1 - number])
        flat = augment_images(flat, augment, key, first, strength)
        return tf.reshape(flat, images.shape)

    return warp


def _cut(x: tf.Tensor, share: tuple[int, int]) -> tf.Tensor:
    number, shares = share
    return x if shares == 1 else tf.split(x, shares)[number]
