"""Cells that compute all steps at once, against our loop around the same cell.

On TensorFlow, beside the scan by `keras.ops.associative_scan`, and what no layer can do
without: the product of the inputs.
"""

import keras
import numpy as np
from keras import ops
from layer import prepared
from timing import OURS, interleaved, summary

import custom_lstm
from custom_lstm import cells

SHAPES = {  # batch, time, features, units
    "one of 4,096 steps": (1, 4096, 64, 64),
    "one of 256 steps": (1, 256, 64, 64),
    "32 of 1,024 steps": (32, 1024, 64, 64),
}
CELLS = {
    "minGRU": cells.MinGRUCell,
    "minLSTM": cells.MinLSTMCell,
    "SRU": cells.SRUCell,
    "LMU": lambda units: cells.LMUCell(units, order=64, theta=512.0, recurrent=False),
}
LOOP, PRODUCT = "our loop", "x·W + b alone"
ASSOCIATIVE = "keras.ops.associative_scan"


class Associative(custom_lstm.RNN):
    """The same scan by Keras's operation."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        a, b = self.cell.linear(self.cell.project(sequences))
        state = ops.associative_scan(
            lambda left, right: (left[0] * right[0], right[0] * left[1] + right[1]),
            (a, b),
            axis=1,
        )[1]
        outputs = self.cell.read(self.cell.project(sequences), state)
        return outputs[:, -1], outputs, [state[:, -1]]


class Product(custom_lstm.RNN):
    """What the cell makes of the inputs before any step."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        outputs = self.cell.project(sequences)[..., : self.cell.units]
        return outputs[:, -1], outputs, initial_state


def measure(name: str, shape: tuple[int, int, int, int], train: bool, runs: int):
    """Time one cell at one shape; all candidates have the same cell."""
    batch, time, features, units = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, time, features)).astype("float32")
    above = rng.normal(size=(batch, time, units)).astype("float32")
    cell = CELLS[name](units)
    cell.build((None, features))
    made = {"return_sequences": True}
    layers = {
        OURS: custom_lstm.RNN(cell, kernel="scan", **made),
        LOOP: custom_lstm.RNN(cell, kernel="loop", **made),
        PRODUCT: Product(cell, **made),
    }
    if keras.backend.backend() == "tensorflow" and name in ("minGRU", "minLSTM"):
        layers[ASSOCIATIVE] = Associative(cell, **made)
    candidates = {
        key: prepared(layer, x, above, train) for key, layer in layers.items()
    }
    found = summary(interleaved(candidates, runs))
    return {"shape": shape, "kernel": layers[OURS].loop_used, "candidates": found}
