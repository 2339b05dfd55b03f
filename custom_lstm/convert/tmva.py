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

import os
from collections.abc import Sequence
from pathlib import Path

from custom_lstm.convert.tmva_layer import TMVALayer, from_element, to_element
from custom_lstm.convert.tmva_xml import FORMS, document, parse
from custom_lstm.files import atomic_write

LARGEST_FILE = 2**28
"""Bytes of XML that are read at most, unless more are allowed: 256 MiB."""


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
    """The recurrent layers of a TMVA weight file, with weights for Keras.

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

    >>> import numpy as np
    >>> weights = [np.ones((3, 8)), np.zeros((2, 8)), np.zeros(8)]
    >>> [layer] = from_tmva(to_tmva([TMVALayer(weights, time_steps=5)]))
    >>> layer.tag, layer.time_steps, [array.shape for array in layer.weights]
    ('LSTMLayer', 5, [(3, 8), (2, 8), (8,)])
    """
    name, xml = _read(source, max_bytes)
    try:
        elements = parse(xml)
        if not elements:
            raise ValueError(f"there is none of {', '.join(FORMS)} in it")
        return [
            from_element(f"{element.tag} {number}", element, interleaved)
            for number, element in enumerate(elements, start=1)
        ]
    except ValueError as error:
        raise TMVAFormatError(f"{name}: {error}") from error


def to_tmva(layers: Sequence[TMVALayer], interleaved: bool = False) -> bytes:
    """An XML document with the layers as TMVA writes them, under one `<Weights>`.

    A weight file of TMVA has more in it (variables, options, dense layers), which only
    TMVA knows: the elements are made to take the place of those in such a file.

    Numbers have as many digits as bring back the same: 17 of float64, 9 of float32
    and less. What TMVA cannot hold: of a GRU's two biases it has the sum; that can be
    had for z and r, and for g if the second is 0 there. A missing bias is 0.

    Args:
        layers: in the order in which they follow one another.
        interleaved: write the order of older files.

    Returns:
        The document, which `from_tmva` takes.

    Raises:
        ValueError: if there is no layer, a number is not finite, or a bias cannot be
            held.

    Example:

    >>> import numpy as np
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
    several = list(layers) if isinstance(layers, Sequence) else []
    if not several or not all(isinstance(layer, TMVALayer) for layer in several):
        kinds = [type(layer).__name__ for layer in several] or type(layers).__name__
        raise ValueError(
            f"`layers` must be a list of at least one TMVALayer. Received: {kinds}"
        )
    return document(
        [
            to_element(f"`layers[{number}]`", layer, interleaved)
            for number, layer in enumerate(layers)
        ]
    )


def save_tmva(
    path: str | os.PathLike, layers: Sequence[TMVALayer], interleaved: bool = False
) -> None:
    """Write `to_tmva(layers, interleaved)` to a file, whole or not at all.

    Raises:
        ValueError: as `to_tmva`; a file that was there stays as it was.
        OSError: the folder is missing, full or not writable.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "weights.xml"
    >>> save_tmva(path, [TMVALayer([np.ones((3, 8)), np.ones((2, 8))])])
    >>> from_tmva(path)[0].tag
    'LSTMLayer'
    """
    xml = to_tmva(layers, interleaved)
    with atomic_write(path) as temporary:
        temporary.write_bytes(xml)


def _read(source: str | os.PathLike | bytes, max_bytes: int) -> tuple[str, bytes]:
    """What to call it in errors, and its bytes."""
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
    return name, xml
