"""Layers over whole sequences."""

from custom_lstm.layers import catalogue as _catalogue
from custom_lstm.layers.batch_normalization import BatchNormalization
from custom_lstm.layers.bidirectional import Bidirectional
from custom_lstm.layers.carried import get_states, reset_states, set_states
from custom_lstm.layers.catalogue import *  # noqa: F403  a layer for each cell
from custom_lstm.layers.ensemble import EnsembleMean, EnsembleSplit
from custom_lstm.layers.gru import GRU
from custom_lstm.layers.lstm import LSTM
from custom_lstm.layers.of_cells import CellRNN, layer_class_of
from custom_lstm.layers.recurrent_block import RecurrentBlock
from custom_lstm.layers.rnn import RNN
from custom_lstm.layers.simple_rnn import SimpleRNN
from custom_lstm.layers.time_distributed import TimeDistributed
from custom_lstm.layers.view_average import ViewAverage

MemberShare, MemberVote = EnsembleSplit, EnsembleMean
"""Names of an earlier version."""

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNormalization",
    "Bidirectional",
    "CellRNN",
    "EnsembleMean",
    "EnsembleSplit",
    "RecurrentBlock",
    "SimpleRNN",
    "TimeDistributed",
    "ViewAverage",
    "get_states",
    "layer_class_of",
    "reset_states",
    "set_states",
]
__all__ += [name for name in vars(_catalogue) if not name.startswith("_")]
