"""Showers in files: TFRecords, packed with ZLIB, written once and read as a stream.

A set of showers is cut into shards of at most `SHARD` showers. What a shard holds
follows from (seed, set, number) alone, and it is written in one piece; so runs share
shards, a start that was cut short loses none, and a lost one comes back the same.

A record is a `tf.train.Example` with the features `image` (bytes: counts as
little-endian uint16, `(x, y, layers)`), `energy`, `x`, `y`, `z` (float) and `kind`
(int64); see `generator.Showers`. Behind the packed records, where readers of TFRecords
no longer look, stands the SHA-256 of the file.
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
from custom_lstm.files import (
    ChecksumError,
    append_checksum,
    atomic_write,
    verify_checksum,
)
from custom_lstm.tasks.showers import detector
from custom_lstm.tasks.showers.generator import KINDS, Showers, generate

SETS = ("train", "validation", "test")
SHARD = 500
"""Showers in a shard; the last of a set may hold fewer."""
IMAGE_SHAPE = (detector.CELLS, detector.CELLS, detector.LAYERS)
TARGETS = ("energy", "x", "y", "z", "kind")

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
        showers: how many it holds.
        seed: what they are drawn from; see `generate`.
    """

    path: Path
    showers: int
    seed: tuple[int, ...]


def shards_of(
    name: str, count: int, seed: int, folder: Path | None = None
) -> list[Shard]:
    """Say which files hold the showers of a set; they need not exist yet.

    Args:
        name: one of `SETS`.
        count: showers in the set.
        seed: of the showers.
        folder: where files are kept; by default `showers` in the user's cache.

    Returns:
        The shards. Their folder is named after the seed and after what the generator
        makes, so that files of another version are never taken for these.

    Example:

    >>> [shard.path.name for shard in shards_of("test", 1200, seed=0)]
    ['test-00000-500.tfrecord', 'test-00001-500.tfrecord', 'test-00002-200.tfrecord']
    """
    folder = cache_folder() / "showers" if folder is None else folder
    folder = folder / f"{_fingerprint()}-seed{seed}"
    sizes = [min(SHARD, count - begun) for begun in range(0, count, SHARD)]
    return [
        Shard(
            folder / f"{name}-{number:05d}-{size}.tfrecord",
            size,
            (seed, SETS.index(name), number),
        )
        for number, size in enumerate(sizes)
    ]


def ensure(shards: Sequence[Shard], say: Callable[[str], object] = print) -> None:
    """Write the shards that are missing, and check those that are there.

    Args:
        shards: made by `shards_of`.
        say: gets a line before something is written.

    Raises:
        DataError: a file is damaged or foreign, or the folder cannot be written.
            Nothing is overwritten.
    """
    missing = [shard for shard in shards if not shard.path.exists()]
    if missing:
        showers = sum(shard.showers for shard in missing)
        say(f"Making {showers} showers in {missing[0].path.parent}")
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
        raise _unusable(shard.path, "it is no file but something else")
    try:
        verify_checksum(shard.path)
    except ChecksumError as error:
        raise _unusable(shard.path, "its checksum is wrong") from error
    except OSError as error:
        raise _unusable(shard.path, error.strerror or str(error)) from error
    try:
        for batch in tf.data.TFRecordDataset(str(shard.path), _ZLIB).batch(250):
            images, truth = parse(batch)
            _check_values(truth)
            count += len(images)
    except (tf.errors.OpError, ValueError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise _unusable(shard.path, reason) from error
    if count != shard.showers:
        raise _unusable(shard.path, f"it holds {count} showers, not {shard.showers}")


def parse(records: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Read a batch of records.

    Args:
        records: strings, `(batch,)`.

    Returns:
        Images, counts as float32 `(batch, x, y, layers)`, and the truth by name:
        `energy`, `x`, `y`, `z` and `kind`, float32 `(batch, 1)` each.

    Raises:
        tf.errors.InvalidArgumentError: a record is something else.
    """
    read = tf.io.parse_example(records, _FEATURES)
    images = tf.cast(tf.io.decode_raw(read.pop("image"), tf.uint16), tf.float32)
    images = tf.reshape(images, (tf.shape(records)[0], *IMAGE_SHAPE))
    return images, {name: tf.cast(read[name], tf.float32) for name in TARGETS}


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
        "move it away, and it will be made anew"
    )


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


@functools.cache
def _fingerprint() -> str:
    """What the generator makes and how it is kept, in eight letters."""
    digest = hashlib.sha256(b"sealed")
    for values in vars(generate(4, 0)).values():
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:8]
