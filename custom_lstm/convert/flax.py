"""Weights of flax's LSTM, GRU and simple cells, in both of its interfaces."""

import re
from collections.abc import Mapping
from typing import Any

from custom_lstm.convert.arrays import Weights
from custom_lstm.convert.forms import (
    Form,
    Part,
    choose,
    decode,
    encode,
    flattened,
    known_names,
    under_prefix,
)
from custom_lstm.convert.sources import read_cell


def _lstm(module: str, of_x: Mapping[str, str]) -> Form:
    """Return the form of a cell with two dense layers for each gate."""
    return Form(
        module,
        "LSTM",
        (
            *(Part(f"{name}/kernel", "W", gate) for gate, name in of_x.items()),
            *(Part(f"h{gate}/kernel", "U", gate) for gate in of_x),
            *(Part(f"h{gate}/bias", "b", gate) for gate in of_x),
        ),
    )


def _of_dense(module: str, kind: str, gates: str, x: str, h: str, bias: str) -> Form:
    """Return the form of a cell with one dense layer for x and one for h."""
    parts = (
        Part(f"{x}/kernel", "W", gates),
        Part(f"{h}/kernel", "U", gates),
        Part(f"{bias}/bias", "b", gates),
    )
    return Form(module, kind, parts, reset_after=True if kind == "GRU" else None)


_GRU_NAMES = {"r": "r", "z": "z", "g": "n"}
_FORMS = {
    "linen": (
        _lstm("flax.linen.LSTMCell", {gate: f"i{gate}" for gate in "ifgo"}),
        Form(
            "flax.linen.GRUCell",
            "GRU",
            (
                *(Part(f"i{n}/kernel", "W", g) for g, n in _GRU_NAMES.items()),
                *(Part(f"h{n}/kernel", "U", g) for g, n in _GRU_NAMES.items()),
                *(Part(f"i{n}/bias", "b", g) for g, n in _GRU_NAMES.items()),
                Part("hn/bias", "v", "g"),
            ),
            reset_after=True,
        ),
        _of_dense("flax.linen.SimpleCell", "SimpleRNN", "g", "i", "h", "i"),
    ),
    "nnx": (
        _of_dense(
            "flax.nnx.OptimizedLSTMCell",
            "LSTM",
            "ifgo",
            "dense_i",
            "dense_h",
            "dense_h",
        ),
        _of_dense("flax.nnx.GRUCell", "GRU", "rzg", "dense_i", "dense_h", "dense_i"),
        _of_dense(
            "flax.nnx.SimpleCell", "SimpleRNN", "g", "dense_i", "dense_h", "dense_i"
        ),
    ),
    "nnx.LSTMCell": (
        _lstm("flax.nnx.LSTMCell", {"i": "ii", "f": "if_", "g": "ig", "o": "io"}),
    ),
}
_ALL = [form for forms in _FORMS.values() for form in forms]
_NAMES: re.Pattern[str] = known_names(_ALL)


def from_flax(params: Any, prefix: str = "") -> Weights:
    """Return Keras weights of an LSTM, GRU or SimpleRNN from those of a flax cell.

    Flax carries an LSTM's states as `(c, h)`, Keras as `[h, c]`. Flax's GRU is Keras's
    with `reset_after=True`; what it has no bias for becomes 0.

    Args:
        params: nested dict of arrays: of `flax.linen` `OptimizedLSTMCell`, `LSTMCell`,
            `GRUCell` or `SimpleCell`, the variables or their `["params"]`; of
            `flax.nnx` `OptimizedLSTMCell`, `LSTMCell`, `GRUCell` or `SimpleCell`,
            `nnx.state(cell)`, or the cell itself, or a module with one in it.
        prefix: path to the cell, if there is more than one: "params/encoder/cell/".

    Returns:
        `[kernel, recurrent_kernel, bias]`, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, and the
            prefixes that there are.

    Example:
        >>> import numpy as np
        >>> params = {
        ...     "dense_i": {"kernel": np.ones((3, 8))},
        ...     "dense_h": {"kernel": np.ones((2, 8)), "bias": np.zeros(8)},
        ... }
        >>> [array.shape for array in from_flax({"params": {"cell": params}})]
        [(3, 8), (2, 8), (8,)]
    """
    if not isinstance(params, Mapping):
        params = _of_module(params)
    if not isinstance(params, Mapping):
        raise ValueError(
            "`params` must be a nested dict of arrays: variables['params'] in linen, "
            "nnx.state(cell) in nnx; or a module of nnx. "
            f"Received: {type(params).__name__}"
        )
    what, arrays, note, _ = under_prefix("`params`", flattened(params), prefix, _NAMES)
    return decode(what, choose(_ALL, arrays), arrays, note).as_list()


def _of_module(part: Any, above: tuple[int, ...] = ()) -> Any:
    """Return the parameters in a module of nnx, nested by name, or what it is else."""
    kinds = {kind.__name__ for kind in type(part).__mro__}
    of_nnx = any(kind.__module__.startswith("flax.nnx") for kind in type(part).__mro__)
    if isinstance(part, list | tuple) or (of_nnx and "Sequence" in kinds):
        items = dict(enumerate(part))
    elif isinstance(part, Mapping):
        items = dict(part)
    elif of_nnx and "Module" in kinds:
        items = vars(part)
    else:
        return part
    above = (*above, id(part))
    named = {str(name): one for name, one in items.items() if id(one) not in above}
    made = {name: _of_module(one, above) for name, one in named.items()}
    return {name: one for name, one in made.items() if _is_parameter(one)}


def _is_parameter(value: Any) -> bool:
    named = {kind.__name__ for kind in type(value).__mro__}
    return "Param" in named or (isinstance(value, dict) and bool(value))


def to_flax(
    weights: Any,
    api: str = "linen",
    prefix: str = "",
    reset_after: bool | None = None,
) -> dict[str, Any]:
    """Return parameters for a flax cell from a Keras LSTM, GRU or SimpleRNN.

    A layer is judged by its class and arguments. Activations are arguments of flax's
    cells too, `activation_fn` and `gate_fn`, and yours to give there: `SimpleRNN`
    with relu needs a `SimpleCell` with it.

    Args:
        weights: a Keras layer or cell in one direction, or `[kernel, recurrent_kernel,
            bias]` from its `get_weights()`; a missing bias becomes zeros, as flax
            always has one.
        api: "linen" or "nnx": in which of them the cell is; "nnx.LSTMCell" for that
            cell, which names its parameters in another way than nnx's
            `OptimizedLSTMCell`.
        prefix: path to put before the names: "params/cell/".
        reset_after: that of a GRU given as a list without a bias; it must be True, as
            flax has no other.

    Returns:
        A nested dict of arrays, as `from_flax` takes it.

    Raises:
        ValueError: if flax has no such cell: a GRU with `reset_after=False`, one with
            a bias where flax has none, peepholes, a projection.

    Example:
        >>> import numpy as np
        >>> params = to_flax([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
        >>> sorted(params), params["if"]["kernel"].shape, params["hf"]["bias"].shape
        (['hf', 'hg', 'hi', 'ho', 'if', 'ig', 'ii', 'io'], (3, 2), (2,))
    """
    if api not in _FORMS:
        raise ValueError(f"`api` must be one of {tuple(_FORMS)}. Received: {api!r}")
    cell = read_cell("`weights`", weights, reset_after)
    form = next((form for form in _FORMS[api] if form.kind == cell.kind), None)
    if form is None:
        raise ValueError(f"`api={api!r}` is of an LSTM. Received: {cell.kind}")
    params: dict[str, Any] = {}
    for name, array in encode("`weights`", form, cell).items():
        *path, last = (prefix + name).split("/")
        part = params
        for step in path:
            part = part.setdefault(step, {})
        part[last] = array
    return params
