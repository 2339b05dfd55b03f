"""How cost grows: with time, batch and units; graph nodes, first step, memory."""

import resource
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from timing import interleaved

import custom_lstm


def _step(layer, x):
    layer(x)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            form = tf.reduce_sum(layer(x))
        return tape.gradient(form, weights)

    return step


def measure_growth(short: bool) -> dict:
    """Milliseconds of an LSTM's training step along one axis at a time."""
    times = (64, 128, 256) if short else (64, 128, 256, 512, 1024)
    axes = {
        "time": [(32, t, 64, 64) for t in times],
        "batch": [(b, 64, 64, 64) for b in (16, 32, 64, 128)],
        "units": [(32, 64, 64, u) for u in (32, 64, 128, 256)],
    }
    found = {}
    for axis, shapes in axes.items():
        candidates = {}
        for batch, length, features, units in shapes:
            x = tf.ones((batch, length, features))
            step = _step(custom_lstm.LSTM(units, return_sequences=True), x)
            size = {"time": length, "batch": batch, "units": units}[axis]
            candidates[str(size)] = lambda step=step, x=x: step(x)
        measured = interleaved(candidates, 20, seconds=30)
        found[axis] = {size: 1e3 * float(np.median(t)) for size, t in measured.items()}
    return found


def measure_time_distributed(short: bool) -> dict:
    """Training step of a convolution at every time step, ours over Keras's."""
    found = {}
    for length in (6, 12) if short else (6, 12, 20, 40):
        x, candidates, nodes = tf.ones((32, length, 28, 28, 1)), {}, {}
        for name, wrapper in (
            ("ours", custom_lstm.TimeDistributed),
            ("Keras's", keras.layers.TimeDistributed),
        ):
            step = _step(wrapper(keras.layers.Conv2D(24, 5, strides=2)), x)
            candidates[name] = lambda step=step, x=x: step(x)
            graph = step.get_concrete_function(x).graph.as_graph_def()
            nodes[name] = len(graph.node) + sum(
                len(function.node_def) for function in graph.library.function
            )
        times = interleaved(candidates, 20, seconds=30)
        ratio = np.percentile(times["Keras's"] / times["ours"], [25, 50, 75])
        found[str(length)] = {"times_ours": list(ratio), "nodes": nodes}
    return found


def measure_start(short: bool) -> dict:
    """Seconds to the first step, and graph nodes, at several lengths."""
    found = {}
    for length in (4, 32) if short else (4, 32, 256):
        for name, kind in (("ours", custom_lstm.LSTM), ("Keras's", keras.layers.LSTM)):
            x = tf.ones((32, length, 64))
            started = time.perf_counter()
            step = _step(kind(64, return_sequences=True), x)
            step(x)
            seconds = time.perf_counter() - started
            graph = step.get_concrete_function(x).graph.as_graph_def()
            nodes = len(graph.node) + sum(
                len(function.node_def) for function in graph.library.function
            )
            found[f"{name}, {length} steps"] = {"seconds": seconds, "nodes": nodes}
    return found


def measure_memory() -> dict:
    """Peak memory in MiB of a process that takes ten steps, by layer and length."""
    found = {}
    for length in (64, 256, 1024):
        for name in ("custom_lstm", "keras.layers"):
            done = subprocess.run(
                [sys.executable, __file__, name, str(length)],
                capture_output=True,
                text=True,
                check=True,
            )
            found[f"{name}.LSTM, {length} steps"] = int(done.stdout) / 1024
    return found


if __name__ == "__main__":
    kind, length = sys.argv[1:]
    LSTM = custom_lstm.LSTM if kind == "custom_lstm" else keras.layers.LSTM
    x = tf.ones((64, int(length), 64))
    step = _step(LSTM(128, return_sequences=True), x)
    for _ in range(10):
        step(x)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
