"""Estimate what more devices bring, from a step's time and the network's bandwidth.

    python benchmarks/scaling.py                          a table of 2 to 256
    python benchmarks/scaling.py --step 0.005 --gigabits 400 --latency 5e-6
    python benchmarks/scaling.py --measure                beside it: 2 logical CPUs

A step of N devices is taken to last

    t(N) = s + c(N)        c(N) = 2·(N − 1)/N · G/B + m · 2·⌈log₂ N⌉·λ

s: the step of one device on its share; G: bytes of the gradients, summed around a ring;
B: bytes a second of the slowest link; m: all-reduces a step, most of them of a few
numbers (two forward and two backward for each of five batch normalisations, one for the
gradients), sent along a tree; λ: seconds from one device to the next. Nothing is hidden
behind the computing. Data are left out: every process warps its own share.
"""

import argparse
import math
import os
import subprocess
import sys
import time

DEVICES = (2, 4, 8, 16, 32, 64, 128, 256)


def communication(n: int, size: float, speed: float, latency: float, count: int):
    """Return the seconds in which `n` devices sum `size` bytes, `count` times."""
    hops = 2 * math.ceil(math.log2(n))
    return 2 * (n - 1) / n * size / speed + count * hops * latency


def rows(options, size: int):
    """Yield for each number of devices what a step sends, and both efficiencies."""
    speed = options.gigabits * 1e9 / 8
    for n in DEVICES:
        sent = 2 * (n - 1) / n * size
        c = communication(n, size, speed, options.latency, options.all_reduces)
        weak = options.step / (options.step + c)
        strong = options.step / n / (options.step / n + c)
        yield n, sent, c, weak, n * weak, n * strong


def table(options, size: int) -> str:
    """Return the estimate as Markdown."""
    heads = (
        "devices",
        "each sends, MB a step",
        "all-reduces, ms",
        "efficiency, a batch on each",
        "faster, a batch on each",
        "faster, one batch shared",
    )
    lines = [
        f"{options.step * 1e3:g} ms a step; {size / 1e6:.2f} MB of gradients; "
        f"{options.gigabits:g} Gbit/s, {options.latency * 1e6:g} µs, "
        f"{options.all_reduces} all-reduces a step.",
        "",
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
    ]
    for n, sent, c, weak, faster, strong in rows(options, size):
        shared = f"{strong:.1f} ×" if n <= options.batch else "–"
        lines.append(
            f"| {n} | {sent / 1e6:.2f} | {c * 1e3:.1f} | {100 * weak:.0f} % | "
            f"{faster:.1f} × | {shared} |"
        )
    return "\n".join(lines)


def gradient_bytes() -> int:
    """Return the bytes of the default model's gradients, float32."""
    from custom_lstm.tasks.digits.model import build
    from custom_lstm.tasks.digits.options import Config

    weights = build(Config().resolve_defaults("mnist")).trainable_variables
    return 4 * sum(math.prod(w.shape) for w in weights)


def seconds_a_step(words: list[str]) -> float:
    """Train the default model on fixed numbers; return the middle of 20 steps."""
    import keras
    import numpy as np
    import tensorflow as tf

    from custom_lstm.tasks.digits.model import build_compiled
    from custom_lstm.tasks.digits.options import Config
    from custom_lstm.training.distribution import assemble

    class Clock(keras.callbacks.Callback):
        times: list[float] = []

        def on_train_batch_end(self, batch, logs=None):
            self.times.append(time.perf_counter())

    config = Config.parse(words)
    group = assemble(config.parallel)
    config = config.resolve_defaults("mnist")
    size, length = config.optimisation.batch_size, config.data.length
    batch = tf.zeros((size, length, 28, 28, 1), "uint8"), tf.zeros((size, length, 1))
    with group.scope():
        model = build_compiled(config, 25)
        data = tf.data.Dataset.from_tensors(batch).repeat()
        model.fit(data, steps_per_epoch=25, verbose=0, callbacks=[Clock()])
    return float(np.median(np.diff(Clock.times)[4:]))


def measure() -> None:
    """Print a step's time on one device and on two halves of the same processor."""
    for words in ([], ["--strategy", "mirrored", "--devices", "2"]):
        done = subprocess.run(
            [sys.executable, __file__, "--once", *words],
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            check=True,
            capture_output=True,
            text=True,
        )
        print(f"{' '.join(words) or 'one device'}: {done.stdout.strip()} ms a step")


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        print(f"{seconds_a_step(sys.argv[2:]) * 1e3:.0f}")
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--step", type=float, default=0.043, help="s, in seconds")
    parser.add_argument("--batch", type=int, default=64, help="sequences in a batch")
    parser.add_argument("--gigabits", type=float, default=10, help="B, in Gbit/s")
    parser.add_argument("--latency", type=float, default=25e-6, help="λ, in seconds")
    parser.add_argument("--all-reduces", type=int, default=21, help="m")
    parser.add_argument("--measure", action="store_true", help="also time mirrored")
    options = parser.parse_args()
    print(table(options, gradient_bytes()))
    if options.measure:
        measure()


if __name__ == "__main__":
    main()
