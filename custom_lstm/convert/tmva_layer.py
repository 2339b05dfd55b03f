"""A recurrent layer with the attributes that TMVA gives it."""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import CellWeights, Weights
from custom_lstm.convert.forms import FIXED, Form, check_holds
from custom_lstm.convert.sources import is_layer, read_cell

LARGEST = 10**9 - 1
"""The largest number that an attribute may be."""
_TAGS = {1: "RNNLayer", 3: "GRULayer", 4: "LSTMLayer"}
_OF_KERAS = {"remember_state": "stateful", "return_sequence": "return_sequences"}


@dataclass(frozen=True, eq=False)
class TMVALayer:
    """A recurrent layer as TMVA stores it, with its weights as Keras has them.

    Args:
        weights: a Keras layer or cell in one direction, or `get_weights()` of an LSTM,
            GRU or SimpleRNN, which are what it becomes.
        time_steps: length of the sequences that TMVA gives it.
        remember_state: whether it begins where the last batch ended; Keras's
            `stateful`. By default as in the layer; for a list of weights, False.
        return_sequence: whether it outputs every step; Keras's `return_sequences`. By
            default as in the layer; for a list of weights, False.
        reset_after: a GRU's; other layers have no use for it, and True. By default as
            in the layer; for a list of weights, True if the bias has two rows, and
            else to be said.

    Raises:
        ValueError: if TMVA has no such layer: other activations than tanh and σ,
            peepholes, a projection, two directions.

    Example:
        >>> layer = TMVALayer([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
        >>> layer.tag, layer.features, layer.units
        ('LSTMLayer', 3, 2)
    """

    weights: Weights | Any
    time_steps: int = 1
    remember_state: bool | None = None
    return_sequence: bool | None = None
    reset_after: bool | None = None

    def __post_init__(self):
        """Refuse what is no such layer; take what it says of itself."""
        self._check_flags()
        cell = read_cell("`weights`", self.weights, self.reset_after)
        if cell.features < 1:
            raise ValueError(
                "`kernel` must have shape (features, ...), with features at least 1. "
                f"Received shape: {cell.kernel.shape}"
            )
        module = f"TMVA's {_TAGS[cell.gates]}"
        form = Form(module, cell.kind, (), "", cell.reset_after, "", FIXED)
        check_holds("`weights`", form, cell)
        for name, of_keras in _OF_KERAS.items():
            if getattr(self, name) is None:
                own = bool(getattr(self.weights, of_keras, False))
                object.__setattr__(self, name, own)
        if self.reset_after is None:
            object.__setattr__(self, "reset_after", cell.reset_after is not False)
        if is_layer(self.weights):
            object.__setattr__(self, "weights", cell.as_list())

    def _check_flags(self) -> None:
        """Refuse what the attributes of a file cannot hold."""
        steps = self.time_steps
        whole = hasattr(steps, "__index__") and not isinstance(steps, bool | np.ndarray)
        if not whole or not 1 <= operator.index(steps) <= LARGEST:
            raise ValueError(
                f"`time_steps` must be a whole number, at least 1 and at most {LARGEST}"
                f". Received: {steps!r}"
            )
        for name in ("remember_state", "return_sequence", "reset_after"):
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_) and value not in (0, 1, None):
                raise ValueError(f"`{name}` must be True or False. Received: {value!r}")

    @property
    def tag(self) -> str:
        """The element that it is: RNNLayer, LSTMLayer or GRULayer."""
        return _TAGS[self.cell.gates]

    @property
    def units(self) -> int:
        """Width of h: StateSize."""
        return self.cell.units

    @property
    def features(self) -> int:
        """Width of the inputs: InputSize."""
        return self.cell.features

    @property
    def cell(self) -> CellWeights:
        """The arrays by name."""
        return read_cell("`weights`", self.weights, self.reset_after)
