"""Recurrent layers that ONNX has an operator for: `LSTM`, `GRU`, `RNN`."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from custom_lstm.cells import GRUCell, LSTMCell, PeepholeLSTMCell, SimpleRNNCell
from custom_lstm.layers import GRU, LSTM, RNN, SimpleRNN
from custom_lstm.typing import DType

_KINDS = {
    LSTMCell: "LSTM",
    PeepholeLSTMCell: "LSTM",
    keras.layers.LSTMCell: "LSTM",
    GRUCell: "GRU",
    keras.layers.GRUCell: "GRU",
    SimpleRNNCell: "RNN",
    keras.layers.SimpleRNNCell: "RNN",
}
"""ONNX's operators, by the class of a cell; a subclass may compute another."""
_ACTIVATIONS = {
    keras.activations.tanh: "Tanh",
    keras.activations.sigmoid: "Sigmoid",
    keras.activations.relu: "Relu",
}
LOOPS = {
    one.inner_loop
    for one in (
        RNN,
        LSTM,
        GRU,
        SimpleRNN,
        keras.layers.RNN,
        keras.layers.LSTM,
        keras.layers.GRU,
        keras.layers.SimpleRNN,
    )
}
"""Loops that do no more than step the cell."""


@dataclass(frozen=True)
class Operator:
    """An operator that computes what a layer does, from one state to the last.

    Args:
        kind: its name in ONNX.
        weights: its inputs "W", "R", "B" and "P", as far as there are any.
        attributes: its attributes.
        units: width of the states.
        states: names of the states.
        dtype: of all it is given and returns.
        only_last: whether the last states alone are used.
    """

    kind: str
    weights: dict[str, np.ndarray]
    attributes: dict[str, Any]
    units: int
    states: tuple[str, ...]
    dtype: DType
    only_last: bool

    def made(self, batch: Any, time: Any) -> list[tuple[tuple[Any, ...], DType]]:
        """Return shapes and dtypes of what it makes: outputs, if used, and states."""
        states = [((batch, self.units), self.dtype)] * len(self.states)
        outputs = ((batch, time, self.units), self.dtype)
        return states if self.only_last else [outputs, *states]


def operator_of(layer: keras.layers.RNN) -> Operator | None:
    """Return the operator that ONNX has for a layer, or None.

    Args:
        layer: a recurrent layer that is built.

    Example:
        >>> layer = LSTM(4)
        >>> layer.build((None, None, 3))
        >>> operator_of(layer).kind
        'LSTM'
    """
    cell = layer.cell
    kind = _KINDS.get(type(cell))
    shows = getattr(layer, "return_all_states", False)
    if kind is None or shows or type(layer).inner_loop not in LOOPS:
        return None
    activations = _activations_of(cell, kind)
    if cell.compute_dtype != "float32" or None in activations:
        return None
    from custom_lstm.convert import to_onnx

    attributes = {"hidden_size": cell.units, "activations": activations}
    if kind == "GRU":
        attributes["linear_before_reset"] = int(cell.reset_after)
    weights = {name: array.astype("float32") for name, array in to_onnx(cell).items()}
    states = ("h", "c") if kind == "LSTM" else ("h",)
    last = not layer.return_sequences
    return Operator(kind, weights, attributes, cell.units, states, "float32", last)


def _activations_of(cell: Any, kind: str) -> list[str | None]:
    """Return ONNX's names of the activations, in its order; None for one it lacks."""
    output = getattr(cell, "output_activation", None) or cell.activation
    used = {
        "LSTM": lambda: [cell.recurrent_activation, cell.activation, output],
        "GRU": lambda: [cell.recurrent_activation, cell.activation],
        "RNN": lambda: [cell.activation],
    }[kind]()
    return [_ACTIVATIONS.get(activation) for activation in used]
