"""In which order examples come: by (seed, epoch) alone, from any step on."""

from __future__ import annotations

import math

import tensorflow as tf

from custom_lstm.data.checks import check_whole
from custom_lstm.data.pools import DataError


def epoch_order(n_digits: int, seed: int, epoch: int) -> tf.Tensor:
    """Give the order of the digits in one epoch: a permutation by (seed, epoch) alone.

    Args:
        n_digits: how many digits the pool has.
        seed: of the run, 0 to 2⁶³ − 1.
        epoch: 0 for the first.

    Returns:
        int32 tensor `(n_digits,)` that holds 0 to n_digits − 1 once each.

    Raises:
        DataError: if an argument is out of range.

    >>> sorted(epoch_order(5, seed=1, epoch=0).numpy().tolist())
    [0, 1, 2, 3, 4]
    """
    return _order(
        check_whole("n_digits", n_digits, least=1),
        check_whole("seed", seed),
        check_whole("epoch", epoch),
    )


def index_batches(
    count: int,
    shape: tuple[int, ...],
    *,
    epochs: int,
    seed: int,
    shuffle: bool = True,
    members: int = 1,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Cut every epoch's order of some examples into batches.

    An epoch shows each example at most once and drops what makes no full batch. Batch k
    of epoch e depends on (`seed`, e, k) alone: a run that starts at `first_epoch` and
    `first_step` goes on exactly as if it had never stopped.

    Of m members that learn apart, number k has rows k, k + m, k + 2m, … of each batch.
    Each has an order of its own in every epoch, and so learns from what a network
    alone would: an epoch shows each example at most m times.

    Args:
        count: how many examples there are.
        shape: of a batch of their indices.
        epochs: how many epochs the whole run has, those before `first_epoch` included.
        seed: of the run, 0 to 2⁶³ − 1.
        shuffle: whether each epoch, and member, has an order of its own, or all have
            theirs.
        members: networks that share each batch; must divide its rows.
        first_epoch: the epoch to begin with, 0 to `epochs`.
        first_step: the batch of that epoch to begin with, 0 to the batches it has.

    Returns:
        A dataset of the batch's number in the whole run, int64, and indices, int32 of
        `shape`.

    Raises:
        DataError: if an argument is out of range.

    >>> batches = index_batches(7, (2,), epochs=2, seed=0, first_step=1, shuffle=False)
    >>> [(int(k), i.tolist()) for k, i in batches.as_numpy_iterator()]
    [(1, [2, 3]), (2, [4, 5]), (3, [0, 1]), (4, [2, 3]), (5, [4, 5])]
    """
    rows = rows_of_each(shape[0], members)
    size = rows * math.prod(shape[1:])
    steps = check_whole("count", count, least=size) // size
    epochs, seed = check_whole("epochs", epochs, least=1), check_whole("seed", seed)
    first_epoch = check_whole("first_epoch", first_epoch, most=epochs)
    first_step = check_whole("first_step", first_step, most=steps)

    def order_of(number):
        order = _order(count, seed, number) if shuffle else tf.range(count)
        return tf.reshape(order[: steps * size], (steps, rows, -1))

    def batches_of(epoch):
        orders = [order_of(epoch * members + member) for member in range(members)]
        indices = tf.reshape(tf.stack(orders, axis=2), (steps, *shape))
        begin = tf.where(epoch == first_epoch, first_step, 0)
        number = epoch * steps + tf.range(steps, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((number[begin:], indices[begin:]))

    left = max(0, (epochs - first_epoch) * steps - first_step)
    batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(batches_of)
    return batches.apply(tf.data.experimental.assert_cardinality(left))


def rows_of_each(rows: int, members: int) -> int:
    """Return how many rows of a batch each member has.

    Raises:
        DataError: if they cannot be shared equally.

    >>> rows_of_each(15, members=3)
    5
    """
    members = check_whole("members", members, least=1)
    if rows % members:
        raise DataError(f"{rows} rows cannot be shared equally by {members} members")
    return rows // members


def _order(count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Sort random 64-bit keys; augmentation draws from keys of negative numbers."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    keys = tf.random.stateless_uniform(
        (count,), key, minval=None, maxval=None, dtype=tf.int64, alg="philox"
    )
    return tf.argsort(keys, stable=True)
