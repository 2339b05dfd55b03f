"""Answers of exported layers in ONNX Runtime: its own operator, against a loop.

Beside them, our layer in TensorFlow.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
import onnxruntime
from layer import prepared
from timing import interleaved, summary

import custom_lstm
from custom_lstm import cells

SHAPES = {  # batch, time, features, units
    "32 of 100 steps": (32, 100, 64, 64),
    "64 of 50 steps": (64, 50, 64, 128),
    "one of 200 steps": (1, 200, 64, 64),
}
KINDS = {
    "LSTM": (custom_lstm.LSTM, cells.LSTMCell),
    "GRU": (custom_lstm.GRU, cells.GRUCell),
}
OPERATOR, LOOP, LAYER = "ONNX's own operator", "loop in ONNX", "the layer in Keras"


def measure(name: str, shape: tuple[int, int, int, int], runs: int) -> dict:
    """Time one kind of layer at one shape; both files have the same weights."""
    batch, time, features, units = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, time, features)).astype("float32")
    made, kind = KINDS[name]
    layer = made(units, return_sequences=True)

    class Other(kind):
        """The same cell by another class, for which ONNX has no operator."""

    loop = custom_lstm.RNN(Other(units), return_sequences=True)
    models = {}
    for key, one in ((OPERATOR, layer), (LOOP, loop)):
        models[key] = keras.Sequential([keras.Input((None, features)), one])
    loop.set_weights(layer.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        candidates = {
            key: _answering(custom_lstm.export(model, Path(folder) / f"{k}.onnx"), x)
            for k, (key, model) in enumerate(models.items())
        }
        candidates[LAYER] = prepared(layer, x, np.zeros((), "float32"), False)
        found = summary(interleaved(candidates, runs), OPERATOR)
    return {"shape": shape, "kernel": "ONNX Runtime", "candidates": found}


def _answering(made: custom_lstm.exporting.Exported, x: np.ndarray):
    session = onnxruntime.InferenceSession(made.path, None, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"input": x})
