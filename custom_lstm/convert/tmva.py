"""Weights of recurrent layers in the XML files of ROOT's TMVA.

**The format.** A layer is an element `<RNNLayer>`, `<LSTMLayer>` or `<GRULayer>` with
the attributes StateSize, CellSize (an LSTM's, equal to StateSize), InputSize,
TimeSteps, RememberState, ReturnSequence (old files have none: 1) and ResetGateAfter (a
GRU's). It has one child per matrix, with the attributes Rows and Columns and the
numbers as text, row after row. For u units and F features, W_k is (u, F), U_k (u, u)
and b_k (u, 1): transposes of blocks of Keras's kernels.

**The names mislead.** TMVA keeps its matrices in the order W_i, W_f, W_c, W_o, U_i,
U_f, U_c, U_o, and writes them in that order under the names of another:

    child of LSTMLayer       holds       child of GRULayer        holds
    InputWeights             W_i         ResetWeights             W_r
    InputStateWeights        W_f         ResetStateWeights        W_z
    InputBiases              b_i         ResetBiases              b_r
    ForgetWeights            W_c         UpdateWeights            W_c
    ForgetStateWeights       W_o         UpdateStateWeights       U_r
    ForgetBiases             b_f         UpdateBiases             b_z
    CandidateWeights         U_i         CandidateWeights         U_z
    CandidateStateWeights    U_f         CandidateStateWeights    U_c
    CandidateBiases          b_c         CandidateBiases          b_c
    OuputWeights (sic)       U_c
    OutputStateWeights       U_o         child of RNNLayer        holds
    OutputBiases             b_o         InputWeights             W
                                         StateWeights             U
                                         Biases                   b

Older files are interleaved: W_i, U_i, W_f, U_f and so on, and the names are true. The
Columns of the second child tell: F now, u before. Where F = u nothing in the file does,
and the caller has to.

The equations are Keras's, with one bias per gate. A file says nothing of activations:
they are taken to be tanh, and σ in the gates. A GRU without ResetGateAfter is refused:
in some versions of before that attribute, z and 1 − z had changed places.

All of this was checked against the format as described here, not against a running
ROOT.
"""

import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from custom_lstm.convert.arrays import (
    CellWeights,
    check_names,
    reorder,
)
from custom_lstm.convert.sources import is_layer
from custom_lstm.convert.tmva_layer import TMVALayer
from custom_lstm.files import atomic_write

LARGEST_FILE = 2**28
"""Bytes of XML that are read at most, unless more are allowed: 256 MiB."""
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMALS = re.compile(r"[-+.0-9eE \t\r\n]*")


class _Form(NamedTuple):
    """How TMVA writes one kind of layer: names in the order of the file.

    `order` tells where Keras's gates are among TMVA's; `sizes` are attributes of at
    least 1, `flags` those that are 0 or 1.
    """

    gates: tuple[tuple[str, str, str], ...]
    order: tuple[int, ...]
    sizes: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def children(self) -> list[str]:
        """Names of all children, in the order of the file."""
        return [name for gate in self.gates for name in gate]

    @property
    def weights(self) -> list[str]:
        """Names of the children with W's and U's, in the order of the file."""
        return [name for gate in self.gates for name in gate[:2]]

    @property
    def biases(self) -> list[str]:
        """Names of the children with biases."""
        return [gate[2] for gate in self.gates]


FORMS = {
    "RNNLayer": _Form(
        gates=(("InputWeights", "StateWeights", "Biases"),),
        order=(0,),
        sizes=("StateSize", "InputSize", "TimeSteps"),
        flags=("RememberState", "ReturnSequence"),
    ),
    "LSTMLayer": _Form(
        gates=(
            ("InputWeights", "InputStateWeights", "InputBiases"),
            ("ForgetWeights", "ForgetStateWeights", "ForgetBiases"),
            ("CandidateWeights", "CandidateStateWeights", "CandidateBiases"),
            ("OuputWeights", "OutputStateWeights", "OutputBiases"),
        ),
        order=(0, 1, 2, 3),
        sizes=("StateSize", "CellSize", "InputSize", "TimeSteps"),
        flags=("RememberState", "ReturnSequence"),
    ),
    "GRULayer": _Form(
        gates=(
            ("ResetWeights", "ResetStateWeights", "ResetBiases"),
            ("UpdateWeights", "UpdateStateWeights", "UpdateBiases"),
            ("CandidateWeights", "CandidateStateWeights", "CandidateBiases"),
        ),
        order=(1, 0, 2),
        sizes=("StateSize", "InputSize", "TimeSteps"),
        flags=("RememberState", "ReturnSequence", "ResetGateAfter"),
    ),
}
"""By name of the element."""


class TMVAFormatError(ValueError):
    """What is no TMVA weight file, or none that can be read; says where and why.

    Example:
        >>> from_tmva(b"<Weights>")
        Traceback (most recent call last):
        ...
        custom_lstm.convert.tmva.TMVAFormatError: the XML: malformed XML: ...
    """


def from_tmva(
    source: str | os.PathLike | bytes,
    interleaved: bool | None = None,
    max_bytes: int = LARGEST_FILE,
) -> list[TMVALayer]:
    """Return the recurrent layers of a TMVA weight file, with weights for Keras.

    The document may be a whole weight file, with other layers and anything around
    them; what is no recurrent layer is passed over. A GRU of TMVA has one bias: with
    ResetGateAfter, it is the first row of Keras's, and the second is 0.

    Args:
        source: path of the file, or its bytes.
        interleaved: whether the matrices are in the order of older files. By default
            found out from the shapes; to be said where they do not tell.
        max_bytes: larger files are refused.

    Returns:
        The layers in the order of the file, with float64 arrays, for `set_weights`.

    Raises:
        TMVAFormatError: if anything in the file is not as it should be; then nothing
            is returned.
        OSError: if the file cannot be read.

    Example:
        >>> weights = [np.ones((3, 8)), np.zeros((2, 8)), np.zeros(8)]
        >>> [layer] = from_tmva(to_tmva([TMVALayer(weights, time_steps=5)]))
        >>> layer.tag, layer.time_steps, [array.shape for array in layer.weights]
        ('LSTMLayer', 5, [(3, 8), (2, 8), (8,)])
    """
    if isinstance(source, bytes):
        name, xml = "the XML", source
    else:
        name = os.fspath(source)
        with Path(source).open("rb") as file:
            xml = file.read(max_bytes + 1)
    if len(xml) > max_bytes:
        raise TMVAFormatError(
            f"{name}: larger than {max_bytes} bytes; a larger `max_bytes` allows it"
        )
    try:
        elements = _parse(xml)
        if not elements:
            raise ValueError(f"there is none of {', '.join(FORMS)} in it")
        return [
            _from_element(f"{element.tag} {number}", element, interleaved)
            for number, element in enumerate(elements, start=1)
        ]
    except ValueError as error:
        raise TMVAFormatError(f"{name}: {error}") from error


def to_tmva(layers: Sequence[Any], interleaved: bool = False) -> bytes:
    """Return an XML document with the layers as TMVA writes them.

    The layers are in one `<Weights>`. A weight file of TMVA has more in it (variables,
    options, dense layers), which only TMVA knows: the elements are made to take the
    place of those in such a file.

    Numbers have enough digits to be read back exactly: 17 of float64, 9 of float32
    and less. Of a GRU's two biases TMVA has only the sum, which is enough for z and r,
    and for g if the second is 0 there. A missing bias is 0.

    Args:
        layers: in the order in which they follow one another; one of Keras counts as
            `TMVALayer(layer)`.
        interleaved: write the order of older files.

    Returns:
        The document, which `from_tmva` takes.

    Raises:
        ValueError: if there is no layer, a number is not finite, or a bias cannot be
            held.

    Example:
        >>> weights = [np.full((1, 1), 0.1), np.ones((1, 1)), np.zeros(1)]
        >>> print(to_tmva([TMVALayer(weights)]).decode())
        <?xml version="1.0"?>
        <Weights NetDepth="1">
        <RNNLayer StateSize="1" InputSize="1" TimeSteps="1" RememberState="0" ...>
        <InputWeights Rows="1" Columns="1">1.0000000000000001e-01</InputWeights>
        <StateWeights Rows="1" Columns="1">1.0000000000000000e+00</StateWeights>
        <Biases Rows="1" Columns="1">0.0000000000000000e+00</Biases>
        </RNNLayer>
        </Weights>
    """
    given = list(layers) if isinstance(layers, Sequence) else []
    several = [TMVALayer(one) if is_layer(one) else one for one in given]
    if not several or not all(isinstance(layer, TMVALayer) for layer in several):
        kinds = [type(layer).__name__ for layer in several] or type(layers).__name__
        raise ValueError(
            f"`layers` must be a list of at least one TMVALayer. Received: {kinds}"
        )
    elements = [
        _to_element(f"`layers[{k}]`", layer, interleaved)
        for k, layer in enumerate(several)
    ]
    return _document(elements)


def save_tmva(
    path: str | os.PathLike, layers: Sequence[Any], interleaved: bool = False
) -> None:
    """Write `to_tmva(layers, interleaved)` to a file, whole or not at all.

    Raises:
        ValueError: as `to_tmva`; a file that was there stays as it was.
        OSError: the folder is missing, full or not writable.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "weights.xml"
        >>> save_tmva(path, [TMVALayer([np.ones((3, 8)), np.ones((2, 8))])])
        >>> from_tmva(path)[0].tag
        'LSTMLayer'
    """
    xml = to_tmva(layers, interleaved)
    with atomic_write(path) as temporary:
        temporary.write_bytes(xml)


class _Element(NamedTuple):
    """A layer as it is in the file: its tag, attributes, and children by name."""

    tag: str
    attributes: dict[str, int]
    matrices: dict[str, np.ndarray]


def _from_element(where: str, element: _Element, interleaved: bool | None) -> TMVALayer:
    tag, attributes, matrices = element
    form = FORMS[tag]
    if interleaved is None:
        interleaved = _alternates(where, element)
    _check_sizes(where, element, interleaved)
    W, U = _split(form.weights, interleaved)
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


def _check_sizes(where: str, element: _Element, interleaved: bool) -> None:
    """Raise unless W are (u, F), U are (u, u), b are (u, 1), in their places."""
    tag, attributes, matrices = element
    units, features = attributes["StateSize"], attributes["InputSize"]
    if attributes.get("CellSize", units) != units:
        raise ValueError(
            f"{where}: CellSize must be StateSize={units}. "
            f"Received: {attributes['CellSize']}"
        )
    W, U = _split(FORMS[tag].weights, interleaved)
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


def _to_element(where: str, layer: TMVALayer, interleaved: bool) -> _Element:
    cell, form = layer.cell, FORMS[layer.tag]
    W, U = _split(form.weights, interleaved)
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
        "RememberState": int(bool(layer.remember_state)),
        "ReturnSequence": int(bool(layer.return_sequence)),
        "ResetGateAfter": int(bool(layer.reset_after)),
    }
    return _Element(
        layer.tag,
        {name: attributes[name] for name in (*form.sizes, *form.flags)},
        {name: matrices[name] for name in form.children},
    )


def _one_bias(where: str, cell: CellWeights) -> np.ndarray:
    """Return one bias for each gate, `(gates·units,)`."""
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


def _alternates(where: str, element: _Element) -> bool:
    """Return whether W and U alternate, as far as the second matrix tells."""
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


def _split(names: list[str], interleaved: bool) -> tuple[list[str], list[str]]:
    if interleaved:
        return names[::2], names[1::2]
    return names[: len(names) // 2], names[len(names) // 2 :]


def _parse(xml: bytes) -> list[_Element]:
    """Return the recurrent layers of a document; nothing else of it stays in memory."""
    target = _Layers()
    parser = XMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(xml)
        parser.close()
    except (ParseError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(f"malformed XML: {error}") from error
    except DefusedXmlException as error:
        raise ValueError(f"XML that declares types or entities: {error}") from error
    return target.found


def _document(elements: Sequence[_Element]) -> bytes:
    """Return the elements as XML, under one `<Weights>`: `_parse` gives them back."""
    lines = ['<?xml version="1.0"?>', f'<Weights NetDepth="{len(elements)}">']
    for number, (tag, attributes, matrices) in enumerate(elements, start=1):
        lines.append(f"<{tag}{_written(attributes)}>")
        for name, matrix in matrices.items():
            where = f"<{name}> of {tag} {number}"
            rows, columns = matrix.shape
            size = _written({"Rows": rows, "Columns": columns})
            lines.append(f"<{name}{size}>{' '.join(_words(where, matrix))}</{name}>")
        lines.append(f"</{tag}>")
    return "\n".join([*lines, "</Weights>", ""]).encode("ascii")


def _written(attributes: Mapping[str, int]) -> str:
    return "".join(f' {name}="{number}"' for name, number in attributes.items())


def _words(where: str, matrix: np.ndarray) -> Iterator[str]:
    if not np.isfinite(matrix).all():
        raise ValueError(f"{where} must hold finite numbers")
    return map(("%.16e" if matrix.itemsize > 4 else "%.8e").__mod__, matrix.flat)


class _Layers:
    """Collects layers from what the parser reports."""

    def __init__(self) -> None:
        self.found: list[_Element] = []
        self._layer: _Element | None = None
        self._shape: tuple[int, int] | None = None
        self._text: list[str] = []

    @property
    def _where(self) -> str:
        assert self._layer is not None
        return f"{self._layer.tag} {len(self.found) + 1}"

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take the beginning of an element."""
        if self._layer is None:
            if tag in FORMS:
                self._layer = _Element(tag, {}, {})
                self._layer.attributes.update(_attributes(self._where, tag, attributes))
            return
        if self._shape is not None or tag not in FORMS[self._layer.tag].children:
            raise ValueError(f"{self._where} must not hold <{tag[:40]}> there")
        if tag in self._layer.matrices:
            raise ValueError(f"{self._where} holds <{tag}> twice")
        where = f"<{tag}> of {self._where}"
        check_names(f"{where}: attributes", ("Rows", "Columns"), attributes)
        rows, columns = (_whole(where, n, attributes[n]) for n in ("Rows", "Columns"))
        self._shape = rows, columns

    def data(self, text: str) -> None:
        """Take text, or a part of it."""
        if self._shape is not None:
            self._text.append(text)
        elif self._layer is not None and text.strip():
            raise ValueError(f"{self._where} holds text: {text.strip()[:40]!r}")

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        if self._layer is None:
            return
        if self._shape is not None:
            where = f"<{tag}> of {self._where}"
            numbers = _numbers(where, "".join(self._text), self._shape)
            self._layer.matrices[tag] = numbers
            self._text.clear()
            self._shape = None
        else:
            children = FORMS[self._layer.tag].children
            check_names(self._where, children, self._layer.matrices)
            self.found.append(self._layer)
            self._layer = None


def _attributes(where: str, tag: str, attributes: Mapping[str, str]) -> dict[str, int]:
    form = FORMS[tag]
    given = {"ReturnSequence": "1", **attributes}
    check_names(f"{where}: attributes", [*form.sizes, *form.flags], given)
    numbers = {name: _whole(where, name, text) for name, text in given.items()}
    for name, number in numbers.items():
        if name in form.flags and number > 1:
            raise ValueError(f"{where}: {name} must be 0 or 1. Received: {number}")
        if name in form.sizes and number < 1:
            raise ValueError(f"{where}: {name} must be at least 1. Received: 0")
    return numbers


def _whole(where: str, name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(
            f"{where}: {name} must be a whole number below 10⁹. Received: {text[:40]!r}"
        )
    return int(text)


def _numbers(where: str, text: str, shape: tuple[int, int]) -> np.ndarray:
    words = text.split()
    rows, columns = shape
    if len(words) != rows * columns:
        raise ValueError(
            f"{where}: Rows={rows} and Columns={columns} make {rows * columns} "
            f"numbers. Received: {len(words)}"
        )
    if not _DECIMALS.fullmatch(text):
        word = next(word for word in words if not _DECIMALS.fullmatch(word))
        raise ValueError(f"{where}: not a decimal number: {word[:40]!r}")
    try:
        matrix = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError as error:
        raise ValueError(f"{where}: not a decimal number: {error}") from error
    if not np.isfinite(matrix).all():
        word = words[int(np.argmin(np.isfinite(matrix)))]
        raise ValueError(f"{where}: beyond float64: {word[:40]!r}")
    return matrix.reshape(shape)
