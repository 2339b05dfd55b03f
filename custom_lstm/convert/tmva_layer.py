"""A recurrent layer of TMVA: Keras's weights to and from the matrices of a file."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import (
    CellWeights,
    Weights,
    read_layer,
    reorder,
)
from custom_lstm.convert.tmva_xml import FORMS, LARGEST, Element

_TAGS = {1: "RNNLayer", 3: "GRULayer", 4: "LSTMLayer"}


@dataclass(frozen=True, eq=False)
class TMVALayer:
    """A recurrent layer as TMVA stores it, with its weights as Keras has them.

    Args:
        weights: `get_weights()` of one LSTM, GRU or SimpleRNN, in one direction.
        time_steps: length of the sequences that TMVA gives it.
        remember_state: whether it begins where the last batch ended; Keras's
            `stateful`.
        return_sequence: whether it outputs every step; Keras's `return_sequences`.
        reset_after: a GRU's; other layers have no use for it.

    Raises:
        ValueError: if these are not the weights of such a layer.

    Example:

    >>> layer = TMVALayer([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
    >>> layer.tag, layer.features, layer.units
    ('LSTMLayer', 3, 2)
    """

    weights: Weights
    time_steps: int = 1
    remember_state: bool = False
    return_sequence: bool = False
    reset_after: bool = True

    def __post_init__(self):
        """Refuse what is no such layer."""
        cells = read_layer("`weights`", self.weights)
        if len(cells) > 1:
            raise ValueError(
                "`weights` must be those of one direction, TMVA has no bidirectional "
                f"layer. Received: {len(self.weights)} arrays"
            )
        [cell] = cells
        if cell.features < 1:
            raise ValueError(
                "`kernel` must have shape (features, ...), with features at least 1. "
                f"Received shape: {cell.kernel.shape}"
            )
        if cell.gates == 3 and cell.bias is not None:
            width = 3 * cell.units
            expected = (2, width) if self.reset_after else (width,)
            if cell.bias.shape != expected:
                raise ValueError(
                    f"`bias` of a GRU with reset_after={self.reset_after} must have "
                    f"shape {expected}. Received shape: {cell.bias.shape}"
                )
        self._check_options()

    def _check_options(self) -> None:
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
            if not isinstance(value, bool | np.bool_) and value not in (0, 1):
                raise ValueError(f"`{name}` must be True or False. Received: {value!r}")

    @property
    def tag(self) -> str:
        """The element that it is: RNNLayer, LSTMLayer or GRULayer."""
        return _TAGS[self._cell.gates]

    @property
    def units(self) -> int:
        """Width of h: StateSize."""
        return self._cell.units

    @property
    def features(self) -> int:
        """Width of the inputs: InputSize."""
        return self._cell.features

    @property
    def _cell(self) -> CellWeights:
        return read_layer("`weights`", self.weights)[0]


def from_element(where: str, element: Element, interleaved: bool | None) -> TMVALayer:
    """The layer that stands in a file.

    Args:
        where: it stands, for errors.
        element: with all the children and attributes of its form.
        interleaved: whether W and U alternate. None finds out.

    Raises:
        ValueError: if a size does not fit, or nothing tells the order.
    """
    tag, attributes, matrices = element
    form = FORMS[tag]
    if interleaved is None:
        interleaved = _alternates(where, element)
    _check_sizes(where, element, interleaved)
    W, U = _parted(form.weights, interleaved)
    kernel, recurrent_kernel, bias = (
        np.concatenate([matrices[names[k]].T for k in form.order], axis=1)
        for names in (W, U, form.biases)
    )
    reset_after = bool(attributes.get("ResetGateAfter", True))
    if tag == "GRULayer" and reset_after:
        bias = np.concatenate([bias, np.zeros_like(bias)])
    else:
        [bias] = bias
    return TMVALayer(
        [kernel, recurrent_kernel, bias],
        time_steps=attributes["TimeSteps"],
        remember_state=bool(attributes["RememberState"]),
        return_sequence=bool(attributes["ReturnSequence"]),
        reset_after=reset_after,
    )


def _check_sizes(where: str, element: Element, interleaved: bool) -> None:
    """Raises unless W are (u, F), U are (u, u), b are (u, 1), in their places."""
    tag, attributes, matrices = element
    units, features = attributes["StateSize"], attributes["InputSize"]
    if attributes.get("CellSize", units) != units:
        raise ValueError(
            f"{where}: CellSize must be StateSize={units}. "
            f"Received: {attributes['CellSize']}"
        )
    W, U = _parted(FORMS[tag].weights, interleaved)
    order = "interleaved" if interleaved else "every W before any U"
    columns = dict.fromkeys(W, features) | dict.fromkeys(U, units)
    for name, width in (columns | dict.fromkeys(FORMS[tag].biases, 1)).items():
        received = matrices[name].shape
        if received != (units, width):
            raise ValueError(
                f"{where}: <{name}> must have Rows={units} and Columns={width} "
                f"with StateSize={units}, InputSize={features} and {order}. "
                f"Received: Rows={received[0]} and Columns={received[1]}"
            )


def to_element(where: str, layer: TMVALayer, interleaved: bool) -> Element:
    """The layer as it is to stand in a file, every W before any U or interleaved.

    Raises:
        ValueError: if a GRU has a bias that TMVA cannot hold.
    """
    cell, form = layer._cell, FORMS[layer.tag]
    W, U = _parted(form.weights, interleaved)
    arrays = (cell.kernel, cell.recurrent_kernel, _one_bias(where, cell)[None])
    matrices: dict[str, np.ndarray] = {}
    for names, array in zip((W, U, form.biases), arrays, strict=True):
        array = array.astype(np.result_type(array, np.float32))
        blocks = np.split(reorder(array, form.order), len(form.order), axis=1)
        matrices |= {name: b.T for name, b in zip(names, blocks, strict=True)}
    attributes = {
        "StateSize": cell.units,
        "CellSize": cell.units,
        "InputSize": cell.features,
        "TimeSteps": operator.index(layer.time_steps),
        "RememberState": int(layer.remember_state),
        "ReturnSequence": int(layer.return_sequence),
        "ResetGateAfter": int(layer.reset_after),
    }
    names = [*form.sizes, *form.flags]
    return Element(
        layer.tag,
        {name: attributes[name] for name in names},
        {name: matrices[name] for name in form.children},
    )


def _one_bias(where: str, cell: CellWeights) -> np.ndarray:
    """One bias for each gate, `(gates·units,)`."""
    if cell.bias is None:
        return np.zeros_like(cell.kernel, shape=cell.kernel.shape[1])
    if cell.bias.ndim == 1:
        return cell.bias
    if cell.bias[1, -cell.units :].any():
        raise ValueError(
            f"{where}: TMVA's GRU has no bias within the reset; the last `units` "
            f"numbers of `bias[1]` must be 0. Received: {cell.bias[1, -cell.units :]}"
        )
    return cell.bias[0] + cell.bias[1]


def _alternates(where: str, element: Element) -> bool:
    """Whether W and U alternate, as far as the second matrix tells."""
    names = FORMS[element.tag].weights
    units, features = (element.attributes[n] for n in ("StateSize", "InputSize"))
    if len(names) == 2:
        return False
    if units == features:
        raise ValueError(
            f"{where}: with StateSize=InputSize={units} nothing tells the order of "
            "the matrices; say `interleaved=True` (older files) or `interleaved=False`"
        )
    return element.matrices[names[1]].shape[1] == units


def _parted(names: Sequence[str], interleaved: bool) -> tuple[Any, Any]:
    """Names of the matrices W, and of the U, of every gate."""
    if interleaved:
        return names[::2], names[1::2]
    return names[: len(names) // 2], names[len(names) // 2 :]
