"""First calls: what is traced, optimised and compiled before the first answer.

Every run makes a new layer and a new function; what TensorFlow or the package does
once a process is over before the first that counts.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from timing import OURS, interleaved, summary

import custom_lstm
from custom_lstm import cells

SHAPE = 32, 50, 16, 64
"""Batch, time, features, units."""
LOOPED, LONG = 65, 8000
"""Steps that are not written out; of a long sequence, of which there are four."""
KINDS = {
    "LSTM": (custom_lstm.LSTM, keras.layers.LSTM),
    "GRU": (custom_lstm.GRU, keras.layers.GRU),
    "SimpleRNN": (custom_lstm.SimpleRNN, keras.layers.SimpleRNN),
    "peephole LSTM": tuple(
        lambda units, kind=kind, **options: kind(
            cells.PeepholeLSTMCell(units), **options
        )
        for kind in (custom_lstm.RNN, keras.layers.RNN)
    ),
}
"""Ours and Keras's: its layer of the same name, or its RNN around the same cell."""


def _model(make, time: int) -> keras.Model:
    _, _, features, units = SHAPE
    layers = [keras.Input((time, features)), make(units), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def _data(time: int, batch: int = SHAPE[0]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, time, SHAPE[2])).astype("float32")


def _penalty(make) -> None:
    """Learn once from the norm of a gradient: a second derivative."""
    model, x = _model(make, SHAPE[1]), tf.constant(_data(SHAPE[1]))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(x)
                scores = tf.reduce_sum(model(x, training=True))
            slope = inner.gradient(scores, x)
            loss = tf.reduce_mean((tf.norm(slope, axis=(1, 2)) - 1) ** 2)
        return tape.gradient(loss, model.trainable_weights)

    step(x)


def _fit(make, time: int, xla: bool) -> None:
    model, x = _model(make, time), _data(time)
    model.compile("adam", "mse", jit_compile=xla)
    model.fit(x, np.zeros((len(x), 1)), verbose=0)


def _predict(make) -> None:
    model = _model(make, LONG)
    model.compile(jit_compile=False)
    model.predict(_data(LONG, 4), verbose=0)


WHAT: dict[str, Callable] = {
    "gradient penalty": _penalty,
    "fit, XLA": lambda make: _fit(make, SHAPE[1], True),
    "fit, no XLA": lambda make: _fit(make, SHAPE[1], False),
    "fit, no XLA, looped": lambda make: _fit(make, LOOPED, False),
    "predict, no XLA, 8,000 steps": _predict,
}


def measure(name: str, what: str, runs: int) -> dict:
    """Time one kind of layer's first calls."""
    ours, stock = KINDS[name]
    candidates = {
        OURS: lambda: WHAT[what](ours),
        "keras": lambda: WHAT[what](stock),
    }
    found = summary(interleaved(candidates, runs, seconds=0))
    return {"shape": SHAPE, "kernel": "first calls", "candidates": found}
