"""Small models to be exported, and what runs them elsewhere."""

import keras
import numpy as np
from keras import layers

from custom_lstm import (
    GRU,
    LSTM,
    RNN,
    AbstractRNNCell,
    Bidirectional,
    CoupledLSTMCell,
    PeepholeLSTMCell,
    SimpleRNN,
    ZoneoutLSTMCell,
)

ALL = {"return_sequences": True}
FEATURES = 3


class Own(AbstractRNNCell):
    """A cell as a user writes it, with `call` alone."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        z, h = keras.ops.matmul(inputs, self.kernel), states[0]
        new = keras.ops.tanh(z + 0.5 * h)
        return new, [new]


class Apart(Own):
    """One of which the output is none of its states."""

    def call(self, inputs, states):
        new, states = super().call(inputs, states)
        return 2 * new + 1, states


MADE = {  # layers, and the operators that ONNX runs them by
    "LSTM": (lambda: [LSTM(4, **ALL)], ["LSTM"]),
    "LSTM, named kernel": (lambda: [LSTM(4, kernel="reference")], ["LSTM"]),
    "GRU": (lambda: [GRU(4, **ALL)], ["GRU"]),
    "GRU before": (lambda: [GRU(4, reset_after=False)], ["GRU"]),
    "SimpleRNN": (lambda: [SimpleRNN(4, go_backwards=True, **ALL)], ["RNN"]),
    "Keras's": (lambda: [layers.LSTM(4, use_bias=False, **ALL)], ["LSTM"]),
    "peephole": (lambda: [RNN(PeepholeLSTMCell(4), **ALL)], ["LSTM"]),
    "bidirectional": (lambda: [Bidirectional(LSTM(4, **ALL))], ["LSTM", "LSTM"]),
    "catalogue": (lambda: [RNN(CoupledLSTMCell(4), **ALL)], ["Scan"]),
    "zoneout": (lambda: [RNN(ZoneoutLSTMCell(4), go_backwards=True)], ["Scan"]),
    "a user's own": (lambda: [RNN(Own(4), **ALL)], ["Scan"]),
    "a stack of cells": (lambda: [RNN([Own(4), CoupledLSTMCell(3)])], ["Scan"]),
    "other activation": (lambda: [GRU(4, activation="softplus", **ALL)], ["Scan"]),
    "masked": (lambda: [layers.Masking(), LSTM(4, **ALL)], ["Scan"]),
    "masked, backwards": (
        lambda: [layers.Masking(), RNN(Apart(4), go_backwards=True, **ALL)],
        ["Scan"],
    ),
    "masked, zeros": (
        lambda: [layers.Masking(), RNN(Apart(4), zero_output_for_mask=True, **ALL)],
        ["Scan"],
    ),
    "masked, last": (lambda: [layers.Masking(), RNN(Apart(4))], ["Scan"]),
    "masked, both ways": (
        lambda: [layers.Masking(), Bidirectional(LSTM(4, **ALL))],
        ["Scan", "Scan"],
    ),
    "masked, Keras's": (lambda: [layers.Masking(), layers.GRU(4)], ["Scan"]),
    "stacked": (lambda: [LSTM(4, **ALL), GRU(5)], ["LSTM", "GRU"]),
    "stacked loops": (lambda: [RNN(Own(4), **ALL), RNN(Own(5))], ["Scan", "Scan"]),
}


def model_of(made, batch=None, time=None):
    """Return a functional model of layers, of which no weight is 0."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((time, FEATURES), batch_size=batch)
    outputs = inputs
    for layer in made:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(1)
    model.set_weights([w + rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


def sequences(batch, time):
    """Return sequences, of which the first one ends with steps of 0."""
    x = np.random.default_rng(batch).normal(size=(batch, time, FEATURES))
    x[0, time // 2 + 1 :] = 0
    return x.astype("float32")


def answer(model, x):
    """Return what a model answers, as an array."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def onnx_runner(path):
    """Return a file of ONNX as a function of arrays by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_outputs()]
    return lambda **given: dict(zip(names, session.run(names, given), strict=True))


def openvino_runner(path):
    """Return a file of OpenVINO as a function of arrays by name."""
    import openvino

    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(path), "CPU", precise)
    names = [output.get_any_name() for output in model.outputs]

    def run(**given):
        made = model(given)
        return {name: made[name] for name in names}

    return run
