"""Write, prove, run and understand recurrent cells in Keras 3."""

import importlib
from typing import Any

from custom_lstm.extras import backend

with backend():
    importlib.import_module("keras")

from custom_lstm import cells as cells
from custom_lstm import heads as heads  # registers the classes of the heads
from custom_lstm.cells import *  # noqa: F403  every cell is exported here too
from custom_lstm.checking import cell_checks, check_cell
from custom_lstm.exporting import export
from custom_lstm.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    RecurrentBlock,
    SimpleRNN,
    TimeDistributed,
    get_states,
    reset_states,
    set_states,
)
from custom_lstm.streaming import Stream
from custom_lstm.tracing import trace
from custom_lstm.version import __version__

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "RecurrentBlock",
    "SimpleRNN",
    "Stream",
    "TimeDistributed",
    "__version__",
    "cell_checks",
    "check_cell",
    "export",
    "get_states",
    "reset_states",
    "set_states",
    "trace",
]
__all__ += cells.__all__

_LAZY = ("convert", "data", "models", "plots", "training")  # heavy imports wait here


def __getattr__(name: str) -> Any:
    """Import a heavy module, or `plots.explore`, when it is first used (PEP 562)."""
    if name in _LAZY:
        return importlib.import_module(f"custom_lstm.{name}")
    if name == "explore":
        return importlib.import_module("custom_lstm.plots").explore
    raise AttributeError(f"module 'custom_lstm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, "explore"])
