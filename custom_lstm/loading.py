"""Loading of untrusted model files.

A `.keras` file is a zip archive of JSON that names classes, and of HDF5 that holds
arrays. Either can be made to run code, to read other files or to fill the memory. Two
layers protect against that:

- Keras's safe mode refuses Python code, classes and functions that are neither its own
  nor registered, and arrays that lie outside the file; it unpacks nothing outside its
  temporary folder.
- This module adds what Keras leaves open: a checksum, if the file has one; limits of
  what the archive, the arrays and the model may grow to; registered classes only of
  packages that are trusted; and of Keras's own functions only those that compute.

A file that is refused leaves no trace.
"""

import contextlib
import io
import json
import math
import os
import posixpath
import re
import shutil
import struct
import tempfile
import textwrap
import zipfile
import zlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import keras

from custom_lstm.errors import UserError
from custom_lstm.extras import extra
from custom_lstm.files import verify_checksum
from custom_lstm.typing import Config

with extra("train"):
    import tensorflow as tf

__all__ = ["load_model"]

LARGEST_MODEL = 2**33
"""Bytes of all members together, unpacked: 8 GiB."""
LARGEST_JSON = 2**26
"""Bytes of a member in JSON: 64 MiB."""
MOST_EXPANSION = 20
"""Ratio of a member's unpacked size to its size in the archive, beyond `EXEMPT` bytes.
Keras compresses nothing; deflated weights shrink to a half at best."""
EXEMPT = 2**20
MOST_MEMBERS = 10_000
SPARE_NUMBERS = 2**22
"""Numbers that a model may need beyond twice those in its file: what is not saved, such
as seeds."""

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_PARTS_OF_KERAS = {"activations", "constraints", "dtype_policies", "initializers"}
_PARTS_OF_KERAS |= {"layers", "losses", "metrics", "models", "ops", "optimizers"}
_PARTS_OF_KERAS |= {"quantizers", "random", "regularizers", "src"}
_END = b"PK\5\6"  # of the archive's last record, 22 bytes long without a comment
# What zipfile, h5py, Keras and the classes that it calls raise for wrong input.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    tf.errors.OpError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_model(
    path: str | os.PathLike, packages: Collection[str] = ("custom_lstm",)
) -> keras.Model:
    """Load an untrusted `.keras` file; see this module.

    Args:
        path: the file; its name ends in `.keras`. If it has a checksum (see
            `custom_lstm.files.add_checksum`), that is verified.
        packages: names under which `keras.saving.register_keras_serializable` has
            registered classes that may be used.

    Returns:
        The model, compiled if it was.

    Raises:
        UserError: the file is missing, damaged, no Keras model or none that can be
            trusted; says which and why.

    Example:
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name) / "model.keras"
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.save(path)
        >>> load_model(path).count_params()
        8
        >>> folder.cleanup()
    """
    path = Path(path)
    try:
        with _registered_of(packages) as untrusted:
            _check_file(path, untrusted)
            return keras.saving.load_model(path, safe_mode=True)
    except _FAILURES as error:
        raise UserError(
            f"{path} cannot be loaded as a model: {_reason(error)}"
        ) from error


@contextlib.contextmanager
def _registered_of(packages: Collection[str]) -> Iterator[list[str]]:
    """Hide from Keras what other packages have registered; yield those names."""
    registry = keras.saving.get_custom_objects()
    names = [name for name in registry if name.partition(">")[0] not in packages]
    hidden = {name: registry.pop(name) for name in names}
    try:
        yield names
    finally:
        registry.update(hidden)


def _check_file(path: Path, untrusted: Collection[str]) -> None:
    _check_kind(path)
    with zipfile.ZipFile(path) as archive:
        _check_members(archive.infolist(), path.stat().st_size)
        if damaged := archive.testzip():
            raise ValueError(f"its member {damaged} is damaged")
        text = archive.read(_CONFIG)
        weights = archive.read(_WEIGHTS)
    for name in untrusted:
        if json.dumps(name).encode() in text:
            raise ValueError(f"it names {name}, of a package that is not trusted here")
    config = _parse(text)
    _check_names(config)
    stored, needed = _count_stored(weights), _count_variables(config)
    if needed > 2 * stored + SPARE_NUMBERS:
        raise ValueError(
            f"it describes a model of {needed} numbers, and holds {stored}"
        )


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise ValueError("it is a folder, not a .keras file")
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():
        raise ValueError("it is not a regular file")
    if path.suffix != ".keras":
        raise ValueError("its name does not end in .keras")
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, path.stat().st_size - 22))
        end = file.read()
    if start == b"\x89HDF":
        raise ValueError("it is an HDF5 file, Keras's old format, not a .keras file")
    if start != b"PK\3\4":
        raise ValueError("it is no zip archive, as .keras files are")
    if not (end.startswith(_END) and end.endswith(b"\0\0")):
        verify_checksum(path)


def _check_members(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Check what the archive's directory says, before anything is unpacked."""
    if len(infos) > MOST_MEMBERS:
        raise ValueError(f"it has {len(infos)} members, more than {MOST_MEMBERS}")
    names = [posixpath.normpath(info.filename) for info in infos]
    for name in (_CONFIG, _WEIGHTS):
        if name not in names:
            raise ValueError(f"it holds no {name}")
    if len({*names}) < len(names):  # Keras may read another than is checked here
        raise ValueError("it holds two members of one name")
    for info in infos:
        name = info.filename
        if info.file_size > EXEMPT + MOST_EXPANSION * info.compress_size:
            raise ValueError(
                f"its member {name} grows from {info.compress_size} to "
                f"{info.file_size} bytes"
            )
        if name.endswith(".json") and info.file_size > LARGEST_JSON:
            raise ValueError(f"its {name} has {info.file_size} bytes")
    if sum(info.compress_size for info in infos) > size:
        raise ValueError("its members have more bytes than the file")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > LARGEST_MODEL:
        raise ValueError(f"unpacked it has {unpacked} bytes, over {LARGEST_MODEL}")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if len(infos) > 3 and unpacked > free:  # Keras unpacks what has assets
        raise ValueError(f"unpacked it has {unpacked} bytes, and {free} are free")


def _parse(text: bytes) -> Config:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {_CONFIG} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"its {_CONFIG} is no JSON object")
    return config


def _check_names(config: Config) -> None:
    """Check that what a description names of Keras does no more than compute."""
    pending: list[Any] = [config]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            pending += part.values()
            is_function = part.get("class_name") == "function"
            name = part.get("config" if is_function else "class_name")
            root, *inner = f"{part.get('module')}.{name}".split(".")
            if name == "TorchModuleWrapper":  # Keras imports PyTorch to refuse it
                raise ValueError(f"it holds a {name}, which runs code from outside")
            if root == "keras" and inner[1:] and inner[0] not in _PARTS_OF_KERAS:
                full = ".".join([root, *inner])[:100]
                raise ValueError(f"it names {full}, which does more than compute")


def _count_stored(weights: bytes) -> int:
    """Return how many numbers an HDF5 file of weights holds; Keras refuses links.

    Raises a ValueError if its arrays declare more bytes than there are.
    """
    arrays: list[tuple[int, int]] = []

    def note(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            arrays.append((math.prod(item.shape or (0,)), item.dtype.itemsize))

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(note)
    declared = sum(numbers * size for numbers, size in arrays)
    if declared > len(weights):
        raise ValueError(
            f"its arrays declare {declared} bytes in a file of weights of "
            f"{len(weights)}"
        )
    return sum(numbers for numbers, _ in arrays)


def _count_variables(config: Config) -> int:
    """Return how many numbers a model's variables would have, without allocating them.

    They are built in a stateless scope, where Keras draws no values, and in a thread
    of its own, to which Keras's record of variables without values belongs.
    """

    def build() -> int:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(
                {**config, "compile_config": None}, safe_mode=True
            )
        if not isinstance(model, keras.Model):
            raise ValueError(f"it describes a {type(model).__name__}, not a model")
        return sum(math.prod(variable.shape) for variable in model.variables)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(build).result()


def _reason(error: Exception) -> str:
    """Return what an error says in one line, without Keras's configs."""
    text = str(error).rpartition("Exception encountered: ")[2]
    text = re.split("Full object config|List of objects that", text)[0]
    if not text or isinstance(error, LookupError):
        text = f"{type(error).__name__} {text}"
    return textwrap.shorten(text, width=300, placeholder=" …")
