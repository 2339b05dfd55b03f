"""Which cells add numbers at lengths that they never saw.

    python benchmarks/extrapolate.py                            three cells, ten seeds
    python benchmarks/extrapolate.py --cells carousel --seeds 7 --steps 3000

Digits come as one-hot vectors, are added with alternating signs, and a linear layer
reads the total at every step. Training sees sequences of up to 10 digits alone, with a
squared error, Adam, and a rate that rises linearly and falls along a cosine. Printed is
how often, in percent of 500 sequences, the last total is right: rounded, and behind
the slash added up in whole steps, as the digits' finished model does. A carousel cell
has half of its units for sums. TensorFlow only.
"""

import argparse
import os
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import tensorflow as tf
from tqdm import trange

import custom_lstm
from custom_lstm import cells
from custom_lstm.tasks.digits.model import WholeSteps

LONGEST, BATCH, TRIED = 10, 64, 500
WARM = 0.1
"""The part of the steps in which the rate rises."""


def sequences(rng, batch: int, length: int):
    """Draw digits `(batch, length, 10)` and their totals `(batch, length)`."""
    digits = rng.integers(0, 10, size=(batch, length))
    signs = 1 - 2 * (np.arange(length) % 2)
    totals = np.cumsum(digits * signs, axis=1)
    return np.eye(10, dtype="float32")[digits], totals.astype("float32")


def trained(cell: str, units: int, steps: int, rate: float, seed: int) -> keras.Model:
    """Return a network that has learned at lengths up to `LONGEST`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    layer = custom_lstm.RNN(cells.get(cell)(units), return_sequences=True)
    head = keras.layers.Dense(1, use_bias=cell != "carousel")
    model = keras.Sequential([keras.Input((None, 10)), layer, head])
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            totals = model(x, training=True)[..., 0]
            loss = tf.reduce_mean(tf.square(totals - y))
        variables = model.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )

    for k in trange(steps, desc=f"{cell}, seed {seed}", leave=False):
        done = (k + 1) / steps
        falling = 0.5 * (1 + np.cos(np.pi * max(0.0, done - WARM) / (1 - WARM)))
        optimizer.learning_rate.assign(rate * min(1.0, done / WARM) * falling)
        step(*sequences(rng, BATCH, LONGEST))
    return model


def right(model: keras.Model, length: int) -> str:
    """Return in how many percent of sequences the last total is right."""
    x, y = sequences(np.random.default_rng(length), TRIED, length)
    totals = model(x)
    whole = custom_lstm.RNN(WholeSteps())(totals)
    answers = np.round(totals)[:, -1, 0], np.asarray(whole)[:, 0]
    return "/".join(f"{100 * np.mean(answer == y[:, -1]):.1f}" for answer in answers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=["carousel", "lstm", "gru"])
    parser.add_argument("--seeds", nargs="+", type=int, default=range(100, 110))
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--lengths", nargs="+", type=int, default=[10, 20, 100, 1000])
    options = parser.parse_args()
    print("cell, seed, seconds; right at", *options.lengths)
    for cell in options.cells:
        for seed in options.seeds:
            begun = time.perf_counter()
            model = trained(cell, options.units, options.steps, options.rate, seed)
            took = time.perf_counter() - begun
            found = "  ".join(f"{right(model, n):>11}" for n in options.lengths)
            print(f"{cell:10} {seed}  {took:4.0f} s  {found}", flush=True)


if __name__ == "__main__":
    main()
