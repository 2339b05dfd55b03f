"""Files of which a reader never sees half, nor a damaged one unawares."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from custom_lstm.errors import UserError

PARTIAL = ".partial-"
"""How the name of a file begins that is not whole yet."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place.

    The new file is flushed to disk before it is renamed, and the folder after,
    so a kill or a crash leaves either the old file or the new one. If the body
    raises, the temporary file is removed and `path` stays as it was.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        A path in the same folder with the same suffix.

    Raises:
        OSError: the folder is missing, full or not writable.

    Example:

    >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("1 2 3")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('1 2 3', 1)
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(
        prefix=f"{PARTIAL}{path.stem}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Say in one line if the body cannot write `path`.

    Raises:
        UserError: for any `OSError` but that of a reader of the output who has seen
            enough.

    Example:

    >>> with writing("a.txt"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    ...
    custom_lstm.errors.UserError: cannot write a.txt: No space left on device
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    # Windows flushes only what may be written, POSIX opens a folder only to be read.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def seal(path: Path) -> None:
    """End a zip archive with the SHA-256 of all its other bytes.

    The digest stands in the archive's comment, so that whatever reads zip files reads
    a sealed one too: `.npz`, `.keras`.

    Args:
        path: a zip archive without a comment.

    Raises:
        OSError: the file cannot be read or written.

    Example:

    >>> path = Path(tempfile.mkdtemp()) / "a.zip"
    >>> with zipfile.ZipFile(path, "w") as archive:
    ...     archive.writestr("numbers.txt", "1 2 3")
    >>> seal(path)
    >>> check_seal(path)
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"0" * _DIGEST
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size - _DIGEST)
        file.seek(-_DIGEST, os.SEEK_END)
        file.write(digest)


def seal_end(path: Path) -> None:
    """Append the SHA-256 of a file's bytes to it, as `seal` does with archives.

    For formats of which readers stop at the end of the data: zlib streams.

    Args:
        path: any file.

    Raises:
        OSError: the file cannot be read or written.

    Example:

    >>> path = Path(tempfile.mkdtemp()) / "a.z"
    >>> _ = path.write_bytes(b"1 2 3")
    >>> seal_end(path)
    >>> check_seal(path)
    """
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size)
        file.seek(0, os.SEEK_END)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Do nothing if `path` is as `seal` or `seal_end` left it.

    Args:
        path: a sealed file.

    Raises:
        DamagedFile: a byte was changed, or bytes are missing or were added.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = max(path.stat().st_size - _DIGEST, 0)
        digest, found = _digest(file, size), file.read()
    if digest != found:
        raise DamagedFile(f"{path} is damaged: its bytes are not those once written")


class DamagedFile(ValueError):
    """A file is not what was written."""


_DIGEST = 64


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the next `size` bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    while size and (chunk := file.read(min(size, 1 << 20))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode()
