"""Recurrent cells: one time step each."""

from custom_lstm.cells.contract import AbstractRNNCell
from custom_lstm.cells.gru import GRUCell
from custom_lstm.cells.initializers import Chrono, ForgetBias, GatewiseOrthogonal
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.simple import SimpleRNNCell
from custom_lstm.cells.variants import (
    CoupledLSTMCell,
    LayerNormLSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ZoneoutLSTMCell,
)

__all__ = [
    "AbstractRNNCell",
    "Chrono",
    "CoupledLSTMCell",
    "ForgetBias",
    "GRUCell",
    "GatewiseOrthogonal",
    "LSTMCell",
    "LayerNormLSTMCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "SimpleRNNCell",
    "ZoneoutLSTMCell",
]
