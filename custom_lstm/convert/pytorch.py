"""Weights of torch.nn.LSTM, GRU and RNN, and of LSTMCell, GRUCell and RNNCell."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import CellWeights, Weights, as_array, check_names
from custom_lstm.convert.forms import (
    FIXED,
    Form,
    Part,
    decode,
    encode,
    flattened,
    is_within,
    places,
    under_prefix,
)
from custom_lstm.convert.sources import read_stack

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_IN_PLACE = re.compile(r"(?:weight|bias)_[ih][hr](?:_l\d+(?:_reverse)?)?$")
_NAME = re.compile(rf"({'|'.join(_KINDS)})(?:_l(\d+)(_reverse)?)?")


def _form(module: str, kind: str, gates: str, activations: Mapping) -> Form:
    arrays = zip(_KINDS[:4], "WUbv", (True, True, False, False), strict=True)
    parts = [Part(name, letter, gates, turned) for name, letter, turned in arrays]
    projection = [Part("weight_hr", "P", "", True)] if kind == "LSTM" else []
    reset_after = True if kind == "GRU" else None
    return Form(
        module, kind, (*parts, *projection), "bvP", reset_after, "", activations
    )


FORMS = {
    4: _form("torch.nn.LSTM", "LSTM", "ifgo", FIXED),
    3: _form("torch.nn.GRU", "GRU", "rzg", FIXED),
    1: _form("torch.nn.RNN", "SimpleRNN", "g", {"activation": ("tanh", "relu")}),
}
"""By number of gates."""


def from_torch(
    state_dict: Any, prefix: str = "", bidirectional: bool | None = None
) -> list[Weights]:
    """Return Keras weights from those of a `torch.nn.LSTM`, `GRU` or `RNN`.

    Which of them it is, how many layers, directions and biases it has, is read from
    the names and shapes. Torch has two biases and adds them; where Keras has one
    (LSTM, RNN), it becomes their sum, and how it was made up is lost. Torch's GRU is
    Keras's with `reset_after=True`, which has both biases. With `proj_size` it is a
    `ProjectedLSTMCell`. `LSTMCell`, `GRUCell` and `RNNCell` are read as one layer. An
    RNN with `nonlinearity="relu"`, which weights do not tell, is a SimpleRNN with
    `activation="relu"`.

    Args:
        state_dict: the module, or its `state_dict()`: tensors or arrays by name; a
            checkpoint with that in it; a list of them, one above the other, or a
            `ModuleList`; or the list that a module keeps as `_flat_weights`. Of
            bfloat16 and other types that NumPy lacks, the results are float32. Weight
            normalisation and pruning become a part of the weights.
        prefix: begin of the names, if the module is one of several in a model:
            "encoder.lstm."; "module." of DataParallel, "_orig_mod." of
            `torch.compile` and the like may be left away. If there is one module, it
            need not be said.
        bidirectional: of a list without names, where its shapes do not tell.

    Returns:
        One list of weights per layer, for `set_weights`; if bidirectional, the forward
        direction's and then the backward's, as in `keras.layers.Bidirectional`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, and the
            prefixes that there are.

    Example:
        >>> shapes = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2)}
        >>> state_dict = {name: np.ones(shape) for name, shape in shapes.items()}
        >>> [[array.shape for array in weights] for weights in from_torch(state_dict)]
        [[(3, 8), (2, 8)]]
    """
    if isinstance(state_dict, list | tuple) and any(map(_is_named, state_dict)):
        return [
            weights
            for one in state_dict
            for weights in from_torch(one, prefix, bidirectional)
        ]
    if isinstance(state_dict, list | tuple):
        state_dict = _named(state_dict, bidirectional)
    state = state_of(state_dict)
    return [
        weights
        for place in _stacked(state, prefix)
        for weights in _from_state(state, place)
    ]


def to_torch(
    layers: Any, prefix: str = "", reset_after: bool | None = None, cell: bool = False
) -> dict[str, np.ndarray]:
    """Return weights for a `torch.nn.LSTM`, `GRU` or `RNN` from Keras layers.

    Of two biases that Keras has as one, the first gets all and the second zeros. Load
    them with `module.load_state_dict({k: torch.tensor(v) for k, v in ...})`.

    Layers and cells are judged by their class and arguments: a `ProjectedLSTMCell`
    makes an LSTM with `proj_size`, and a `CoupledLSTMCell` one whose forget gate has
    the input gate's weights with the other sign. An RNN with relu needs
    `nonlinearity="relu"` there. Lists of weights tell nothing of activations, and,
    of three gates without a bias, not what they are: say `reset_after` then.

    Args:
        layers: a Keras layer or cell, or a list of stacked ones, or of their
            `get_weights()`; all may be `Bidirectional`.
        prefix: what the names shall begin with.
        reset_after: that of a GRU that is given as a list without a bias; it must be
            True, as torch has no other.
        cell: use the names of `LSTMCell`, `GRUCell` or `RNNCell`.

    Returns:
        Arrays by name, in the order of torch's `state_dict`.

    Raises:
        ValueError: if a layer is none of these, or if they make no torch module: they
            must be equal in kind, units, directions and use of a bias, each as wide as
            the next expects, with tanh and σ. A GRU must have been made with
            `reset_after=True`.

    Example:
        >>> weights = [np.ones((3, 8)), np.ones((2, 8)), np.ones(8)]
        >>> {name: array.shape for name, array in to_torch([weights], "core.").items()}
        {'core.weight_ih_l0': (8, 3), 'core.weight_hh_l0': (8, 2),
         'core.bias_ih_l0': (8,), 'core.bias_hh_l0': (8,)}
    """
    stack = read_stack("`layers`", layers, reset_after)
    _check_stack(stack)
    suffixes = _suffixes(len(stack), bidirectional=len(stack[0]) == 2)
    if cell:
        if len(stack) > 1 or len(stack[0]) > 1 or stack[0][0].projection is not None:
            raise ValueError(
                "`cell=True` must be for one layer in one direction, without a "
                f"projection. Received: {len(stack)} layers of "
                f"{_described(stack[0][0], stack[0][0].features)}"
            )
        suffixes = [[""]]
    return {
        f"{prefix}{name}": array
        for index, (directions, own) in enumerate(zip(stack, suffixes, strict=True))
        for one, suffix in zip(directions, own, strict=True)
        for name, array in encode(
            f"`layers[{index}]`", FORMS[one.gates].named(suffix), one
        ).items()
    }


def _from_state(state: Any, prefix: str) -> list[Weights]:
    """Return the weights of one module."""
    what, arrays, note, _ = under_prefix("`state_dict`", state, prefix, _NAME)
    suffixes = _suffixes_of(arrays)
    present = {match[1] for match in map(_NAME.fullmatch, arrays) if match}
    biases, projection = _KINDS[2:4], _KINDS[4:]
    kinds = [*_KINDS[:2], *(biases if present.intersection(biases) else ())]
    kinds += [kind for kind in projection if kind in present]
    check_names(
        what, [k + s for own in suffixes for s in own for k in kinds], arrays, note
    )
    return [
        [
            array
            for suffix in own
            for array in _from_torch(what, arrays, suffix, kinds).as_list()
        ]
        for own in suffixes
    ]


def _is_named(source: Any) -> bool:
    return isinstance(source, Mapping) or hasattr(source, "state_dict")


def _stacked(state: Any, prefix: str) -> list[str]:
    """Return the prefixes of modules that are numbered, as in a list, or one prefix."""
    if not isinstance(state, Mapping):
        return [prefix]
    found = [place for place in places(state, _NAME) if is_within(place, prefix)]
    parts = [place.split(".") for place in found]
    if len(found) < 2 or len({len(part) for part in parts}) > 1:
        return [prefix]
    differ = [
        k for k, column in enumerate(zip(*parts, strict=True)) if len({*column}) > 1
    ]
    if len(differ) > 1 or not all(part[differ[0]].isdecimal() for part in parts):
        return [prefix]
    return sorted(found, key=lambda place: int(place.split(".")[differ[0]]))


def state_of(source: Any) -> Any:
    """Return the tensors by name of a torch module, its state_dict or a checkpoint.

    What weight and spectral normalisation, pruning and dropout of weights keep in the
    place of a weight becomes that weight again.
    """
    if hasattr(source, "state_dict"):
        source = source.state_dict()
    if not isinstance(source, Mapping):
        return source
    state = flattened(source, ".")
    for name in list(state):
        for endings, rebuild in _REBUILT.items():
            base = name.removesuffix(endings[0])
            kept = [base + ending for ending in endings]
            if (
                base != name
                and _IN_PLACE.search(base)
                and all(k in state for k in kept)
            ):
                parts = [as_array(state.pop(one)) for one in kept]
                state[base.replace("parametrizations.", "")] = rebuild(*parts)
    return state


def _scaled(g: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return `g·v/‖v‖`, the norm over the axes along which g has one number."""
    axes = tuple(k for k in range(v.ndim) if g.ndim == 0 or g.shape[k] == 1)
    return g * v / np.sqrt(np.sum(np.square(v), axis=axes, keepdims=True))


def _by_largest(W: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return W over its largest singular value, of which u and v are the vectors."""
    return W / (u @ W @ v)


_REBUILT: dict[tuple[str, ...], Callable[..., np.ndarray]] = {
    ("_g", "_v"): _scaled,
    (".original0", ".original1"): _scaled,
    ("_orig", "_u", "_v"): _by_largest,
    (".original", ".0._u", ".0._v"): _by_largest,
    ("_orig", "_mask"): np.multiply,
    ("_raw",): np.asarray,
}
"""By how names end: what makes the weight."""


def _suffixes(layers: int, bidirectional: bool) -> list[list[str]]:
    """Return how names end, by layer and direction."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [[f"_l{layer}{way}" for way in directions] for layer in range(layers)]


def _suffixes_of(names: Iterable[str]) -> list[list[str]]:
    """Return how these names end, by layer and direction; those of a cell have none."""
    matches = [match for match in map(_NAME.fullmatch, names) if match]
    if any(match[2] is None for match in matches):
        return [[""]]
    layers = 1 + max((int(match[2]) for match in matches), default=0)
    return _suffixes(layers, any(match[3] for match in matches))


def _named(source: Sequence[Any], both_ways: bool | None) -> dict[str, np.ndarray]:
    """Return the arrays of `_flat_weights` by name; all groups are as the first."""
    arrays = [as_array(array) for array in source]
    dims = [array.ndim for array in arrays]
    kinds = list(_KINDS[:4] if dims[:4] == [2, 2, 1, 1] else _KINDS[:2])
    last = arrays[len(kinds)] if len(arrays) > len(kinds) else np.empty(0)
    if last.ndim == 2 and (4 * last.shape[1], last.shape[0]) == arrays[1].shape:
        kinds.append("weight_hr")
    expected = [1 if kind.startswith("bias") else 2 for kind in kinds]
    count = len(arrays) // len(kinds)
    if not arrays or dims != expected * count:
        raise ValueError(
            f"`state_dict` without names must be a list of {', '.join(kinds)} of each "
            f"layer and direction. Received shapes: {[a.shape for a in arrays]}"
        )
    widths = [array.shape[1] for array in arrays[:: len(kinds)][:2]]
    if both_ways is None and count % 2:
        both_ways = False
    if both_ways is None and widths == [arrays[1].shape[1]] * 2:
        raise ValueError(
            "`state_dict` is a list, whose shapes may be of two layers or of two "
            "directions: say `bidirectional`, or give the module"
        )
    if both_ways is None:
        both_ways = widths[0] == widths[1]
    if both_ways and count % 2:
        raise ValueError(
            "`state_dict` must hold two groups of arrays for each layer, as "
            f"`bidirectional`. Received: {count} groups"
        )
    suffixes = _suffixes(count // (1 + both_ways), both_ways)
    names = [kind + suffix for own in suffixes for suffix in own for kind in kinds]
    return dict(zip(names, arrays, strict=True))


def _from_torch(
    what: str, arrays: Mapping[str, np.ndarray], suffix: str, kinds: Sequence[str]
) -> CellWeights:
    """Return one direction of one layer."""
    U = arrays["weight_hh" + suffix]
    units = U.shape[-1] if U.ndim == 2 else 0
    gates = U.shape[0] // units if units else 0
    if "weight_hr" in kinds:
        gates = 4
    elif gates not in FORMS or U.shape[0] != gates * units:
        raise ValueError(
            f"{what}: `weight_hh{suffix}` must have shape (4·units, units) in an LSTM, "
            "(3·units, units) in a GRU, (units, units) in an RNN. "
            f"Received shape: {U.shape}"
        )
    own = {kind + suffix: arrays[kind + suffix] for kind in kinds}
    return decode(what, FORMS[gates].named(suffix), own)


def _check_stack(stack: list[list[CellWeights]]) -> None:
    """Raise unless one torch module can hold these layers."""
    first = stack[0][0]
    for index, directions in enumerate(stack):
        features = len(stack[0]) * first.outputs if index else first.features
        expected = " and ".join([_described(first, features)] * len(stack[0]))
        received = " and ".join(_described(cell, cell.features) for cell in directions)
        if received != expected:
            raise ValueError(
                f"`layers[{index}]` must be {expected}, to make one torch module "
                f"(features, units) with `layers[0]`. Received: {received}"
            )
        activations = [cell.activations for cell in directions if cell.activations]
        if any(own != (first.activations or own) for own in activations):
            raise ValueError(
                f"`layers[{index}]` must have the activations of `layers[0]`, "
                f"{dict(first.activations)}. Received: {activations}"
            )


def _described(cell: CellWeights, features: int) -> str:
    """Return a cell in torch's words."""
    more = "" if cell.projection is None else f", proj_size={cell.outputs}"
    module = FORMS[cell.gates].module.rpartition(".")[2]
    bias = cell.bias is not None
    return f"{module}({features}, {cell.units}, bias={bias}{more})"
