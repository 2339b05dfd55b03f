"""The elements of TMVA's recurrent layers, read from XML that nobody vouches for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from custom_lstm.convert.arrays import check_names

LARGEST = 10**9 - 1
"""The largest number that an attribute may be."""
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMALS = re.compile(r"[-+.0-9eE \t\r\n]*")


class Form(NamedTuple):
    """How TMVA writes one kind of layer.

    Attributes:
        gates: names of the three children of each gate, in the order of the file.
        order: where Keras's gates are among TMVA's.
        sizes: names of the attributes that are at least 1.
        flags: names of those that are 0 or 1.
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
    "RNNLayer": Form(
        gates=(("InputWeights", "StateWeights", "Biases"),),
        order=(0,),
        sizes=("StateSize", "InputSize", "TimeSteps"),
        flags=("RememberState", "ReturnSequence"),
    ),
    "LSTMLayer": Form(
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
    "GRULayer": Form(
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
"""By name of the element, which ends in "Layer"."""


class Element(NamedTuple):
    """A layer as it stands in the file: its tag, attributes, and children by name."""

    tag: str
    attributes: dict[str, int]
    matrices: dict[str, np.ndarray]


def parse(xml: bytes) -> list[Element]:
    """The recurrent layers of a document, in its order; all else is passed over.

    Nothing is kept of what is passed over, so that memory is bounded by the numbers in
    the layers. Declarations of types and entities are refused.

    Raises:
        ValueError: if the XML is malformed, or a layer in it; says where.

    Example:

    >>> parse(b"<Weights><DenseLayer Width='4'/></Weights>")
    []
    """
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


def document(elements: Sequence[Element]) -> bytes:
    """The elements as XML, under one `<Weights>`: `parse` gives them back.

    Float64 numbers have 17 digits, others 9, as many as float32 needs.

    Raises:
        ValueError: if a number is not finite.

    Example:

    >>> document([])
    b'<?xml version="1.0"?>\\n<Weights NetDepth="0">\\n</Weights>\\n'
    """
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
    """What the parser tells of elements as they begin and end."""

    def __init__(self) -> None:
        self.found: list[Element] = []
        self._layer: Element | None = None
        self._shape: tuple[int, int] | None = None
        self._text: list[str] = []

    @property
    def _where(self) -> str:
        assert self._layer is not None
        return f"{self._layer.tag} {len(self.found) + 1}"

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if self._layer is None:
            if tag in FORMS:
                self._layer = Element(tag, {}, {})
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
        """Text, or a part of it."""
        if self._shape is not None:
            self._text.append(text)
        elif self._layer is not None and text.strip():
            raise ValueError(f"{self._where} holds text: {text.strip()[:40]!r}")

    def end(self, tag: str) -> None:
        """An element ends."""
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
    """The numbers that a layer's attributes are."""
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
    """The matrix in a text of decimal numbers."""
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
