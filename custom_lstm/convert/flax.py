"""Weights of flax's OptimizedLSTMCell, in both of its interfaces."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import (
    Weights,
    as_array,
    check_names,
    check_shapes,
    read_lstm,
)

_GATES = "ifgo"
_NAMES = {
    "linen": [
        *(f"i{gate}/kernel" for gate in _GATES),
        *(f"h{gate}/{kind}" for kind in ("kernel", "bias") for gate in _GATES),
    ],
    "nnx": ["dense_i/kernel", "dense_h/kernel", "dense_h/bias"],
}


def from_flax(params: Mapping[str, Any]) -> Weights:
    """Return Keras weights of an LSTM from those of a flax `OptimizedLSTMCell`.

    Flax carries its states as `(c, h)`, Keras as `[h, c]`.

    Args:
        params: nested dict of arrays: `variables["params"]` of
            `flax.linen.OptimizedLSTMCell` or `LSTMCell`, or
            `nnx.to_pure_dict(nnx.state(cell, nnx.Param))` of
            `flax.nnx.OptimizedLSTMCell`.

    Returns:
        `[kernel, recurrent_kernel, bias]`, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape.

    Example:
        >>> params = {
        ...     "dense_i": {"kernel": np.ones((3, 8))},
        ...     "dense_h": {"kernel": np.ones((2, 8)), "bias": np.zeros(8)},
        ... }
        >>> [array.shape for array in from_flax(params)]
        [(3, 8), (2, 8), (8,)]
    """
    arrays = _flattened(params)
    names = _NAMES["nnx" if "dense_h/kernel" in arrays else "linen"]
    check_names("`params`", names, arrays)
    blocks = len(names) // 3
    first = arrays[names[blocks]]
    units = first.shape[0] if first.ndim else 0
    first = arrays[names[0]]
    features = first.shape[0] if first.ndim else 0
    width = 4 * units // blocks
    expected = ((features, width), (units, width), (width,))
    shapes = {name: expected[k // blocks] for k, name in enumerate(names)}
    check_shapes("`params`", arrays, shapes)
    return [
        np.concatenate([arrays[name] for name in names[k : k + blocks]], axis=-1)
        for k in range(0, len(names), blocks)
    ]


def to_flax(weights: Weights, api: str = "linen") -> dict[str, dict[str, np.ndarray]]:
    """Return parameters for a flax `OptimizedLSTMCell` from a Keras LSTM's weights.

    Args:
        weights: `[kernel, recurrent_kernel, bias]`, from `get_weights()`; a missing
            bias becomes zeros, as flax always has one.
        api: "linen" or "nnx": in which of them the cell is.

    Returns:
        A nested dict of arrays, as `from_flax` takes it.

    Raises:
        ValueError: if these are not the weights of one LSTM in one direction.

    Example:
        >>> params = to_flax([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
        >>> sorted(params), params["if"]["kernel"].shape, params["hf"]["bias"].shape
        (['hf', 'hg', 'hi', 'ho', 'if', 'ig', 'ii', 'io'], (3, 2), (2,))
    """
    if api not in _NAMES:
        raise ValueError(f"`api` must be one of {tuple(_NAMES)}. Received: {api!r}")
    cell = read_lstm("`weights`", weights)
    names = _NAMES[api]
    arrays = [
        block.copy()
        for array in cell.as_list()
        for block in np.split(array, len(names) // 3, axis=-1)
    ]
    params: dict[str, dict[str, np.ndarray]] = {}
    for name, array in zip(names, arrays, strict=True):
        part, kind = name.split("/")
        params.setdefault(part, {})[kind] = array
    return params


def _flattened(params: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Return arrays by path: `{"a": {"b": x}}` to `{"a/b": x}`."""
    if not isinstance(params, Mapping):
        return {prefix.rstrip("/"): as_array(params)}
    return {
        path: array
        for name, part in params.items()
        for path, array in _flattened(part, f"{prefix}{name}/").items()
    }
