"""Variants of the LSTM from the literature, each in a module with its paper."""

from custom_lstm.cells.variants.coupled import CoupledLSTMCell
from custom_lstm.cells.variants.layer_norm import LayerNormLSTMCell
from custom_lstm.cells.variants.peephole import PeepholeLSTMCell
from custom_lstm.cells.variants.projected import ProjectedLSTMCell
from custom_lstm.cells.variants.zoneout import ZoneoutLSTMCell

__all__ = [
    "CoupledLSTMCell",
    "LayerNormLSTMCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "ZoneoutLSTMCell",
]
