"""The numbers of a model: those in its file, and those that it needs."""

import io
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import keras


def count_stored(weights: bytes) -> int:
    """Count the numbers in an HDF5 file of weights.

    Args:
        weights: the file.

    Returns:
        How many numbers its arrays have.

    Raises:
        ValueError: an array lies outside the file, is shared or made up from others,
            declares more bytes than there are, or is not of plain numbers.
        OSError, RuntimeError, KeyError: the file is no HDF5, or damaged.

    Example:

    >>> file = io.BytesIO()
    >>> with h5py.File(file, "w") as content:
    ...     content["layers/dense/vars/0"] = [[1.0, 2.0, 3.0]]
    >>> count_stored(file.getvalue())
    3
    """
    numbers = size = 0
    with h5py.File(io.BytesIO(weights), "r") as file:
        pending, seen = [file["/"]], set()
        while pending:
            group = pending.pop()
            if group in seen:
                continue
            seen.add(group)
            for name in group:
                where = f"{group.name}/{name}".replace("//", "/")
                child = _child(group, name, where)
                if isinstance(child, h5py.Group):
                    pending.append(child)
                else:
                    _check_array(child, where)
                    numbers += math.prod(child.shape)
                    size += math.prod(child.shape) * child.dtype.itemsize
    if size > len(weights):
        raise ValueError(
            f"its arrays declare {size} bytes in a file of weights of {len(weights)}"
        )
    return numbers


def _child(group: h5py.Group, name: str, where: str) -> h5py.Group | h5py.Dataset:
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise ValueError(f"its weights {where} are a link to {link.filename!r}")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"its weights {where} are a link")
    child = group[name]
    if not isinstance(child, h5py.Group | h5py.Dataset):
        raise ValueError(f"its weights {where} are a {type(child).__name__}")
    return child


def _check_array(array: h5py.Dataset, where: str) -> None:
    if array.is_virtual:
        raise ValueError(f"its weights {where} are put together from other files")
    if array.external:
        raise ValueError(f"its weights {where} are in the file {array.external[0][0]}")
    if array.chunks is not None:
        raise ValueError(f"its weights {where} are in pieces, not as Keras writes them")
    if array.shape is None or array.dtype.kind not in "biufcV":
        raise ValueError(f"its weights {where} are no numbers")


def count_variables(config: dict[str, Any]) -> int:
    """Count the numbers that a model would need, without making room for them.

    Its variables are built in a stateless scope, where Keras draws no values, and in
    a thread of its own, to which Keras's record of variables without values belongs.

    Args:
        config: what config.json holds; see `classes.check_classes`.

    Returns:
        How many numbers its variables have.

    Raises:
        ValueError: it describes no model.
        Exception: whatever Keras and the classes raise of a wrong description.

    Example:

    >>> width = 10**9
    >>> dense = keras.layers.Dense(width, name="wide").get_config()
    >>> layers = [("InputLayer", {"batch_shape": [None, 1]}), ("Dense", dense)]
    >>> layers = [
    ...     {"module": "keras.layers", "class_name": name, "config": config}
    ...     for name, config in layers
    ... ]
    >>> config = {"name": "large", "layers": layers, "build_input_shape": [None, 1]}
    >>> count_variables(
    ...     {"module": "keras", "class_name": "Sequential", "config": config}
    ... )
    2000000000
    """

    def build():
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(
                {**config, "compile_config": None}, safe_mode=True
            )
        if not isinstance(model, keras.Model):
            raise ValueError(f"it describes a {type(model).__name__}, not a model")
        return sum(math.prod(variable.shape) for variable in model.variables)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(build).result()
