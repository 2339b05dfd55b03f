"""The one way in for model files: what one holds is judged before it is used.

A `.keras` file is a zip archive of JSON that names classes, and of HDF5 that holds
arrays. Either can be made to do more: call code, read other files, fill the memory. Of
the file at hand it is found out first that

- the archive is whole and holds what Keras writes, nothing else (`archives`);
- every class and function that it names is one of Keras's own, harmless and public, or
  of a package that is trusted here (`classes`);
- its arrays lie in the file themselves, and the model needs no more than those
  (`arrays`).

Only then Keras loads it, in its safe mode. What is refused leaves no trace.
"""

import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import keras
import tensorflow as tf

from custom_lstm.errors import UserError
from custom_lstm.loading.archives import check_sizes, parse_json, read_members
from custom_lstm.loading.arrays import count_stored, count_variables
from custom_lstm.loading.classes import check_classes

__all__ = ["load_model"]

SPARE_NUMBERS = 2**22
"""Numbers that a model may need beyond twice those in its file: what is not saved, such
as seeds."""

# What zipfile, h5py, Keras and the classes that it calls raise of wrong input.
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
    """Load a `.keras` file that nobody vouches for; see this module.

    Args:
        path: the file; its name ends in `.keras`. If it has a checksum
            (see `custom_lstm.files.add_checksum`), that is verified.
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
        _check(path, packages)
        return keras.saving.load_model(path, safe_mode=True)
    except _FAILURES as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{path} cannot be loaded as a model: {lines[0]}") from error


def _check(path: Path, packages: Collection[str]) -> None:
    members = read_members(path)
    config = parse_json("config.json", members["config.json"])
    parse_json("metadata.json", members["metadata.json"])
    check_classes(config, packages)
    stored = count_stored(members["model.weights.h5"])
    needed = count_variables(config)
    if needed > 2 * stored + SPARE_NUMBERS:
        raise ValueError(
            f"it describes a model of {needed} numbers, and holds {stored}"
        )
    check_sizes(path, shutil.disk_usage(tempfile.gettempdir()).free)
