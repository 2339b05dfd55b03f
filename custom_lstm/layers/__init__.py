"""Layers over whole sequences."""

from custom_lstm.layers.batch_normalization import BatchNormalization
from custom_lstm.layers.gru import GRU
from custom_lstm.layers.lstm import LSTM
from custom_lstm.layers.members import MemberShare, MemberVote
from custom_lstm.layers.recurrent_block import RecurrentBlock
from custom_lstm.layers.rnn import RNN
from custom_lstm.layers.simple import SimpleRNN
from custom_lstm.layers.time_distributed import TimeDistributed
from custom_lstm.layers.view_average import ViewAverage

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNormalization",
    "MemberShare",
    "MemberVote",
    "RecurrentBlock",
    "SimpleRNN",
    "TimeDistributed",
    "ViewAverage",
]
