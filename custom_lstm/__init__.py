"""Write, prove, run and understand recurrent cells in Keras 3."""

from custom_lstm.cells.contract import AbstractRNNCell
from custom_lstm.cells.lstm import LSTMCell

__version__ = "0.1.0"

__all__ = ["AbstractRNNCell", "LSTMCell"]
