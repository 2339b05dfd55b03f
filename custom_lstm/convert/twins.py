"""One mechanism for the catalogue's cells: a twin says which block of weights is where.

A twin is a cell of this package and its equal in another library, with a layout for
each array of both: names of blocks, side by side with spaces between, one above the
other with "/". Blocks of one name are the same numbers:

    ours     kernel  "Wz Wg"     recurrent_kernel  "Uz Ug"     bias      "bz bg"
    theirs   weight_ih "Wg Wz"   weight_hh "Ug Uz"   bias_ih, bias_hh    "bg bz"

Blocks that theirs has twice are added up there, as two biases are; from ours the first
gets all. "0" is a block that ours does not have, and that must hold zeros; "=beta" a
number that is an argument of ours.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from custom_lstm.convert.arrays import Weights, check_names, check_shapes
from custom_lstm.convert.sources import activation_name, cell_class, weights_by_name

Blocks = dict[str, np.ndarray]
"""By name of the block."""

_ACTIVATIONS = {
    "ELU": "elu",
    "GELU": "gelu",
    "Hardsigmoid": "hard_sigmoid",
    "Identity": "linear",
    "LeCun": "lecun_tanh",
    "ReLU": "relu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
"""Names in Keras of torch's modules, where both compute the same."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "ELU": {"alpha": 1.0},
    "GELU": {"approximate": "none"},
    "Softplus": {"beta": 1.0},
}
"""With which options they do."""


class Twin(NamedTuple):
    """A cell of this package, and its equal in another library.

    `theirs` and `ours` are layouts. `arguments` are those of ours that a module of
    theirs has as attributes, of these names; `fixed` those of ours that must have a
    value, which may be the name of an activation. An array of ours in `vectors` is one
    vector in theirs. Matrices of theirs are `transposed` if they multiply from the
    left.
    """

    cell: str
    module: str
    ours: Mapping[str, str]
    theirs: Mapping[str, str]
    arguments: Mapping[str, str] = {}
    fixed: Mapping[str, Any] = {}
    vectors: Collection[str] = ()
    transposed: bool = True


def from_twin(
    what: str,
    twin: Twin,
    arrays: Mapping[str, np.ndarray],
    name: str,
    cell: Any,
    note: str = "",
) -> Weights:
    """Return what a cell's weights become by the arrays of its twin.

    Args:
        what: what holds the arrays, for errors.
        twin: that of the cell.
        arrays: theirs, by name.
        name: what holds the cell, for errors.
        cell: ours, built.
        note: ends an error about names.

    Raises:
        ValueError: names what is missing, unexpected, of the wrong shape, or not 0
            where ours has nothing.
    """
    check_fixed(name, twin, cell)
    own = weights_by_name(name, cell)
    blocks = _cut(twin, own)
    check_names(what, list(twin.theirs), arrays, note)
    expected = _theirs(twin, blocks, cell)
    shapes = {name: array.shape for name, array in expected.items()}
    check_shapes(f"{what}, for {_described(twin, own)}", arrays, shapes)
    sums: Blocks = {}
    for key, layout in twin.theirs.items():
        for block, part in _parts(layout, _turned(twin, arrays[key]), blocks):
            if block in blocks:
                sums[block] = sums[block] + part if block in sums else part
            elif block.startswith("="):
                _check_number(what, twin, key, float(part), cell, block[1:])
            elif part.any():
                raise ValueError(
                    f"{what}: `{key}` must hold zeros where {_described(twin, own)} "
                    f"has no weight. Received: {part}"
                )
    return [
        np.ascontiguousarray(_joined(twin.ours[key], sums).reshape(array.shape))
        for key, array in own.items()
    ]


def to_twin(what: str, twin: Twin, cell: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a cell's twin, new ones.

    Raises:
        ValueError: if the cell has other arguments than its twin can.
    """
    check_fixed(what, twin, cell)
    own = weights_by_name(what, cell)
    arrays = _theirs(twin, _cut(twin, own), cell)
    return {name: np.array(array, order="C") for name, array in arrays.items()}


def check_fixed(what: str, twin: Twin, cell: Any) -> None:
    """Raise a `ValueError` if an argument of ours is one that theirs does not have."""
    for argument, expected in twin.fixed.items():
        _compare(what, twin.module, argument, expected, cell)


def check_arguments(what: str, twin: Twin, module: Any, cell: Any) -> None:
    """Raise a `ValueError` if an argument of ours is not what their module has."""
    for argument, attribute in twin.arguments.items():
        value = getattr(module, attribute)
        if hasattr(value, "forward"):
            value = _of_torch(what, twin.module, attribute, value)
        _compare(what, f"this {twin.module}", argument, value, cell)


def modules_of(source: Any, prefix: str, library: str) -> list[tuple[str, Any]]:
    """Return the modules of a library in a torch module, by the names of their classes.

    Args:
        source: the module, or else there are none.
        prefix: what the names of their arrays begin with.
        library: name of the package.
    """
    if not hasattr(source, "named_modules"):
        return []
    return [
        (kind.__name__, module)
        for name, module in source.named_modules()
        for kind in type(module).__mro__
        if f"{name}.".startswith(prefix) and kind.__module__.startswith(f"{library}.")
    ]


def _of_torch(what: str, module: str, attribute: str, activation: Any) -> str:
    name = type(activation).__name__
    options = _OPTIONS.get(name, {})
    plain = all(getattr(activation, key) == own for key, own in options.items())
    if name not in _ACTIVATIONS or not plain:
        raise ValueError(
            f"{what}: `{attribute}` of {module} must be one of {tuple(_ACTIVATIONS)}, "
            f"which Keras computes too. Received: {activation}"
        )
    return _ACTIVATIONS[name]


def _compare(what: str, module: str, argument: str, expected: Any, cell: Any) -> None:
    value = getattr(cell, argument)
    if value is None and argument == "output_activation":
        value = cell.activation  # what it is unless it is said
    if isinstance(expected, str) and not isinstance(value, str):
        value = activation_name(value)
    same = value == expected
    if isinstance(value, float) and isinstance(expected, float | int):
        same = bool(np.isclose(value, expected, rtol=1e-6, atol=0))
    if not same:
        raise ValueError(
            f"{what}: {module} computes what {cell_class(cell)} does with "
            f"`{argument}={expected!r}`. Received: {argument}={value!r}"
        )


def _check_number(
    what: str, twin: Twin, name: str, number: float, cell: Any, argument: str
) -> None:
    if not np.isclose(number, getattr(cell, argument), rtol=1e-6, atol=0):
        raise ValueError(
            f"{what}: `{name}` is {number:.9g}, which in {twin.cell} is the argument "
            f"`{argument}`. Received: {argument}={getattr(cell, argument)!r}"
        )


def _described(twin: Twin, own: Mapping[str, np.ndarray]) -> str:
    """Return what was built: the shape of its first array says it."""
    name, array = next(iter(own.items()))
    return f"{twin.cell} whose `{name}` has shape {array.shape}"


def _grid(layout: str) -> list[list[str]]:
    return [row.split() for row in layout.split("/")]


def _cut(twin: Twin, own: Mapping[str, np.ndarray]) -> Blocks:
    """Return the blocks of our arrays."""
    blocks: Blocks = {}
    for name, array in own.items():
        rows = _grid(twin.ours[name])
        array = array.ravel() if name in twin.vectors else array
        bands = np.split(array, len(rows)) if len(rows) > 1 else [array]
        for row, band in zip(rows, bands, strict=True):
            parts = np.split(band, len(row), axis=-1)
            blocks.update(zip(row, parts, strict=True))
    return blocks


def _theirs(twin: Twin, blocks: Blocks, cell: Any) -> dict[str, np.ndarray]:
    """Return their arrays; of a block that is there twice, the second is zeros."""
    kernel = next(iter(blocks.values()))
    zeros = np.zeros_like(kernel, shape=kernel.shape[-1:])
    left, arrays = dict(blocks), {}
    for name, layout in twin.theirs.items():
        if layout.startswith("="):
            arrays[name] = np.asarray(getattr(cell, layout[1:]), kernel.dtype)
            continue
        grid = _grid(layout)
        found: Blocks = {}
        for block in (block for row in grid for block in row):
            empty = np.zeros_like(blocks[block]) if block in blocks else zeros
            found[block] = left.pop(block, empty)
        arrays[name] = _turned(twin, _joined(layout, found))
    return arrays


def _joined(layout: str, blocks: Blocks) -> np.ndarray:
    rows = [np.concatenate([blocks[b] for b in row], -1) for row in _grid(layout)]
    return np.concatenate(rows)


def _parts(
    layout: str, array: np.ndarray, blocks: Blocks
) -> Sequence[tuple[str, np.ndarray]]:
    """Return the parts of one of their arrays with the names of the blocks."""
    grid = _grid(layout)
    if len(grid) == len(grid[0]) == 1:
        return [(grid[0][0], array)]
    if len(grid) == 1:
        return list(zip(grid[0], np.split(array, len(grid[0]), -1), strict=True))
    heights = [blocks[row[0]].shape[0] for row in grid]
    bands = np.split(array, np.cumsum(heights)[:-1])
    return [
        (block, part)
        for row, band in zip(grid, bands, strict=True)
        for block, part in zip(row, np.split(band, len(row), -1), strict=True)
    ]


def _turned(twin: Twin, array: np.ndarray) -> np.ndarray:
    return array.T if twin.transposed and array.ndim == 2 else array
