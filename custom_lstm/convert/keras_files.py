"""Weights in files of Keras: `.keras`, `.weights.h5`, `.h5`, and TensorFlow's."""

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from custom_lstm.convert.arrays import Weights, as_array, listed
from custom_lstm.convert.sources import read_layer

_EXPANSION = 20
"""Ratio of the size of all arrays to that of the file, beyond `_EXEMPT` bytes."""
_EXEMPT = 2**20
_CELL = re.compile(r"cell|(?:lstm|gru|simple_rnn)_cell(?:_\d+)?")
"""What Keras 3 names a group with the arrays of a cell, numbered."""
_KERAS_2 = re.compile(r"(kernel|recurrent_kernel|bias)(?::0)?")
_KERAS_1 = re.compile(r"(?:.*_)?([WUb])_([ifcozrh])(?::0)?")
_GATES_1 = {"LSTM": "ifco", "GRU": "zrh"}


class _Cell(NamedTuple):
    """The arrays of a cell: in what group of the file, of what layer."""

    path: str
    layer: str
    arrays: list[np.ndarray]


def from_keras(
    source: str | os.PathLike | Mapping[str, Any], layer: str | None = None
) -> list[Weights]:
    """Return the weights of LSTM, GRU and SimpleRNN layers in a file of Keras.

    Such files load into the classes that wrote them alone; the weights fit the layers
    of this package of the same name as they are. Nothing in the file is run: neither
    the model nor its classes are made. Activations and other arguments are yours to
    give.

    Args:
        source: path of a `.keras` or `.weights.h5` file of Keras 3, or of an `.h5` file
            of Keras 2, `tf.keras` or Keras 1. Of a checkpoint or SavedModel of
            `tf.keras`, its arrays by name: `reader = tf.train.load_checkpoint(path)`,
            `{name: reader.get_tensor(name) for name in
            reader.get_variable_to_shape_map()}`.
        layer: name of one layer, as in the model, or as the file calls it, which may
            be "lstm_1" for the second of a class; by default all.

    Returns:
        One list of weights per layer, for `set_weights`; of a `Bidirectional` the
        forward direction's and then the backward's. They are in the order of the
        model; a `.weights.h5` file does not tell that, and has them by class, and those
        of a class in their order.

    Raises:
        ValueError: if it is no such file, holds no such layer, or arrays of other
            shapes; lists the layers that there are.
        OSError: if the file cannot be read.

    Example:
        >>> import tempfile, keras
        >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(2)])
        >>> path = Path(tempfile.mkdtemp()) / "stock.keras"
        >>> model.save(path)
        >>> [weights] = from_keras(path)
        >>> [array.shape for array in weights]
        [(3, 8), (2, 8), (8,)]
    """
    names: dict[str, str | None] = {}
    order: list[str] = []
    if isinstance(source, Mapping):
        what, cells = "`source`", _cells(_variables(source))
    else:
        what = str(source)
        cells, names, order = _in_file(Path(source))
    found: dict[str, Weights] = {}
    for cell in sorted(cells, key=lambda cell: _numbered(cell.path)):
        _check_cell(f"{what}: `{cell.path}`", cell.arrays)
        found.setdefault(cell.layer, []).extend(cell.arrays)
    called = {key: names.get(key) or key.rpartition("/")[2] for key in found}
    chosen = {
        key: weights
        for key, weights in found.items()
        if layer in (None, key, key.rpartition("/")[2], called[key])
    }
    if not chosen:
        kind = "layer" if layer is None else f"layer {layer!r}"
        there = listed([repr(name) for name in called.values()])
        raise ValueError(
            f"{what} holds no LSTM, GRU or SimpleRNN {kind}. There are {there}"
        )
    places = {name: place for place, name in enumerate(order)}
    return [
        chosen[key]
        for key in sorted(chosen, key=lambda key: places.get(called[key], len(places)))
    ]


def _check_cell(what: str, arrays: list[np.ndarray]) -> None:
    """Raise unless the arrays are those of an LSTM, GRU or SimpleRNN."""
    kernel, bias = arrays[0], arrays[-1]
    if bias.shape == (2 * kernel.shape[1],):
        raise ValueError(
            f"{what} is of a CuDNNLSTM or CuDNNGRU, whose matrices lie in another "
            "order. Keras 2 loads its file into an LSTM or a GRU with "
            "`reset_after=True`; save that. Received shapes: "
            f"{[array.shape for array in arrays]}"
        )
    read_layer(what, arrays)


def _variables(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return what a checkpoint of TensorFlow holds, without an optimizer's arrays."""
    found = {}
    for name, array in arrays.items():
        path, _, end = str(name).partition("/.ATTRIBUTES/")
        of_model = ".OPTIMIZER_SLOT" not in path and not path.startswith("optimizer")
        if of_model and end in ("", "VARIABLE_VALUE"):
            found[path] = as_array(array)
    return found


def _in_file(path: Path) -> tuple[list[_Cell], dict[str, str | None], list[str]]:
    """Return the cells in a file, names of layers by path, and the order of names."""
    content, config = _read(path)
    try:
        with h5py.File(content, "r") as file:
            cells = _cells(_arrays(path, file))
            names = {cell.layer: _name_in_model(file, cell.layer) for cell in cells}
            return cells, names, _names(file, config)
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file: {error}") from error


def _read(path: Path) -> tuple[Any, Any]:
    """Return what h5py opens, and the model's config if there is one."""
    if not zipfile.is_zipfile(path):
        with path.open("rb"):  # an error that says what it is, if it cannot be read
            return path, None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not {"config.json", "model.weights.h5"}.issubset(names):
            raise ValueError(
                f"{path} must hold config.json and model.weights.h5, as .keras files "
                f"do. Received: {listed(names)}"
            )
        for info in archive.infolist():
            if info.file_size > _EXEMPT + _EXPANSION * path.stat().st_size:
                raise ValueError(
                    f"{path}: {info.filename} grows to {info.file_size} bytes"
                )
        config = json.loads(archive.read("config.json"))
        return io.BytesIO(archive.read("model.weights.h5")), config


def _arrays(path: Path, file: h5py.File) -> dict[str, np.ndarray]:
    """Return what is stored in the file itself, by path, without an optimizer's."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found[name] = item

    file.visititems(note)  # follows no links
    size = sum(item.size * item.dtype.itemsize for item in found.values())
    if size > _EXEMPT + _EXPANSION * path.stat().st_size:
        raise ValueError(f"{path}: its arrays declare {size} bytes, more than it can")
    for name, item in found.items():
        if item.external or item.is_virtual or item.dtype.kind not in "fiuV":
            raise ValueError(f"{path}: `{name}` must be an array of numbers within it")
    return {name: as_array(item[()]) for name, item in found.items()}


def _cells(arrays: Mapping[str, np.ndarray]) -> list[_Cell]:
    """Return the cells whose arrays are there."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for path, array in arrays.items():
        group, _, name = path.rpartition("/")
        groups.setdefault(group, {})[name] = array
    cells = []
    for group, own in groups.items():
        place, _, last = group.rpartition("/")
        if last == "vars" and _CELL.fullmatch(place.rpartition("/")[2]):
            weights = [own[name] for name in sorted(own, key=int)]
        else:
            place, weights = group, _by_name(own)
        if len(weights) >= 2 and weights[0].ndim == weights[1].ndim == 2:
            cells.append(_Cell(place, _layer_of(place), weights))
    return cells


def _by_name(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the weights of a cell of Keras 2 or 1, or nothing."""
    matches = {name: _KERAS_2.fullmatch(name) for name in arrays}
    named = {match[1]: arrays[name] for name, match in matches.items() if match}
    if "recurrent_kernel" in named:
        names = ("kernel", "recurrent_kernel", "bias")
        return [named[name] for name in names if name in named]
    gates = {
        (match[1], match[2]): arrays[name]
        for name in arrays
        if (match := _KERAS_1.fullmatch(name))
    }
    for order in _GATES_1.values():
        if set(gates) == {(letter, gate) for letter in "WUb" for gate in order}:
            return [
                np.concatenate([gates[letter, g] for g in order], -1)
                for letter in "WUb"
            ]
    return []


def _layer_of(place: str) -> str:
    """Return the path of the layer of a cell: without the cell and the direction."""
    parts = place.split("/")
    while len(parts) > 1 and re.fullmatch(
        rf"{_CELL.pattern}|cells|stacked_rnn_cells(?:_\d+)?|(?:for|back)ward_\w+",
        parts[-1],
    ):
        parts.pop()
    if parts[0] == "model_weights" or "layers" not in parts:  # layer/(model/)layer
        parts = parts[: 2 if parts[0] == "model_weights" else 1]
    return "/".join(parts)


def _name_in_model(file: h5py.File, layer: str) -> str | None:
    """Return what the model calls a layer, if Keras 3 noted it beside its arrays."""
    group = file.get(f"{layer}/vars")
    return None if group is None else group.attrs.get("name")


def _names(file: h5py.File, config: Any) -> list[str]:
    """Return the names of the layers in the order of the model, as far as known."""
    if config is not None:
        return list(_names_in(config))
    root = file.get("model_weights", file)
    return [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in root.attrs.get("layer_names", ())
    ]


def _names_in(config: Any) -> Iterator[str]:
    if isinstance(config, list):
        for part in config:
            yield from _names_in(part)
    elif isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            yield inner["name"]
        for part in config.values():
            yield from _names_in(part)


def _numbered(path: str) -> list[tuple[str, int]]:
    """Return a key with "lstm_10" after "lstm_2", and backwards after forwards."""
    path = re.sub("forward_", "0_", path).replace("backward_", "1_")
    return [
        (text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", path)
    ]
