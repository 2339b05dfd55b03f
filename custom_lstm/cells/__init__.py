"""Recurrent cells: one time step each."""

import difflib
import re

import keras

from custom_lstm.cells.attentive import AttentiveLSTMCell, NTMCell
from custom_lstm.cells.base import AbstractRNNCell, takes_constants
from custom_lstm.cells.continuous import (
    AntisymmetricRNNCell,
    CoRNNCell,
    EchoStateCell,
    GatedAntisymmetricRNNCell,
    LEMCell,
    UnICORNNCell,
)
from custom_lstm.cells.convolutional import ConvGRUCell, ConvLSTMCell, ConvolutionalCell
from custom_lstm.cells.gru import GRUCell
from custom_lstm.cells.gru_kin import (
    JANETCell,
    LiGRUCell,
    MGUCell,
    MUT1Cell,
    MUT2Cell,
    MUT3Cell,
    STARCell,
    UGRNNCell,
)
from custom_lstm.cells.initializers import Chrono, ForgetBias, GatewiseOrthogonal
from custom_lstm.cells.layer_norm import LayerNormGRUCell, LayerNormSimpleRNNCell
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.lstm_kin import (
    MultiplicativeLSTMCell,
    NASCell,
    OriginalLSTMCell,
    RANCell,
    RHNCell,
)
from custom_lstm.cells.lstm_variants import (
    CarouselLSTMCell,
    CoupledLSTMCell,
    LayerNormLSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ZoneoutLSTMCell,
)
from custom_lstm.cells.memory import (
    LMUCell,
    MCLSTMCell,
    NAUCell,
    NAURegularizer,
    WMCLSTMCell,
)
from custom_lstm.cells.minimal import (
    ATRCell,
    CFNCell,
    FastGRNNCell,
    FastRNNCell,
    IndRNNCell,
    IRNNCell,
    SCRNCell,
)
from custom_lstm.cells.parallel import MinGRUCell, MinLSTMCell, SRUCell
from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.timed import CfCCell, LTCCell, PhasedLSTMCell
from custom_lstm.cells.validation import StateShape
from custom_lstm.cells.xlstm import MLSTMCell, SLSTMCell

__all__ = [
    "ATRCell",
    "AbstractRNNCell",
    "AntisymmetricRNNCell",
    "AttentiveLSTMCell",
    "CFNCell",
    "CarouselLSTMCell",
    "CfCCell",
    "Chrono",
    "CoRNNCell",
    "ConvGRUCell",
    "ConvLSTMCell",
    "CoupledLSTMCell",
    "EchoStateCell",
    "FastGRNNCell",
    "FastRNNCell",
    "ForgetBias",
    "GRUCell",
    "GatedAntisymmetricRNNCell",
    "GatewiseOrthogonal",
    "IRNNCell",
    "IndRNNCell",
    "JANETCell",
    "LEMCell",
    "LMUCell",
    "LSTMCell",
    "LTCCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormSimpleRNNCell",
    "LiGRUCell",
    "MCLSTMCell",
    "MGUCell",
    "MLSTMCell",
    "MUT1Cell",
    "MUT2Cell",
    "MUT3Cell",
    "MinGRUCell",
    "MinLSTMCell",
    "MultiplicativeLSTMCell",
    "NASCell",
    "NAUCell",
    "NAURegularizer",
    "NTMCell",
    "OriginalLSTMCell",
    "PeepholeLSTMCell",
    "PhasedLSTMCell",
    "ProjectedLSTMCell",
    "RANCell",
    "RHNCell",
    "SCRNCell",
    "SLSTMCell",
    "SRUCell",
    "STARCell",
    "SimpleRNNCell",
    "StateShape",
    "UGRNNCell",
    "UnICORNNCell",
    "WMCLSTMCell",
    "ZoneoutLSTMCell",
]


class AmbiguousName(ValueError):
    """Several registered cells of a user's own are called so."""


def names() -> tuple[str, ...]:
    """Return the short name of every cell that steps vectors, for options and tables.

    Those that attend to `constants` are left out. The name is the class's `short_name`,
    or made of the words of the class's name, in lower case, without "Cell", and without
    "LSTM" and "RNN" if other words remain.

    Example:
        >>> {"lstm", "peephole", "ind", "layer_norm_gru", "min_lstm"} <= set(names())
        True
    """
    return tuple(
        name
        for name, cell in _cells_by_name().items()
        if not issubclass(cell, ConvolutionalCell) and not takes_constants(cell)
    )


def get(name: str) -> type[AbstractRNNCell]:
    """Return a cell's class by its name.

    Args:
        name: one of `names()`; or the class's name, "LSTMCell", also in lower case and
            with or without "_" and "cell"; or the name under which Keras has
            registered a cell, "custom_lstm>LSTMCell". Registered cells of your own are
            found in the same ways, after this package's.

    Raises:
        ValueError: if there is no such cell; names the nearest.
        AmbiguousName: if several cells of your own are called so.

    Example:
        >>> get("lstm").__name__, get("layer_norm").__name__
        ('LSTMCell', 'LayerNormLSTMCell')
    """
    registered = keras.saving.get_registered_object(name)
    if isinstance(registered, type) and issubclass(registered, AbstractRNNCell):
        return registered
    sought = _letters(name)
    for short, cell in _cells_by_name().items():
        if sought in (_letters(short), _letters(cell.__name__)):
            return cell
    if own := _registered(sought):
        return own
    nearest = difflib.get_close_matches(str(name).lower(), names(), 1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(
        f"There is no cell {name!r}.{hint} The cells are {', '.join(names())}; a cell "
        "of your own must be registered, by keras.saving.register_keras_serializable."
    )


def _cells_by_name() -> dict[str, type[AbstractRNNCell]]:
    exported = [globals()[name] for name in __all__ if name != "AbstractRNNCell"]
    cells = [item for item in exported if issubclass(item, AbstractRNNCell)]
    return {short_name(cell): cell for cell in cells}


def _registered(letters: str) -> type[AbstractRNNCell] | None:
    """Return the one registered cell, if any, of a name that `get` was given."""
    found = {
        name: cell
        for name, cell in keras.saving.get_custom_objects().items()
        if isinstance(cell, type)
        and issubclass(cell, AbstractRNNCell)
        and letters in (_letters(short_name(cell)), _letters(cell.__name__))
    }
    if len({*found.values()}) > 1:
        raise AmbiguousName(
            f"{', '.join(sorted(found))} are all called so; name one of these."
        )
    return next(iter(found.values()), None)


def short_name(cell: type[AbstractRNNCell]) -> str:
    """Return the short name of a cell's class; see `names`.

    Example:
        >>> short_name(PeepholeLSTMCell)
        'peephole'
    """
    if "short_name" in vars(cell):
        return str(vars(cell)["short_name"])
    class_name = cell.__name__
    word = r"[A-Z]+\d*[A-Z]*(?![a-z])|[A-Z][a-z]*"  # "LSTM", "LSTM2D", "Layer"
    words = re.findall(word, class_name.removesuffix("Cell"))
    telling = [word for word in words if word not in ("LSTM", "RNN")]
    return "_".join(telling or words).lower()


def _letters(name: str) -> str:
    letters = re.sub(r"[^a-z0-9]", "", str(name).lower())
    return letters.removesuffix("cell")
