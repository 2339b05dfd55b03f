"""Every exported cell, and cells as users write them, in our RNN and in Keras's.

The same cell, with the same weights, runs in `custom_lstm.RNN` and in
`keras.layers.RNN`; a GRU and a simple cell run beside Keras's own layers and PyTorch's
too, and on TensorFlow everything beside the matrix products alone.
"""

from collections.abc import Callable
from importlib.util import find_spec

import keras
import numpy as np
import torch
from keras import ops
from layer import SHAPES, prepared, products, torch_layer
from timing import OURS, interleaved, summary

import custom_lstm
from custom_lstm import cells

IN_KERAS_RNN = "keras.layers.RNN, same cell"
LSTM_KERNEL = "custom_lstm.LSTM"
PRODUCTS = "matrix products"
OWN_LAYERS = {
    "gru": (custom_lstm.GRU, keras.layers.GRU, torch.nn.GRU),
    "simple": (custom_lstm.SimpleRNN, keras.layers.SimpleRNN, torch.nn.RNN),
}


class UserLSTM(custom_lstm.AbstractRNNCell):
    """An LSTM as a user would write it, in two halves."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.state_size = units, [units, units]

    def build(self, input_shape):
        self.W = self.add_weight(shape=(input_shape[-1], 4 * self.units))
        self.U = self.add_weight(shape=(self.units, 4 * self.units))
        self.b = self.add_weight(shape=(4 * self.units,), initializer="zeros")

    def project(self, inputs):
        return ops.matmul(inputs, self.W) + self.b

    def step(self, projected, states):
        h, c = states
        i, f, g, o = ops.split(projected + ops.matmul(h, self.U), 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


class WholeLSTM(UserLSTM):
    """The same with `call` alone, as a course asks."""

    def call(self, inputs, states):
        return self.step(self.project(inputs), states)


class UserMGU(custom_lstm.AbstractRNNCell):
    """A minimal gated unit (Zhou et al. 2016), in two halves."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.W = self.add_weight(shape=(input_shape[-1], 2 * self.units))
        self.U_f = self.add_weight(shape=(self.units, self.units))
        self.U_g = self.add_weight(shape=(self.units, self.units))

    def project(self, inputs):
        return ops.matmul(inputs, self.W)

    def step(self, projected, states):
        (h,) = states
        x_f, x_g = ops.split(projected, 2, axis=-1)
        f = ops.sigmoid(x_f + ops.matmul(h, self.U_f))
        g = ops.tanh(x_g + ops.matmul(f * h, self.U_g))
        h = (1 - f) * h + f * g
        return h, [h]


USERS = {
    "a user's LSTM": UserLSTM,
    "a user's LSTM, call alone": WholeLSTM,
    "a user's minimal gated unit": UserMGU,
}
FAMILY = (
    "lstm",
    "gru",
    "simple",
    "peephole",
    "layer_norm",
    "projected",
    "coupled",
    "zoneout",
    "carousel",
)
"""Cells that are measured where none are named, beside a user's."""
EVERY = (*cells.names(), *USERS)
GATES = {"gru": 3, "simple": 1, "coupled": 3, "a user's minimal gated unit": 2}
TORCHRECURRENT = {
    "antisymmetric": "AntisymmetricRNN",
    "atr": "ATR",
    "cfn": "CFN",
    "cornn": "coRNN",
    "fast": "FastRNN",
    "fast_grnn": "FastGRNN",
    "gated_antisymmetric": "GatedAntisymmetricRNN",
    "ind": "IndRNN",
    "janet": "JANET",
    "lem": "LEM",
    "li_gru": "LiGRU",
    "mgu": "MGU",
    "multiplicative": "MultiplicativeLSTM",
    "mut1": "MUT1",
    "mut2": "MUT2",
    "mut3": "MUT3",
    "nas": "NAS",
    "original": "OriginalLSTM",
    "peephole": "PeepholeLSTM",
    "ran": "RAN",
    "star": "STAR",
    "ugrnn": "UGRNN",
    "unicornn": "UnICORNN",
    "wmc_lstm": "WMCLSTM",
}
"""What torchrecurrent calls the layers of cells that both have."""


def make(name: str, units: int) -> keras.layers.Layer:
    """Return a new cell."""
    if name in USERS:
        return USERS[name](units)
    narrower = {"projection_units": max(1, units // 2)} if name == "projected" else {}
    return cells.get(name)(units, **narrower)


def measure(name: str, shape: str, train: bool, runs: int) -> dict:
    """Time one cell at one shape, in every layer that can run it."""
    batch, time, features, units = SHAPES[shape]
    sequences = {"return_sequences": True}
    layers = {
        OURS: custom_lstm.RNN(make(name, units), **sequences),
        IN_KERAS_RNN: keras.layers.RNN(make(name, units), **sequences),
    }
    if name in OWN_LAYERS:
        ours, theirs, _ = OWN_LAYERS[name]
        layers |= {OURS: ours(units, **sequences)}
        layers |= {f"keras.layers.{theirs.__name__}": theirs(units, **sequences)}
    if name in USERS:
        layers |= {LSTM_KERNEL: custom_lstm.LSTM(units, **sequences)}
    x, above = custom_data(SHAPES[shape], layers[OURS])
    candidates: dict[str, Callable[[], object]] = {
        key: prepared(layer, x, above, train) for key, layer in layers.items()
    }
    if keras.backend.backend() == "tensorflow":
        if name in OWN_LAYERS:
            its = OWN_LAYERS[name][2]
            candidates[f"torch.nn.{its.__name__}"] = torch_layer(
                its, x, above, units, train
            )
        if name in TORCHRECURRENT and find_spec("torchrecurrent"):
            candidates["torchrecurrent"] = torch_layer(
                _of_torchrecurrent(name), x, above, units, train
            )
        gates = GATES.get(name, 4)
        candidates[PRODUCTS] = products(SHAPES[shape], train, gates)
    found = summary(interleaved(candidates, runs))
    return {
        "shape": SHAPES[shape],
        "kernel": layers[OURS].loop_used,
        "candidates": found,
    }


def _of_torchrecurrent(name: str) -> Callable:
    """Return what makes torchrecurrent's layer of a cell."""
    import torchrecurrent

    def make(features: int, units: int, batch_first: bool) -> torch.nn.Module:
        made = getattr(torchrecurrent, TORCHRECURRENT[name])
        return made(features, units, batch_first=batch_first)

    return make


def custom_data(shape: tuple[int, int, int, int], layer: keras.layers.Layer):
    """Return inputs, and what the outputs are multiplied by to be differentiated."""

    batch, time, features, _ = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, time, features)).astype("float32")
    outputs = layer.compute_output_shape(x.shape)
    return x, rng.normal(size=outputs).astype("float32")
