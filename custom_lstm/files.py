"""Atomic writing, and checksums that detect damaged files."""

import contextlib
import hashlib
import os
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from custom_lstm.errors import UserError

__all__ = [
    "ChecksumError",
    "add_checksum",
    "append_checksum",
    "atomic_write",
    "verify_checksum",
    "writing",
]

PARTIAL = ".partial-"
"""How the name of a temporary file of `atomic_write` begins."""

_DIGEST_CHARACTERS = 64


class ChecksumError(ValueError):
    """The bytes of a file do not match its checksum."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
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
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with atomic_write(target) as temporary:
        ...     _ = temporary.write_text("1 2 3")
        >>> target.read_text(), len(list(target.parent.iterdir()))
        ('1 2 3', 1)
    """
    path = Path(path)
    unique = secrets.token_hex(8)
    temporary = path.with_name(f"{PARTIAL}{path.stem}-{unique}{path.suffix}")
    temporary.touch(exist_ok=False)  # the system applies the umask
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn an `OSError` of the body into a `UserError` of one line that names `path`.

    Raises:
        UserError: for any `OSError` but `BrokenPipeError`, which means that a reader
            of the output has closed it.

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


def add_checksum(path: Path) -> None:
    """Store the SHA-256 of all other bytes of a zip archive in its comment.

    Whatever reads zip files reads the result too: `.npz`, `.keras`.

    Args:
        path: a zip archive without a comment.

    Raises:
        OSError: the file cannot be read or written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.zip"
        >>> with zipfile.ZipFile(path, "w") as archive:
        ...     archive.writestr("numbers.txt", "1 2 3")
        >>> add_checksum(path)
        >>> verify_checksum(path)
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"0" * _DIGEST_CHARACTERS
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size - _DIGEST_CHARACTERS)
        file.seek(-_DIGEST_CHARACTERS, os.SEEK_END)
        file.write(digest)


def append_checksum(path: Path) -> None:
    """Append the SHA-256 of a file's bytes to it.

    For formats whose readers stop at the end of the data, such as zlib streams.

    Raises:
        OSError: the file cannot be read or written.
    """
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size)
        file.seek(0, os.SEEK_END)
        file.write(digest)


def verify_checksum(path: Path) -> None:
    """Check that a file is as `add_checksum` or `append_checksum` left it.

    Args:
        path: a file that ends in its checksum.

    Raises:
        ChecksumError: a byte was changed, or bytes are missing or were added.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = max(path.stat().st_size - _DIGEST_CHARACTERS, 0)
        digest, found = _digest(file, size), file.read()
    if digest != found:
        raise ChecksumError(f"{path} is damaged: its bytes do not match its checksum")


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the next `size` bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    while size and (chunk := file.read(min(size, 1 << 20))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode()


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    # Windows flushes only what may be written, POSIX opens a folder only to be read.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
