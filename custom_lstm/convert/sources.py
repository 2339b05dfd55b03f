"""What the `to_` functions take: lists of weights, and Keras layers and cells.

A list holds arrays alone, and what they cannot tell has to be said. A layer or cell
tells it: it is judged by the name of its class and by its arguments, so that nothing
here needs to import it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import CellWeights, as_array, check_shapes

_CELLS = (
    "LSTMCell",
    "GRUCell",
    "SimpleRNNCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "CoupledLSTMCell",
    "ZoneoutLSTMCell",
)
_PACKAGES = ("keras", "custom_lstm")
_BACKENDS = ("tensorflow", "jax", "torch")
_ACTIVATIONS = ("activation", "recurrent_activation", "output_activation")


def read_stack(
    what: str, source: Any, reset_after: bool | None = None
) -> list[list[CellWeights]]:
    """Return the cells of one or several layers, by layer and direction.

    Args:
        what: the argument, for errors.
        source: a layer or cell, or a list of them and of lists of weights.
        reset_after: see `read_layer`.

    Raises:
        ValueError: if they are none of these, or run in a way that only Keras knows:
            backwards alone, or with another `merge_mode` than "concat".
    """
    if hasattr(source, "layers"):
        raise ValueError(
            f"{what} must be a layer or cell, or a list of them; of a model, give "
            "those of its `layers` that are recurrent. Received: "
            f"{type(source).__name__}"
        )
    if is_layer(source):
        _check_order(what, source)
        stacked = _cells_of(source)
        if len(stacked) > 1:
            return [read_layer(what, cell, reset_after) for cell in stacked]
        return [read_layer(what, source, reset_after)]
    if not isinstance(source, list | tuple) or not source:
        raise ValueError(
            f"{what} must be a list with one list of weights per layer, "
            "[layer.get_weights(), ...], or a Keras layer or cell, or a list of them. "
            f"Received: {type(source).__name__}"
        )
    names = [f"`{what.strip('`')}[{k}]`" for k in range(len(source))]
    for name, one in zip(names, source, strict=True):
        _check_order(name, one)
    return [
        read_layer(name, one, reset_after)
        for name, one in zip(names, source, strict=True)
    ]


def read_cell(what: str, source: Any, reset_after: bool | None = None) -> CellWeights:
    """Return the one cell of a layer in one direction; see `read_layer`."""
    cells = read_layer(what, source, reset_after)
    if len(cells) > 1:
        raise ValueError(
            f"{what} must be those of one LSTM, GRU or SimpleRNN in one direction: "
            "[kernel, recurrent_kernel, bias]; convert the two directions of a "
            f"Bidirectional one by one. Received: {len(cells)} directions"
        )
    return cells[0]


def read_layer(
    what: str, source: Any, reset_after: bool | None = None
) -> list[CellWeights]:
    """Return the directions of a Keras layer, one or two.

    Args:
        what: the argument, for errors.
        source: the layer or its cell, or its `get_weights()`: kernel,
            recurrent_kernel, and, if it has them, bias, and projection or peephole;
            twice that if it is bidirectional.
        reset_after: that of a GRU, for arrays, which do not tell it.

    Raises:
        ValueError: if it is something else, or not built, or `reset_after` is not
            what the layer or the shape of the bias says.
    """
    if is_layer(source):
        cells = [_from_cell(what, cell) for cell in _directions(what, source)]
    else:
        cells = [_from_arrays(what, arrays) for arrays in _split(what, source)]
    return [_with_reset_after(what, cell, reset_after) for cell in cells]


def is_layer(source: Any) -> bool:
    """Return whether this is a layer or cell of Keras."""
    return hasattr(source, "get_weights") and hasattr(source, "get_config")


def check_direction(what: str, source: Any) -> None:
    """Raise if the layer runs backwards alone, as no other library's does."""
    if getattr(getattr(source, "forward_layer", source), "go_backwards", False):
        raise ValueError(
            f"{what} has `go_backwards=True`, which no other library's layer has by "
            "itself; to have its weights only, give its `cell`"
        )


def _check_order(what: str, source: Any) -> None:
    """Raise if the layer runs, or joins its outputs, as no other library's does."""
    check_direction(what, source)
    if getattr(source, "merge_mode", "concat") not in ("concat", None):
        raise ValueError(
            f"{what} has `merge_mode={source.merge_mode!r}`; other libraries join the "
            "outputs of both directions: 'concat'. To have its weights only, give its "
            "`get_weights()`"
        )


def _cells_of(layer: Any) -> list[Any]:
    """Return the cells that a layer runs one above the other, or the cell itself."""
    cell = getattr(layer, "cell", layer)
    return list(getattr(cell, "cells", [cell]))


def _directions(what: str, layer: Any) -> list[Any]:
    """Return the cell of each direction."""
    ways = [
        getattr(layer, f"{way}_layer")
        for way in ("forward", "backward")
        if hasattr(layer, f"{way}_layer")
    ]
    directions = [_cells_of(way) for way in ways or [layer]]
    if any(len(cells) != 1 for cells in directions):
        raise ValueError(
            f"{what} must run one cell in each direction. Received: stacked cells; "
            "give them one by one"
        )
    return [cell for [cell] in directions]


def _from_cell(what: str, cell: Any) -> CellWeights:
    """Return what a cell holds; coupled gates as those of a plain LSTM."""
    name, module = type(cell).__name__, type(cell).__module__
    rates = [getattr(cell, f"zoneout_{state}", 0) for state in ("cell", "hidden")]
    if name not in _CELLS or module.partition(".")[0] not in _PACKAGES or any(rates):
        drawn = f" with zoneout {rates}" if any(rates) else ""
        raise ValueError(
            f"{what} must be an LSTM, GRU or SimpleRNN, or one with peepholes, a "
            f"projection or coupled gates. Received: {module}.{name}{drawn}, whose "
            "equations other libraries do not have; if it only adds to those of a "
            "cell that they have, give its `get_weights()`"
        )
    arrays = weights_by_name(what, cell)
    if name == "CoupledLSTMCell":
        arrays = {key: _uncoupled(array) for key, array in arrays.items()}
    return CellWeights(
        **arrays,
        reset_after=getattr(cell, "reset_after", None) if name == "GRUCell" else None,
        activations=_activations(cell),
    )


def weights_by_name(what: str, cell: Any) -> dict[str, np.ndarray]:
    """Return the weights of a cell, new arrays, by their names.

    Raises:
        ValueError: if it has none yet.
    """
    names = [weight.name for weight in cell.weights]
    if not names:
        raise ValueError(
            f"{what} has no weights yet: build it first, with "
            "`layer.build((None, None, features))`"
        )
    arrays = [np.array(as_array(array)) for array in cell.get_weights()]
    return dict(zip(names, arrays, strict=True))


def cells_in(what: str, source: Any) -> list[tuple[str, Any]]:
    """Return the cells of this package that a layer, a cell or a list of them holds.

    Args:
        what: the argument, for errors.
        source: the layer, cell or list.

    Returns:
        What each is, for errors, and the cell; of a layer with stacked cells, all.

    Raises:
        ValueError: if one is something else, runs backwards or both ways.
    """
    sources = source if isinstance(source, list | tuple) else [source]
    cells = []
    for index, one in enumerate(sources):
        name = what if one is source else f"`{what.strip('`')}[{index}]`"
        if not is_layer(one) or hasattr(one, "forward_layer"):
            raise ValueError(
                f"{name} must be a layer or cell of this package, in one direction, "
                f"or a list of them. Received: {type(one).__name__}"
            )
        check_direction(name, one)
        cells += [(name, cell) for cell in _cells_of(one)]
    if not cells:
        raise ValueError(f"{what} must hold a layer or cell. Received: an empty list")
    return cells


def cell_class(cell: Any) -> str:
    """Return the name of a cell's class, with its module unless it is one of ours."""
    kind = type(cell)
    own = kind.__module__.partition(".")[0] == "custom_lstm"
    return kind.__name__ if own else f"{kind.__module__}.{kind.__name__}"


def _uncoupled(array: np.ndarray) -> np.ndarray:
    """Return i, f, g, o of i, g, o: f = 1 − σ(z_i) = σ(−z_i)."""
    i, g, o = np.split(array, 3, axis=-1)
    return np.concatenate([i, -i, g, o], axis=-1)


def _activations(cell: Any) -> dict[str, str]:
    """Return the names of the activations, by argument."""
    given = {key: getattr(cell, key, None) for key in _ACTIVATIONS}
    return {key: activation_name(own) for key, own in given.items() if own is not None}


def activation_name(activation: Any) -> str:
    """Return the name of an activation; one of your own has its module before it."""
    name = getattr(activation, "__name__", type(activation).__name__)
    module = getattr(activation, "__module__", None) or _PACKAGES[0]
    own = module.partition(".")[0] not in (*_PACKAGES, *_BACKENDS)
    return f"{module}.{name}" if own else name


def _split(what: str, weights: Any) -> list[Sequence[np.ndarray]]:
    """Return the arrays of each direction."""
    if not isinstance(weights, list | tuple) or len(weights) not in (2, 3, 4, 6, 8):
        count = len(weights) if isinstance(weights, list | tuple) else type(weights)
        raise ValueError(
            f"{what} must be a list of weights as `get_weights()` of an LSTM, GRU or "
            "SimpleRNN returns it: [kernel, recurrent_kernel, bias], or the first two "
            "without a bias; with peepholes or a projection after them; twice that of "
            f"a Bidirectional; or the layer itself. Received: {count}"
        )
    arrays = [as_array(array) for array in weights]
    one = len(arrays) < 4 or (len(arrays) == 4 and arrays[2].ndim == 1)
    size = len(arrays) if one else len(arrays) // 2
    return [arrays[k : k + size] for k in range(0, len(arrays), size)]


def _from_arrays(what: str, arrays: Sequence[np.ndarray]) -> CellWeights:
    kernel, recurrent_kernel, *rest = arrays
    shape = recurrent_kernel.shape
    bias, extra = _told_apart(what, shape, rest)
    multiples = [n * shape[0] for n in (1, 3, 4)] if len(shape) == 2 else []
    if "projection" not in extra and (not any(multiples) or shape[1] not in multiples):
        raise ValueError(
            f"{what}: `recurrent_kernel` must have shape (units, 4·units) in an LSTM, "
            "(units, 3·units) in a GRU, (units, units) in a SimpleRNN. "
            f"Received shape: {shape}"
        )
    width = shape[1]
    features = kernel.shape[0] if kernel.ndim else 0
    check_shapes(what, {"kernel": kernel}, {"kernel": (features, width)})
    two_rows = width == 3 * shape[0] and bias is not None and bias.shape == (2, width)
    if bias is not None and not two_rows:
        check_shapes(what, {"bias": bias}, {"bias": (width,)})
    known = True if two_rows else None
    more = extra.get("projection"), extra.get("peephole")
    return CellWeights(kernel, recurrent_kernel, bias, *more, reset_after=known)


def _told_apart(
    what: str, shape: tuple[int, ...], rest: list[np.ndarray]
) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Return the bias, and the projection or the peepholes, of what follows U."""
    if not rest or len(shape) != 2:
        return (rest[0] if rest else None), {}
    last = rest[-1].shape
    plain = shape[1] == 4 * shape[0]
    names = []
    if len(last) == 2 and all(last) and (last[1], 4 * last[0]) == shape:
        names.append("projection")
    if plain and last == (3, shape[0]):
        names.append("peephole")
    if len(names) > 1:
        raise ValueError(
            f"{what}: with 3 units, {last} may be peepholes or a projection; give the "
            "layer or cell instead of its weights"
        )
    if len(rest) == 2 and not names:
        raise ValueError(
            f"{what}: the fourth array must be a projection (units, outputs) or "
            f"peepholes (3, units). Received shape: {last}"
        )
    bias = rest[0] if len(rest) == 2 or not names else None
    return bias, dict.fromkeys(names, rest[-1])


def _with_reset_after(
    what: str, cell: CellWeights, reset_after: bool | None
) -> CellWeights:
    """Return a cell whose `reset_after` is what was said, if nothing denies it."""
    if reset_after is None or cell.kind != "GRU":
        return cell
    one_row = cell.bias is not None and cell.bias.ndim == 1
    if cell.reset_after not in (None, reset_after) or (one_row and reset_after):
        bias = None if cell.bias is None else cell.bias.shape
        raise ValueError(
            f"{what}: `reset_after={reset_after}` is not true of this GRU, "
            f"whose bias has shape {bias}"
        )
    return replace(cell, reset_after=bool(reset_after))
