"""Recurrent cells: one time step each."""

from custom_lstm.cells.contract import AbstractRNNCell
from custom_lstm.cells.gru import GRUCell
from custom_lstm.cells.initializers import Chrono, GatewiseOrthogonal
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.simple import SimpleRNNCell

__all__ = [
    "AbstractRNNCell",
    "Chrono",
    "GRUCell",
    "GatewiseOrthogonal",
    "LSTMCell",
    "SimpleRNNCell",
]
