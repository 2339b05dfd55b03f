"""Where TensorFlow Datasets keeps MNIST, and whether all of it is there.

Looking does not import TensorFlow Datasets, which would take seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from custom_lstm.data.pools import DataError

VERSION = "3.0.1"
"""Of the prepared data: the order of the digits, hence of the pools, belongs to it."""

SIZES = {"train": 60_000, "test": 10_000}

WAYS_OUT = (
    "Point TFDS_DATA_DIR or --data-dir at a folder where `tfds build mnist` "
    "has run, or choose the embedded digits (--data digits)."
)


def data_root(data_dir: str | os.PathLike | None = None) -> Path:
    """Find the data folder by the rules of TensorFlow Datasets.

    Args:
        data_dir: the folder; if None, `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Returns:
        The folder, absolute. It need not exist.

    Raises:
        DataError: if it is not a local folder.

    >>> data_root("/data").as_posix().endswith("/data")
    True
    """
    given = os.fspath(data_dir) if data_dir else ""
    given = given or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    if "://" in given:
        raise DataError(f"the data folder must be a local one, not {given}")
    root = Path(os.path.expanduser(given)).absolute()  # noqa: PTH111 - never raises
    if root.exists() and not root.is_dir():
        raise DataError(f"the data folder {root} is a file")
    return root


def place_of(root: Path) -> Path:
    """Say in which folder below the data folder MNIST is prepared.

    >>> place_of(Path("data")).as_posix()
    'data/mnist/3.0.1'
    """
    return root / "mnist" / VERSION


def identity(place: Path) -> str | None:
    """Tell one prepared MNIST from another, and from a half-prepared one.

    Args:
        place: the folder, as `place_of` gives it.

    Returns:
        A hash of the folder's descriptions and of its data files' names, sizes and
        times; None if there is no such folder.

    Raises:
        DataError: if the folder is there but incomplete.

    >>> identity(Path("nowhere")) is None
    True
    """
    if not place.exists():
        return None
    try:
        texts = [
            (place / f"{x}.json").read_bytes() for x in ("dataset_info", "features")
        ]
        splits = {x["name"]: x["shardLengths"] for x in json.loads(texts[0])["splits"]}
        lengths = {name: [int(x) for x in splits.get(name, [])] for name in SIZES}
    except FileNotFoundError as error:
        raise damaged(place, f"{Path(error.filename).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(place, f"its descriptions are unreadable: {error!r}") from error
    files = []
    for split, size in SIZES.items():
        if sum(lengths[split]) != size:
            counted = f"{sum(lengths[split]):,} digits instead of {size:,}"
            raise damaged(place, f"its split '{split}' has {counted}")
        shards = sorted(place.glob(f"mnist-{split}.*-of-{len(lengths[split]):05d}"))
        stats = [shard.stat() for shard in shards]
        if len(shards) != len(lengths[split]) or not all(x.st_size for x in stats):
            raise damaged(place, f"files of its split '{split}' are missing or empty")
        files += [
            (shard.name, stat.st_size, stat.st_mtime_ns)
            for shard, stat in zip(shards, stats, strict=True)
        ]
    return short_hash(b"\n".join([*texts, repr(files).encode()]))


def unfinished(root: Path) -> list[str]:
    """List what preparations that never came to their end left behind.

    >>> unfinished(Path("nowhere"))
    []
    """
    found = [*root.glob(f"mnist/incomplete.*{VERSION}*")]
    found += root.glob(f"mnist/{VERSION}.incomplete*")
    return sorted(path.name for path in found)


def damaged(place: Path, why: object) -> DataError:
    """Say that a prepared MNIST is not whole, and what to do.

    >>> print(damaged(Path("here"), "dataset_info.json is missing"))
    MNIST in here is half prepared or damaged: dataset_info.json is missing. Delete ...
    """
    return DataError(
        f"MNIST in {place} is half prepared or damaged: {why}. "
        f"Delete that folder and start again. {WAYS_OUT}"
    )


def short_hash(data: bytes) -> str:
    """Shorten anything to 16 hexadecimal digits that stand for it.

    >>> short_hash(b"")
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(data).hexdigest()[:16]
