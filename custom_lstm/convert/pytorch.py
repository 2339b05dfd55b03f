"""Weights of torch.nn.LSTM, GRU and RNN."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import (
    CellWeights,
    Weights,
    as_array,
    check_names,
    check_shapes,
    read_layer,
    reorder,
)

_ORDERS: dict[int, tuple[int, ...]] = {4: (0, 1, 2, 3), 3: (1, 0, 2), 1: (0,)}
"""By number of gates: where Keras's are in torch, and torch's in Keras."""

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_NAME = re.compile(rf"({'|'.join(_KINDS)})_l(\d+)(_reverse)?")


def from_torch(state_dict: Mapping[str, Any], prefix: str = "") -> list[Weights]:
    """Return Keras weights from those of a `torch.nn.LSTM`, `GRU` or `RNN`.

    Which of them it is, how many layers, directions and biases it has, is read from
    the names and shapes. Torch has two biases and adds them; where Keras has one
    (LSTM, RNN), it becomes their sum, and how it was made up is lost. Torch's GRU is
    Keras's with `reset_after=True`, which has both biases.

    Args:
        state_dict: `module.state_dict()`: torch tensors or arrays by name.
        prefix: begin of the names, if the module is part of another: "encoder.lstm.";
            other names are left aside then.

    Returns:
        One list of weights per layer, for `set_weights`; if bidirectional, the forward
        direction's and then the backward's, as in `keras.layers.Bidirectional`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape.

    Example:
        >>> shapes = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2)}
        >>> state_dict = {name: np.ones(shape) for name, shape in shapes.items()}
        >>> [[array.shape for array in weights] for weights in from_torch(state_dict)]
        [[(3, 8), (2, 8)]]
    """
    what = f"`state_dict` under {prefix!r}" if prefix else "`state_dict`"
    arrays = {
        name.removeprefix(prefix): as_array(value)
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    matches = [match for match in map(_NAME.fullmatch, arrays) if match]
    layers = 1 + max((int(match[2]) for match in matches), default=0)
    bidirectional = any(match[3] for match in matches)
    bias = any(match[1].startswith("bias") for match in matches)
    suffixes = _suffixes(layers, bidirectional)
    kinds = _KINDS if bias else _KINDS[:2]
    check_names(what, [k + s for own in suffixes for s in own for k in kinds], arrays)
    return [
        [array for suffix in own for array in _from_torch(what, arrays, suffix)]
        for own in suffixes
    ]


def to_torch(layers: Sequence[Weights], prefix: str = "") -> dict[str, np.ndarray]:
    """Return weights for a `torch.nn.LSTM`, `GRU` or `RNN` from Keras layers'.

    Of two biases that Keras has as one, the first gets all and the second zeros. Load
    them with `module.load_state_dict({k: torch.tensor(v) for k, v in ...})`.

    Args:
        layers: `[layer.get_weights() for layer in ...]`: of one LSTM, GRU or
            SimpleRNN, or of several stacked ones, or of `Bidirectional` ones.
        prefix: what the names shall begin with.

    Returns:
        Arrays by name, in the order of torch's `state_dict`.

    Raises:
        ValueError: if a layer is none of these, or if they make no torch module: they
            must be equal in kind, units, directions and use of a bias, each as wide as
            the next expects. A GRU must have been made with `reset_after=True`.

    Example:
        >>> weights = [np.ones((3, 8)), np.ones((2, 8)), np.ones(8)]
        >>> {name: array.shape for name, array in to_torch([weights], "core.").items()}
        {'core.weight_ih_l0': (8, 3), 'core.weight_hh_l0': (8, 2),
         'core.bias_ih_l0': (8,), 'core.bias_hh_l0': (8,)}
    """
    if not isinstance(layers, list | tuple) or not layers:
        raise ValueError(
            "`layers` must be a list with one list of weights per layer, "
            f"[layer.get_weights(), ...]. Received: {type(layers).__name__}"
        )
    stack = [read_layer(f"`layers[{k}]`", weights) for k, weights in enumerate(layers)]
    _check_stack(stack)
    suffixes = _suffixes(len(stack), bidirectional=len(stack[0]) == 2)
    return {
        f"{prefix}{kind}{suffix}": array
        for directions, own in zip(stack, suffixes, strict=True)
        for cell, suffix in zip(directions, own, strict=True)
        for kind, array in zip(_KINDS, _to_torch(cell), strict=False)
    }


def _suffixes(layers: int, bidirectional: bool) -> list[list[str]]:
    """Return how names end, by layer and direction."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [[f"_l{layer}{way}" for way in directions] for layer in range(layers)]


def _from_torch(what: str, arrays: Mapping[str, np.ndarray], suffix: str) -> Weights:
    """Return Keras's arrays of one direction of one layer."""
    W, U, *biases = [
        arrays[kind + suffix] for kind in _KINDS if kind + suffix in arrays
    ]
    units = U.shape[-1] if U.ndim == 2 else 0
    gates = U.shape[0] // units if units else 0
    if gates not in _ORDERS or U.shape[0] != gates * units:
        raise ValueError(
            f"{what}: `weight_hh{suffix}` must have shape (4·units, units) in an LSTM, "
            "(3·units, units) in a GRU, (units, units) in an RNN. "
            f"Received shape: {U.shape}"
        )
    features = W.shape[-1] if W.ndim else 0
    shapes: dict[str, tuple[int, ...]]
    shapes = {f"weight_ih{suffix}": (gates * units, features)}
    if biases:
        shapes |= {kind + suffix: (gates * units,) for kind in _KINDS[2:]}
    check_shapes(what, arrays, shapes)
    W, U, *biases = [reorder(array.T, _ORDERS[gates]) for array in (W, U, *biases)]
    if not biases:
        return [W, U]
    return [W, U, np.stack(biases) if gates == 3 else biases[0] + biases[1]]


def _to_torch(cell: CellWeights) -> Weights:
    """Return torch's arrays of one direction of one layer."""
    arrays = [cell.kernel.T, cell.recurrent_kernel.T]
    if cell.bias is not None:
        bias = cell.bias
        arrays += list(bias) if bias.ndim == 2 else [bias, np.zeros_like(bias)]
    return [reorder(array, _ORDERS[cell.gates], axis=0) for array in arrays]


def _check_stack(stack: list[list[CellWeights]]) -> None:
    """Raise unless one torch module can hold these layers."""
    first = stack[0][0]
    for index, directions in enumerate(stack):
        features = len(stack[0]) * first.units if index else first.features
        expected = [_form(first, features)] * len(stack[0])
        received = [_form(cell, cell.features) for cell in directions]
        if received != expected:
            raise ValueError(
                f"`layers[{index}]` must be {' and '.join(expected)}, to make one "
                "torch module (features, units) with `layers[0]`. "
                f"Received: {' and '.join(received)}"
            )
        for cell in directions:
            if cell.gates == 3 and cell.bias is not None and cell.bias.ndim == 1:
                raise ValueError(
                    f"`layers[{index}]`: torch's GRU is one with `reset_after=True`, "
                    f"whose `bias` has shape (2, {3 * cell.units}). "
                    f"Received shape: {cell.bias.shape}"
                )


def _form(cell: CellWeights, features: int) -> str:
    """Return a cell in torch's words."""
    module = {4: "LSTM", 3: "GRU", 1: "RNN"}[cell.gates]
    return f"{module}({features}, {cell.units}, bias={cell.bias is not None})"
