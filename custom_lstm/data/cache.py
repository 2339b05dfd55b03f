"""A file of decoded arrays that survives concurrent starts and a kill half-way.

The file holds the bytes of uint8 arrays one after the other and ends in the SHA-256 of
them, so a truncated or altered file is never taken for a good one. It is written beside
its place, synced, and moved there in one step: whoever reads it sees all of it or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)

_DIGEST_BYTES = hashlib.sha256().digest_size
_STALE_SECONDS = 3600.0


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """Say where decoded data is kept.

    Args:
        cache_dir: a folder to use instead of the user's cache.

    Returns:
        `cache_dir`, or the folder `custom_lstm` in `XDG_CACHE_HOME` or else in the
        platform's place for caches. It need not exist.

    >>> cache_folder("here").name
    'here'
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    home = os.path.expanduser("~")  # noqa: PTH111 - unlike Path.home, never raises
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base and sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif not base and sys.platform == "darwin":
        base = f"{home}/Library/Caches"
    return Path(base or f"{home}/.cache") / "custom_lstm"


def fetch(path: Path, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray] | None:
    """Read arrays that `store` wrote.

    Args:
        path: the file.
        shapes: the shapes of the arrays, in the order they were stored.

    Returns:
        The arrays, uint8; None if there is no such file, or if it cannot be read or is
        damaged, which is said in the log.

    >>> fetch(Path("no such file"), [(2, 2)]) is None
    True
    """
    sizes = [math.prod(shape) for shape in shapes]
    try:
        with path.open("rb") as file:  # of a huge file, no more than shows it is one
            data = np.fromfile(file, np.uint8, sum(sizes) + _DIGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning(
            "Cannot read the data cache %s (%s); going on without.", path, error
        )
        return None
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if body.size != sum(sizes) or _digest(body) != digest.tobytes():
        log.warning("The data cache %s is damaged; making it anew.", path)
        return None
    parts = np.split(body, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def store(path: Path, arrays: Sequence[np.ndarray], *, replaces: str = "") -> None:
    """Write arrays for `fetch`; where that is impossible, say so in the log and go on.

    Args:
        path: the file. Its folder is made if need be.
        arrays: uint8 arrays of any shapes.
        replaces: a glob pattern of sibling files that this one supersedes.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cache"
    ...     store(path, [np.arange(4, dtype="uint8")])
    ...     fetch(path, [(2, 2)])
    [array([[0, 1],
           [2, 3]], dtype=uint8)]
    """
    body = np.concatenate([np.ravel(array) for array in arrays])
    if body.dtype != np.uint8:
        raise TypeError(f"only uint8 arrays can be cached, not {body.dtype}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, body)
        _sweep(path, replaces)
    except OSError as error:
        log.warning(
            "Cannot keep decoded data in %s (%s); the next start decodes it again.",
            path.parent,
            error,
        )


def _digest(body: np.ndarray) -> bytes:
    return hashlib.sha256(body.data).digest()


def _write(path: Path, body: np.ndarray) -> None:
    handle, name = tempfile.mkstemp(".tmp", f"{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body.data)
            file.write(_digest(body))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _sweep(path: Path, replaces: str) -> None:
    """Remove superseded files, and what killed processes left behind."""
    pattern = replaces or path.name
    old = [file for file in path.parent.glob(pattern) if file != path]
    limit = time.time() - _STALE_SECONDS
    for left in path.parent.glob(f"{pattern}.*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < limit:
                old.append(left)
    for file in old:
        file.unlink(missing_ok=True)
