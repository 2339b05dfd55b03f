"""Weights of ONNX's operators LSTM, GRU and RNN."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights
from custom_lstm.convert.forms import (
    Form,
    Part,
    choose,
    decode,
    encode,
    known_names,
    under_prefix,
)
from custom_lstm.convert.sources import check_direction, read_layer


def _form(kind: str, gates: str, reset_after: bool | None = None) -> Form:
    parts = [
        Part("W", "W", gates, True),
        Part("R", "U", gates, True),
        Part("B", "bv", gates),
        *([Part("P", "p", "iof")] if kind == "LSTM" else []),
    ]
    module = f"ONNX's {kind.removeprefix('Simple')}"
    if kind == "GRU":
        module += f" with linear_before_reset={int(bool(reset_after))}"
    optional = "bvp"
    return Form(module, kind, tuple(parts), optional, reset_after, own_output=True)


_LSTM, _RNN = _form("LSTM", "iofg"), _form("SimpleRNN", "g")
_GRU = {reset_after: _form("GRU", "zrg", reset_after) for reset_after in (False, True)}
_NAMES = known_names([_LSTM])


def from_onnx(
    initializers: Mapping[str, Any], prefix: str = "", linear_before_reset: bool = False
) -> Weights:
    """Return Keras weights from the initializers of an ONNX LSTM, GRU or RNN.

    Which of them it is, is read from the shapes. ONNX has two biases and adds them;
    where Keras has one, it becomes their sum, and how it was made up is lost. The
    attributes are not among the initializers: `activations` are yours to give to the
    layer; with `input_forget` or `clip` it is another network than Keras's.

    Args:
        initializers: arrays by the names of the operator's inputs: "W" and "R", and
            "B" and "P" if it has them. In a model these have other names, which the
            node lists in the order X, W, R, B, sequence_lens, initial_h, initial_c, P;
            `onnx.numpy_helper.to_array` makes arrays of them.
        prefix: begin of the names; others are left aside then.
        linear_before_reset: a GRU's attribute: Keras's `reset_after`.

    Returns:
        Weights of one layer, for `set_weights`; of direction "bidirectional" the
        forward direction's and then the backward's, as in `Bidirectional`. With "P" it
        is a `PeepholeLSTMCell`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape.

    Example:
        >>> initializers = {"W": np.ones((1, 8, 3)), "R": np.ones((1, 8, 2))}
        >>> [array.shape for array in from_onnx(initializers)]
        [(3, 8), (2, 8)]
    """
    what, arrays, note, _ = under_prefix("`initializers`", initializers, prefix, _NAMES)
    counts = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if arrays and counts not in ({1}, {2}):
        raise ValueError(
            f"{what} must have one or two directions along the first axis of each "
            f"array. Received shapes: {[array.shape for array in arrays.values()]}"
        )
    directions = [
        {name: array[k] for name, array in arrays.items()}
        for k in range(max(counts, default=1))
    ]
    forms = (_LSTM, _GRU[bool(linear_before_reset)], _RNN)
    return [
        array
        for own in directions
        for array in decode(what, choose(forms, own), own, note).as_list()
    ]


def to_onnx(
    weights: Any, prefix: str = "", reset_after: bool | None = None
) -> dict[str, np.ndarray]:
    """Return initializers for an ONNX LSTM, GRU or RNN from a Keras layer's weights.

    A GRU needs the attribute `linear_before_reset=1` with `reset_after=True`, a layer
    with other activations than tanh and σ the attribute `activations`.

    Args:
        weights: a Keras layer or cell, or its `get_weights()`; it may be
            `Bidirectional`. A layer is judged by its class and arguments.
        prefix: what the names shall begin with.
        reset_after: that of a GRU given as a list, unless its bias has two rows.

    Returns:
        Arrays by name: "W" `(directions, gates·units, features)`, "R" `(directions,
        gates·units, units)`, "B" `(directions, 2·gates·units)` if there is a bias, "P"
        `(directions, 3·units)` if there are peepholes.

    Raises:
        ValueError: if ONNX has no such operator, or directions differ.

    Example:
        >>> initializers = to_onnx([np.ones((3, 8)), np.ones((2, 8)), np.ones(8)])
        >>> {name: array.shape for name, array in initializers.items()}
        {'W': (1, 8, 3), 'R': (1, 8, 2), 'B': (1, 16)}
    """
    check_direction("`weights`", weights)
    directions = []
    for cell in read_layer("`weights`", weights, reset_after):
        if cell.kind == "GRU":
            form = _GRU[bool(cell.reset_after)]
        else:
            form = _LSTM if cell.kind == "LSTM" else _RNN
        directions.append(encode("`weights`", form, cell))
    shapes = [{n: a.shape for n, a in own.items()} for own in directions]
    if shapes != shapes[:1] * len(shapes):
        raise ValueError(
            "`weights` must be equal in kind and shapes in both directions. "
            f"Received: {shapes}"
        )
    return {
        prefix + name: np.stack([own[name] for own in directions])
        for name in directions[0]
    }
