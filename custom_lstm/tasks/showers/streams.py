"""Batches of showers, streamed from files."""

from collections.abc import Sequence

import tensorflow as tf

from custom_lstm.data.sequences import prefetched
from custom_lstm.tasks.showers.records import Shard, parse

WINDOW = 2000
"""Records shuffled at a time; bounds the memory to some 40 MB."""
FILES_AT_ONCE = 4
"""Shards that a window is drawn from at a time."""
EVALUATED_AT_ONCE = 250
"""Showers in a batch when nothing is trained."""


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the full batches in an epoch; the remainder is left out.

    Example:

    >>> steps_per_epoch(1000, 64)
    15
    """
    return count // batch_size


def training_batches(
    shards: Sequence[Shard],
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    mirror: bool = True,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Stream every epoch's showers in an order of its own.

    An epoch permutes the shards, reads some of them side by side and permutes each
    window of records. Batch k of epoch e, its mirror images included, depends on
    (`seed`, e, k) alone, so a run that goes on repeats nothing and skips nothing.

    Args:
        shards: the files, which exist.
        batch_size: showers in a batch.
        epochs: epochs of the whole run, those before `first_epoch` included.
        seed: of the order.
        mirror: whether each shower may be mirrored in x, in y, and x and y exchanged:
            the detector looks the same then.
        first_epoch, first_step: batch to begin with.

    Returns:
        Batches of images and truth as `records.parse` gives them.
    """
    steps = steps_per_epoch(sum(shard.showers for shard in shards), batch_size)
    paths = tf.constant([str(shard.path) for shard in shards])

    def batches_of(epoch):
        files = tf.random.experimental.stateless_shuffle(paths, _key(seed, epoch, 0))
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            lambda path: tf.data.TFRecordDataset(path, "ZLIB"),
            cycle_length=FILES_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        windows = (
            records.batch(WINDOW)
            .enumerate(1)
            .map(
                lambda k, window: tf.random.experimental.stateless_shuffle(
                    window, _key(seed, epoch, k)
                )
            )
        )
        batches = windows.unbatch().batch(batch_size, drop_remainder=True)
        numbers = tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps)
        begin = tf.where(epoch == first_epoch, tf.cast(first_step, tf.int64), 0)
        return tf.data.Dataset.zip(numbers, batches).skip(begin)

    def read(number, batch):
        images, truth = parse(batch)
        return (
            mirrored(images, truth, _key(seed, number, -1))
            if mirror
            else (images, truth)
        )

    left = max(0, (epochs - first_epoch) * steps - first_step)
    return prefetched(
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(batches_of)
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(left))
    )


def evaluation_batches(shards: Sequence[Shard]) -> tf.data.Dataset:
    """Stream all showers in their own order, as `records.parse` gives them."""
    batches = -(-sum(shard.showers for shard in shards) // EVALUATED_AT_ONCE)
    records = tf.data.TFRecordDataset([str(shard.path) for shard in shards], "ZLIB")
    return prefetched(
        records.batch(EVALUATED_AT_ONCE)
        .map(parse)
        .apply(tf.data.experimental.assert_cardinality(batches))
    )


def mirrored(
    images: tf.Tensor, truth: dict[str, tf.Tensor], key: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Turn each shower over in x, in y, and about the diagonal, or leave it, at random.

    Args:
        images: `(batch, x, y, layers)`.
        truth: by name; x and y go along.
        key: seed, `(2,)`.
    """
    flip_x, flip_y, swap = tf.unstack(
        tf.random.stateless_uniform((3, tf.shape(images)[0]), key) < 0.5
    )

    def where(chosen, turned, left):
        chosen = tf.reshape(chosen, (-1, *([1] * (left.shape.rank - 1))))
        return tf.where(chosen, turned, left)

    x, y = truth["x"], truth["y"]
    images = where(flip_x, tf.reverse(images, [1]), images)
    images = where(flip_y, tf.reverse(images, [2]), images)
    images = where(swap, tf.transpose(images, (0, 2, 1, 3)), images)
    x, y = where(flip_x, -x, x), where(flip_y, -y, y)
    return images, {**truth, "x": where(swap, y, x), "y": where(swap, x, y)}


def _key(seed: int, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """A seed for TensorFlow's stateless functions, `(2,)`, made of three numbers."""
    return tf.random.experimental.stateless_fold_in(
        tf.stack([tf.cast(seed, tf.int64), tf.cast(first, tf.int64)]),
        tf.cast(second, tf.int64),
    )
