"""Showers in files: TFRecords, packed with ZLIB, written once and read as batches.

A set of showers is cut into shards of at most `SHARD` showers. What a shard holds
follows from (seed, set, number) alone, and it is written in one piece; so runs share
shards, a start that was cut short loses none, and a lost one comes back the same.

A record is a `tf.train.Example` with the features `image` (bytes: counts as
little-endian uint16, `(x, y, layers)`), `energy`, `x`, `y`, `z` (float) and `kind`
(int64); see `simulation.Showers`. After the packed records, where readers of TFRecords
no longer look, follows the SHA-256 of the file.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from custom_lstm.data import DataError
from custom_lstm.data.mnist import cache_folder
from custom_lstm.data.sequences import prefetched
from custom_lstm.files import (
    ChecksumError,
    append_checksum,
    atomic_write,
    verify_checksum,
)
from custom_lstm.tasks.showers.simulation import (
    CELLS,
    KINDS,
    LAYERS,
    Showers,
    generate,
)

SETS = ("train", "validation", "test")
SHARD = 500
"""Showers in a shard."""
IMAGE_SHAPE = (CELLS, CELLS, LAYERS)
TARGETS = ("energy", "x", "y", "z", "kind")
WINDOW = 2000
"""Records shuffled at a time; bounds the memory to some 40 MB."""
FILES_AT_ONCE = 4
"""Shards that a window is drawn from at a time."""
EVALUATION_BATCH = 250
"""Showers in a batch when nothing is trained."""

_ZLIB = "ZLIB"
_FEATURES = {
    "image": tf.io.FixedLenFeature((), tf.string),
    **{name: tf.io.FixedLenFeature((1,), tf.float32) for name in TARGETS[:4]},
    "kind": tf.io.FixedLenFeature((1,), tf.int64),
}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of showers.

    Args:
        path: where it is, or will be.
        showers: number of showers in it.
        seed: of these showers; see `generate`.
    """

    path: Path
    showers: int
    seed: tuple[int, ...]


Sets = dict[str, list[Shard]]
"""The files of each set of showers, by its name."""


def shards_of(
    name: str,
    count: int,
    seed: int,
    folder: Path | None = None,
    *,
    shard_size: int = SHARD,
) -> list[Shard]:
    """Return the files that hold the showers of a set; they need not exist yet.

    Args:
        name: one of `SETS`.
        count: showers in the set.
        seed: of the showers.
        folder: where files are kept; by default `showers` in the user's cache.
        shard_size: showers in a file; the last one may hold fewer.

    Returns:
        The shards. Their folder is named after the seed and after what the generator
        makes, so that files of another version are never taken for these.

    Example:
        >>> [shard.path.name for shard in shards_of("test", 700, seed=0)]
        ['test-00000-500.tfrecord', 'test-00001-200.tfrecord']
    """
    folder = cache_folder() / "showers" if folder is None else folder
    folder = folder / f"{_fingerprint()}-seed{seed}"
    sizes = [min(shard_size, count - begun) for begun in range(0, count, shard_size)]
    return [
        Shard(
            folder / f"{name}-{number:05d}-{size}.tfrecord",
            size,
            (seed, SETS.index(name), number),
        )
        for number, size in enumerate(sizes)
    ]


def ensure(shards: Sequence[Shard], report: Callable[[str], object] = print) -> None:
    """Write the shards that are missing, and check those that exist.

    Args:
        shards: made by `shards_of`.
        report: called with a line of text before something is written.

    Raises:
        DataError: a file is damaged or no file of showers, or the folder cannot be
            written. Nothing is overwritten.
    """
    missing = [shard for shard in shards if not shard.path.exists()]
    if missing:
        showers = sum(shard.showers for shard in missing)
        report(f"Making {showers} showers in {missing[0].path.parent}")
    for shard in shards:
        if shard.path.exists():
            check(shard)
        else:
            write(shard.path, generate(shard.showers, shard.seed))


def write(path: Path, showers: Showers) -> None:
    """Write showers to one file, whole or not at all.

    Raises:
        DataError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            with tf.io.TFRecordWriter(str(part), _ZLIB) as file:
                for k in range(len(showers)):
                    file.write(_example(showers, k))
            append_checksum(part)
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}; "
            "name another folder with --data-dir"
        ) from error


def check(shard: Shard) -> None:
    """Read a file to its end, and compare it with what it should hold.

    Raises:
        DataError: it is missing, cut short, damaged, of another kind, or its showers
            have another shape or another number.
    """
    count = 0
    if shard.path.exists() and not shard.path.is_file():
        raise _unusable(shard.path, "it is not a regular file")
    try:
        verify_checksum(shard.path)
    except ChecksumError as error:
        raise _unusable(shard.path, "its checksum is wrong") from error
    except OSError as error:
        raise _unusable(shard.path, error.strerror or str(error)) from error
    try:
        for batch in tf.data.TFRecordDataset(str(shard.path), _ZLIB).batch(
            EVALUATION_BATCH
        ):
            images, truth = _parse_records(batch)
            _check_values(truth)
            count += len(images)
    except (tf.errors.OpError, ValueError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise _unusable(shard.path, reason) from error
    if count != shard.showers:
        raise _unusable(shard.path, f"it holds {count} showers, not {shard.showers}")


def _parse_records(records: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Read a batch of records: images, and the truth by name.

    Images are counts, float32 `(batch, x, y, layers)`; `energy`, `x`, `y`, `z` and
    `kind` are float32 `(batch, 1)` each.
    """
    read = tf.io.parse_example(records, _FEATURES)
    images = tf.cast(tf.io.decode_raw(read.pop("image"), tf.uint16), tf.float32)
    images = tf.reshape(images, (tf.shape(records)[0], *IMAGE_SHAPE))
    return images, {name: tf.cast(read[name], tf.float32) for name in TARGETS}


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
    """Return every epoch's showers as batches, in an order of its own.

    An epoch permutes the shards, reads some of them side by side and permutes each
    window of records. Batch k of epoch e, its mirror images included, depends on
    (`seed`, e, k) alone, so a resumed run repeats nothing and skips nothing.

    Args:
        shards: the files, which exist.
        batch_size: showers in a batch.
        epochs: epochs of the whole run, those before `first_epoch` included.
        seed: of the order.
        mirror: whether each shower may be mirrored in x, in y, and x and y exchanged:
            the detector looks the same then.
        first_epoch, first_step: batch to begin with.

    Returns:
        Batches of images, float32 `(batch, x, y, layers)`, and of the truth, a dict of
        `energy`, `x`, `y`, `z` and `kind`, float32 `(batch, 1)` each.
    """
    steps = steps_per_epoch(sum(shard.showers for shard in shards), batch_size)
    paths = tf.constant([str(shard.path) for shard in shards])

    def batches_of(epoch):
        records = _shuffled_records(paths, seed, epoch)
        batches = records.batch(batch_size, drop_remainder=True)
        numbers = tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps)
        begin = tf.where(epoch == first_epoch, tf.cast(first_step, tf.int64), 0)
        return tf.data.Dataset.zip(numbers, batches).skip(begin)

    def read(number, batch):
        images, truth = _parse_records(batch)
        key = _key(seed, number, -1)
        return mirrored(images, truth, key) if mirror else (images, truth)

    left = max(0, (epochs - first_epoch) * steps - first_step)
    return prefetched(
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(batches_of)
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(left))
    )


def evaluation_batches(shards: Sequence[Shard]) -> tf.data.Dataset:
    """Return all showers in their own order, in batches as `training_batches`' are."""
    batches = -(-sum(shard.showers for shard in shards) // EVALUATION_BATCH)
    records = tf.data.TFRecordDataset([str(shard.path) for shard in shards], _ZLIB)
    return prefetched(
        records.batch(EVALUATION_BATCH)
        .map(_parse_records)
        .apply(tf.data.experimental.assert_cardinality(batches))
    )


def mirrored(
    images: tf.Tensor, truth: dict[str, tf.Tensor], key: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Mirror each shower at random by `key (2,)`: in x, in y, and in the diagonal."""
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


def _shuffled_records(paths: tf.Tensor, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """Return the records of all files, in an order that (seed, epoch) determines."""
    files = tf.random.experimental.stateless_shuffle(paths, _key(seed, epoch, 0))
    records = tf.data.Dataset.from_tensor_slices(files).interleave(
        lambda path: tf.data.TFRecordDataset(path, _ZLIB),
        cycle_length=FILES_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )

    def shuffled(k, window):
        key = _key(seed, epoch, k)
        return tf.random.experimental.stateless_shuffle(window, key)

    return records.batch(WINDOW).enumerate(1).map(shuffled).unbatch()


def _example(showers: Showers, k: int) -> bytes:
    def numbers(name):
        values = tf.train.FloatList(value=[getattr(showers, name)[k]])
        return tf.train.Feature(float_list=values)

    image = showers.images[k].astype("<u2").tobytes()
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        **{name: numbers(name) for name in TARGETS[:4]},
        "kind": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[int(showers.kind[k])])
        ),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=feature)
    ).SerializeToString()


def _check_values(truth: dict[str, tf.Tensor]) -> None:
    for name, values in truth.items():
        if not np.isfinite(values).all():
            raise ValueError(f"its {name} is not finite everywhere")
    if not np.isin(truth["kind"], range(len(KINDS))).all():
        raise ValueError(f"its kinds are not all 0 to {len(KINDS) - 1}")
    if not (truth["energy"].numpy() > 0).all():
        raise ValueError("its energies are not all positive")


def _unusable(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is damaged or no file of showers ({reason}); "
        "move it away, and it will be made again"
    )


@functools.cache
def _fingerprint() -> str:
    """Return eight letters that depend on what the simulation gives and its format."""
    digest = hashlib.sha256(b"sealed")
    for values in vars(generate(4, 0)).values():
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:8]


def _key(seed: int, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return a seed `(2,)` for TensorFlow's stateless functions."""
    return tf.random.experimental.stateless_fold_in(
        tf.stack([tf.cast(seed, tf.int64), tf.cast(first, tf.int64)]),
        tf.cast(second, tf.int64),
    )
