"""How cost grows with time, batch and units; graph nodes, first step, memory."""

import functools
import re
import subprocess
import sys
import time
from pathlib import Path

import job
import keras
import numpy as np
import tensorflow as tf
from timing import OURS, interleaved, summary

import custom_lstm
from custom_lstm.models import build_encoder


def _step(layer, x):
    layer(x)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            form = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(form, weights)

    return step


def measure_growth(short: bool) -> dict:
    """Return milliseconds of a training step along one axis at a time.

    Of an LSTM along time, batch and units; of the main job along the digits in a
    sequence, with 64 sequences.
    """
    times = (64, 128, 256) if short else (64, 128, 256, 512, 1024)
    axes = {
        "time": {t: _lstm_step(32, t, 64) for t in times},
        "batch": {b: _lstm_step(b, 64, 64) for b in (16, 32, 64, 128)},
        "units": {u: _lstm_step(32, 64, u) for u in (32, 64, 128, 256)},
        "digits": {n: job.our_step(n) for n in ((2, 4) if short else (2, 4, 8, 16))},
    }
    found = {}
    for axis, steps in axes.items():
        candidates = {str(size): step for size, step in steps.items()}
        measured = interleaved(candidates, 5 if short else 20, seconds=30)
        found[axis] = {size: 1e3 * float(np.median(t)) for size, t in measured.items()}
    return found


def _lstm_step(batch: int, length: int, units: int):
    x = tf.ones((batch, length, 64))
    step = _step(custom_lstm.LSTM(units, return_sequences=True), x)
    return lambda: step(x)


WRAPPED = {
    "Dense": ((64,), lambda: keras.layers.Dense(64)),
    "Conv2D": ((28, 28, 1), lambda: keras.layers.Conv2D(24, 5, strides=2)),
    "encoder": ((28, 28, 1), build_encoder),
}
"""What is applied at every time step: the shape of its input, and how it is made."""


def measure_time_distributed(short: bool) -> dict:
    """Time training steps of layers at every time step, and of the layer alone.

    The layer alone is given all steps as one batch: no wrapper can be faster.
    """
    found = {}
    for wrapped, (shape, make) in WRAPPED.items():
        for length in (6, 12) if short else (6, 12, 20, 40):
            x, flat = tf.ones((32, length, *shape)), tf.ones((32 * length, *shape))
            entrants = {
                OURS: (custom_lstm.TimeDistributed(make()), x),
                "Keras": (keras.layers.TimeDistributed(make()), x),
                "the layer alone": (make(), flat),
            }
            candidates, nodes = {}, {}
            for name, (layer, inputs) in entrants.items():
                step = _step(layer, inputs)
                candidates[name] = functools.partial(step, inputs)
                nodes[name] = _nodes(step, inputs)
            rows = summary(interleaved(candidates, 20, seconds=30))
            found[f"{wrapped}, {length} steps"] = {
                name: row | {"nodes": nodes[name]} for name, row in rows.items()
            }
    return found


def measure_start(short: bool) -> dict:
    """Return seconds of the import and to the first step, and graph nodes."""
    found = {
        f"import {name}": {"seconds": min(_import_seconds(name) for _ in range(3))}
        for name in ("keras", "custom_lstm")
    }
    for length in (4, 32) if short else (4, 32, 256):
        for name, kind in ((OURS, custom_lstm.LSTM), ("Keras", keras.layers.LSTM)):
            x = tf.ones((32, length, 64))
            started = time.perf_counter()
            step = _step(kind(64, return_sequences=True), x)
            step(x)
            seconds = time.perf_counter() - started
            found[f"{name}, {length} steps"] = {
                "seconds": seconds,
                "nodes": _nodes(step, x),
            }
    return found


def _import_seconds(name: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
    return time.perf_counter() - started


def _nodes(step, x) -> int:
    graph = step.get_concrete_function(x).graph.as_graph_def()
    inner = sum(len(function.node_def) for function in graph.library.function)
    return len(graph.node) + inner


def measure_memory(short: bool) -> dict:
    """Return peak memory in MiB of a process that takes ten steps, by length."""
    found = {}
    for length in (64,) if short else (64, 256, 1024):
        for name in MEMORY:
            command = [sys.executable, __file__, name, str(length)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[f"{name}, {length} steps"] = int(done.stdout) / 1024
    return found


def _peak_kib() -> int:
    """Return this process's own; `ru_maxrss` would count the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def _torch_step(length: int):
    import torch

    x = torch.ones((64, length, 64))
    layer = torch.nn.LSTM(64, 128, batch_first=True)
    return lambda: torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))


def _keras_step(kind, length: int):
    x = tf.ones((64, length, 64))
    step = _step(kind(128, return_sequences=True), x)
    return lambda: step(x)


MEMORY = {
    "custom_lstm.LSTM": functools.partial(_keras_step, custom_lstm.LSTM),
    "keras.layers.LSTM": functools.partial(_keras_step, keras.layers.LSTM),
    "torch.nn.LSTM": _torch_step,
    "custom_lstm.GRU": functools.partial(_keras_step, custom_lstm.GRU),
    "keras.layers.GRU": functools.partial(_keras_step, keras.layers.GRU),
}
"""What makes a training step of each at (64, length, 64, 128)."""


if __name__ == "__main__":
    step = MEMORY[sys.argv[1]](int(sys.argv[2]))
    for _ in range(10):
        step()
    print(_peak_kib())
