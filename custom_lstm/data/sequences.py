"""Sequences of digits with their totals, as tf.data pipelines.

All digits sit in memory. An epoch is a permutation of them by (seed, epoch), cut into
sequences, so every epoch has new sequences and shows each digit once.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from custom_lstm.data.augment import Augment, augment_images
from custom_lstm.data.checks import check_number, check_sign, check_whole
from custom_lstm.data.order import epoch_order, index_batches, rows_of_each
from custom_lstm.data.pipelines import prefetched
from custom_lstm.data.pools import DataError, Digits
from custom_lstm.data.totals import (
    alternating_signs,
    total_range,
    totals_by_cumsum,
    totals_by_scan,
)

__all__ = [
    "alternating_signs",
    "epoch_order",
    "evaluation_sequences",
    "steps_per_epoch",
    "total_range",
    "totals_by_cumsum",
    "totals_by_scan",
    "training_sequences",
]


def steps_per_epoch(
    n_digits: int, length: int, batch_size: int, members: int = 1
) -> int:
    """Count the full batches of sequences in one epoch; the remainder is dropped.

    Args:
        n_digits: how many digits the pool has.
        length: digits to a sequence.
        batch_size: sequences to a batch.
        members: networks that share each batch, of which each sees all digits.

    Returns:
        The number of batches, at least 1.

    Raises:
        DataError: if a number is less than 1, the pool is too small for one batch, or
            the batch cannot be shared equally.

    >>> steps_per_epoch(55_000, length=4, batch_size=64)
    214
    >>> steps_per_epoch(55_000, length=4, batch_size=5 * 64, members=5)
    214
    """
    n_digits, length = _sequence_length(n_digits, length)
    batch_size = check_whole("batch_size", batch_size, least=1)
    of_each = rows_of_each(batch_size, members)
    if of_each > n_digits // length:
        each = "" if members == 1 else f" for each of {members} members"
        raise DataError(
            f"batch_size {batch_size} is larger than the pool{each}: its {n_digits} "
            f"digits make {n_digits // length} sequences of length {length}"
        )
    return n_digits // (length * of_each)


def training_sequences(
    digits: Digits,
    *,
    length: int,
    batch_size: int,
    epochs: int,
    seed: int,
    start: int = 1,
    augment: Augment | None = None,
    settle: float = 0.0,
    members: int = 1,
    first_epoch: int = 0,
    first_step: int = 0,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Cut every epoch's order of the digits into batches of sequences.

    An epoch shows each digit at most once, to each member, and drops what makes no full
    batch. Batch k of epoch e, its warps included, depends on (`seed`, e, k) alone, and
    on `epochs` if warps settle: a run that starts at `first_epoch` and `first_step`
    goes on exactly as if it had never stopped.

    Args:
        digits: the pool.
        length: digits to a sequence.
        batch_size: sequences to a batch.
        epochs: how many epochs the whole run has, those before `first_epoch` included.
        seed: of the run, 0 to 2⁶³ − 1.
        start: the first sign, 1 or −1.
        augment: bounds of random warps; None for none.
        settle: share of all steps, 0 to 1, at the end of the run, over which those
            bounds shrink linearly to 0: what is learned last is learned from digits as
            they are.
        members: networks that share each batch, each in an order of its own; see
            `index_batches`.
        first_epoch: the epoch to begin with, 0 to `epochs`.
        first_step: the batch of that epoch to begin with, 0 to `steps_per_epoch`.
        share: (k, n) gives share k, from 0, of the n equal ones of each batch.

    Returns:
        A dataset of images, uint8 `(batch_size / n, length, 28, 28, 1)`, and totals,
        float32 `(batch_size / n, length, 1)`: all epochs one after the other.

    Raises:
        DataError: if an argument is out of range.

    >>> pool = Digits(np.zeros((9, 28, 28), "uint8"), np.arange(9, dtype="uint8"))
    >>> batches = training_sequences(pool, length=2, batch_size=2, epochs=3, seed=1)
    >>> len(batches)
    6
    >>> next(iter(batches))[0].shape
    TensorShape([2, 2, 28, 28, 1])
    """
    of_epoch = steps_per_epoch(_pool_size(digits), length, batch_size, members)
    check_number("settle", settle, 1)
    share = _check_share(share, batch_size)
    first = share[0] * batch_size // share[1] * length
    start = check_sign(start)
    if augment is not None and not isinstance(augment, Augment):
        raise DataError(f"augment must be an Augment, not {type(augment).__name__}")
    batches = index_batches(
        len(digits),
        (batch_size, length),
        epochs=epochs,
        seed=seed,
        members=members,
        first_epoch=first_epoch,
        first_step=first_step,
    )
    steps_of_run = epochs * of_epoch
    with tf.device("CPU"):
        images, labels = (
            tf.constant(digits.images[..., None]),
            tf.constant(digits.labels),
        )

    def batch(number, indices):
        indices = _cut(indices, share)
        chosen = tf.gather(images, indices)
        if augment is not None:
            flat = tf.reshape(chosen, (-1, *images.shape[1:]))
            warp = tf.stack([seed, -1 - number])
            strength = _strength(tf.cast(number, tf.float32) / steps_of_run, settle)
            flat = augment_images(flat, augment, warp, first, strength)
            chosen = tf.reshape(flat, chosen.shape)
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

    >>> pool = Digits(np.zeros((3, 28, 28), "uint8"), np.array([7, 4, 5], "uint8"))
    >>> batches = evaluation_sequences(pool, length=2, batch_size=8)
    >>> [(images, totals, mask)] = batches.as_numpy_iterator()
    >>> totals[..., 0].tolist(), mask.tolist()
    ([[7.0, 3.0], [5.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])
    """
    size, length = _sequence_length(_pool_size(digits), length)
    batch_size = check_whole("batch_size", batch_size, least=1)
    multiple = check_whole("multiple", multiple, least=1)
    share = _check_share(share, multiple)
    count = rows = -(-size // length)
    if multiple > 1:
        batches = -(-count // batch_size)
        batch_size = multiple * -(-count // (batches * multiple))
        rows = batches * batch_size
    shape = (rows, length)
    missing = shape[0] * length - size
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


def _check_share(share: tuple[int, int], whole: int) -> tuple[int, int]:
    number, shares = share
    shares = check_whole("shares", shares, least=1)
    if whole % shares:
        raise DataError(f"{shares} equal shares cannot be made of {whole}")
    return check_whole("share", number, most=shares - 1), shares


def _strength(done: tf.Tensor, settle: float) -> tf.Tensor | float:
    """Return the warps' share of their bounds when that share of a run is done."""
    if not settle:
        return 1.0
    return 1 - tf.maximum(0.0, done - (1 - settle)) / settle


def _cut(x: tf.Tensor, share: tuple[int, int]) -> tf.Tensor:
    number, shares = share
    return x if shares == 1 else tf.split(x, shares)[number]


def _pool_size(digits: Digits) -> int:
    if not isinstance(digits, Digits):
        raise DataError(f"digits must be a Digits, not {type(digits).__name__}")
    return len(digits)


def _sequence_length(n_digits: int, length: int) -> tuple[int, int]:
    n_digits = check_whole("n_digits", n_digits, least=1)
    length = check_whole("length", length, least=1)
    if length > n_digits:
        raise DataError(f"length {length} is longer than the pool of {n_digits} digits")
    return n_digits, length
