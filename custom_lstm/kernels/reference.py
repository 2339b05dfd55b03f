"""The former path of `custom_lstm.numpy_reference`."""

from custom_lstm.numpy_reference import (
    GRU,
    LSTM,
    Gradients,
    RecurrentLayer,
    Run,
    SimpleRNN,
)

__all__ = ["GRU", "LSTM", "Gradients", "RecurrentLayer", "Run", "SimpleRNN"]
