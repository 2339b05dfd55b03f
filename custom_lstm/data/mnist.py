"""MNIST as TensorFlow Datasets prepares it, and a cache of the decoded digits.

TensorFlow Datasets is imported only when something has to be decoded or downloaded, so
a start that finds the cache spends a fraction of a second.

The cache is one file: the bytes of uint8 arrays one after the other, and the SHA-256 of
them. A truncated or altered file is therefore detected, and it is written atomically,
so concurrent starts and a kill during the write do no harm.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import json
import logging
import math
import os
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import platformdirs

from custom_lstm.errors import DataError
from custom_lstm.extras import extra
from custom_lstm.files import PARTIAL, atomic_write

log = logging.getLogger(__name__)

SIDE = 28
"""Height and width of a digit, in pixels."""

VERSION = "3.0.1"
"""Of the prepared data, which fixes the order of the digits and hence the pools."""

SIZES = {"train": 60_000, "test": 10_000}

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz"
"""The largest of the files that TensorFlow Datasets downloads for MNIST."""

PROBE_SECONDS = 3.0

ADVICE = (
    "Point TFDS_DATA_DIR or --data-dir at a folder where `tfds build mnist` "
    "has run, or choose the embedded digits (--data digits)."
)

_SHAPES = [shape for n in SIZES.values() for shape in ((n, SIDE, SIDE), (n,))]
_DIGEST_BYTES = hashlib.sha256().digest_size
_STALE_SECONDS = 3600.0


def load_mnist(
    root: Path, cache_dir: str | os.PathLike | None = None
) -> list[np.ndarray] | None:
    """Load all of MNIST from the cache, the data folder or the network.

    Args:
        root: the data folder, as `data_root` gives it.
        cache_dir: folder of the decoded digits; None for the user's cache.

    Returns:
        Train images `(60000, 28, 28)` and labels `(60000,)`, test images
        `(10000, 28, 28)` and labels `(10000,)`, all uint8, in the order of TensorFlow
        Datasets; None if MNIST is not there and its host does not answer.

    Raises:
        DataError: if it is half prepared, corrupt, or its download fails.
    """
    prepared = prepared_folder(root)
    family = f"mnist-{VERSION}-{_short_hash(os.fsencode(root.resolve()))}-"
    folder = cache_folder(cache_dir)
    known = _fingerprint(prepared)
    for path in sorted(folder.glob(f"{family}{known or '*'}.u8")):
        if arrays := read_cache(path, _SHAPES):
            return arrays
    if not known and not host_answers(URL):
        return None
    arrays = _decode(root)
    path = folder / f"{family}{_fingerprint(prepared)}.u8"
    write_cache(path, arrays, replaces=f"{family}*.u8")
    return arrays


def data_root(data_dir: str | os.PathLike | None = None) -> Path:
    """Find the data folder by the rules of TensorFlow Datasets.

    Args:
        data_dir: the folder; if None, `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Returns:
        The folder, absolute. It need not exist.

    Raises:
        DataError: if it is not a local folder.

    Example:
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


def prepared_folder(root: Path) -> Path:
    """Return the folder below the data folder in which MNIST is prepared."""
    return root / "mnist" / VERSION


def absence(root: Path) -> str:
    """Return a message that MNIST is not there and why it was not downloaded."""
    unfinished = [*root.glob(f"mnist/incomplete.*{VERSION}*")]
    unfinished += root.glob(f"mnist/{VERSION}.incomplete*")
    half = ""
    if unfinished:
        half = f" (it holds only {min(unfinished).name}, left half prepared)"
    return (
        f"MNIST is not prepared in {root}{half} and its host {urlsplit(URL).netloc} "
        f"did not answer within {PROBE_SECONDS:.0f} s"
    )


def _fingerprint(prepared: Path) -> str | None:
    """Return a hash of a prepared MNIST, None if there is none; refuse half of one.

    It covers the descriptions and the data files' names, sizes and times.
    """
    if not prepared.exists():
        return None
    try:
        texts = [
            (prepared / f"{x}.json").read_bytes() for x in ("dataset_info", "features")
        ]
        splits = {x["name"]: x["shardLengths"] for x in json.loads(texts[0])["splits"]}
        lengths = {name: [int(x) for x in splits.get(name, [])] for name in SIZES}
    except FileNotFoundError as error:
        raise _damaged(prepared, f"{Path(error.filename).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"its descriptions are unreadable: {error!r}"
        raise _damaged(prepared, why) from error
    files = []
    for split, size in SIZES.items():
        if sum(lengths[split]) != size:
            counted = f"{sum(lengths[split]):,} digits instead of {size:,}"
            raise _damaged(prepared, f"its split '{split}' has {counted}")
        shards = sorted(prepared.glob(f"mnist-{split}.*-of-{len(lengths[split]):05d}"))
        stats = [shard.stat() for shard in shards]
        if len(shards) != len(lengths[split]) or not all(x.st_size for x in stats):
            why = f"files of its split '{split}' are missing or empty"
            raise _damaged(prepared, why)
        files += [
            (shard.name, stat.st_size, stat.st_mtime_ns)
            for shard, stat in zip(shards, stats, strict=True)
        ]
    return _short_hash(b"\n".join([*texts, repr(files).encode()]))


def host_answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether a host says within some seconds that it has a file.

    Proxies are used as the environment sets them; name resolution counts.
    """
    answered = threading.Event()

    def ask():
        request = urllib.request.Request(url, method="HEAD")
        failures = (OSError, ValueError, http.client.HTTPException)
        with (
            contextlib.suppress(*failures),
            urllib.request.urlopen(request, timeout=seconds),
        ):
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder in which data that takes long to make is kept.

    Args:
        cache_dir: a folder to use instead of the user's cache.

    Returns:
        `cache_dir`, or the folder `custom_lstm` in `XDG_CACHE_HOME` or else in the
        platform's place for caches. It need not exist.

    Example:
        >>> cache_folder("here").name
        'here'
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "custom_lstm"
    return platformdirs.user_cache_path("custom_lstm", appauthor=False, opinion=False)


def read_cache(
    path: Path, shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray] | None:
    """Return uint8 arrays of these shapes that `write_cache` wrote.

    None if there is no such file, or, with a warning in the log, if it cannot be read
    or is damaged.
    """
    sizes = [math.prod(shape) for shape in shapes]
    try:
        with path.open("rb") as file:  # one byte more shows that a file is too long
            data = np.fromfile(file, np.uint8, sum(sizes) + _DIGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("Cannot read the data cache %s (%s); it is not used.", path, error)
        return None
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if body.size != sum(sizes) or _digest(body) != digest.tobytes():
        log.warning("The data cache %s is damaged and will be rebuilt.", path)
        return None
    parts = np.split(body, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def write_cache(
    path: Path, arrays: Sequence[np.ndarray], *, replaces: str = ""
) -> None:
    """Write uint8 arrays for `read_cache`; if that fails, log a warning.

    `replaces` is a glob pattern of sibling files that this one supersedes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "cache"
        ...     write_cache(path, [np.arange(4, dtype="uint8")])
        ...     read_cache(path, [(2, 2)])
        [array([[0, 1],
               [2, 3]], dtype=uint8)]
    """
    body = np.concatenate([np.ravel(array) for array in arrays])
    if body.dtype != np.uint8:
        raise TypeError(f"only uint8 arrays can be cached, not {body.dtype}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part, part.open("wb") as file:
            file.write(body.data)
            file.write(_digest(body))
        _sweep(path, Path(replaces or path.name))
    except OSError as error:
        log.warning(
            "Cannot keep decoded data in %s (%s); the next start decodes it again.",
            path.parent,
            error,
        )


def _decode(root: Path) -> list[np.ndarray]:
    """Have TensorFlow Datasets read all digits, and prepare them first if need be."""
    with extra("train"):
        import tensorflow as tf
        import tensorflow_datasets as tfds

    failures: tuple[type[Exception], ...] = (OSError, ValueError, AssertionError)
    failures += (tf.errors.OpError, tfds.download.DownloadError)
    failures += (tfds.download.download_manager.NonMatchingChecksumError,)
    load = functools.partial(
        tfds.load,
        f"mnist:{VERSION}",
        split=list(SIZES),
        data_dir=os.fspath(root),
        batch_size=-1,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    prepared = prepared_folder(root)
    existed = prepared.exists()
    if existed:
        log.info("Decoding MNIST from %s, this once.", prepared)
    try:
        splits = load()
    except failures as error:
        if existed:
            raise _damaged(prepared, _one_line(error)) from error
        if not _fingerprint(prepared):
            why = f"MNIST cannot be downloaded to {prepared}: {_one_line(error)}"
            raise DataError(f"{why}. {ADVICE}") from error
        splits = load()  # a concurrent start has prepared it meanwhile
    arrays = [
        np.squeeze(split[key].numpy().astype(np.uint8))
        for split in splits
        for key in ("image", "label")
    ]
    if [array.shape for array in arrays] != _SHAPES:
        raise _damaged(prepared, f"its arrays are {[array.shape for array in arrays]}")
    return arrays


def _damaged(prepared: Path, why: object) -> DataError:
    return DataError(
        f"MNIST in {prepared} is half prepared or damaged: {why}. "
        f"Delete that folder and start again. {ADVICE}"
    )


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('. ')}"


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _digest(body: np.ndarray) -> bytes:
    return hashlib.sha256(body.data).digest()


def _sweep(path: Path, pattern: Path) -> None:
    """Remove superseded files, and temporary ones that killed processes left."""
    old = [file for file in path.parent.glob(pattern.name) if file != path]
    limit = time.time() - _STALE_SECONDS
    for left in path.parent.glob(f"{PARTIAL}{pattern.stem}-*{pattern.suffix}"):
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < limit:
                old.append(left)
    for file in old:
        file.unlink(missing_ok=True)
