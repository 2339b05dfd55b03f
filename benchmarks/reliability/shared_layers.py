"""Threads that share a layer must each get the answers to their own inputs.

    python benchmarks/reliability/shared_layers.py --threads 8 --calls 1000

lets so many threads call each layer so often, with inputs of their own, all of one
shape, and prints how many answers were wrong and how many calls failed. Both must be 0;
else the exit code is 1. KERAS_BACKEND chooses the backend.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable

import keras
import numpy as np

import custom_lstm

UNITS, BATCH, STEPS = 3, 2, 5
LAYERS: dict[str, Callable[[], keras.layers.Layer]] = {
    "LSTM": lambda: custom_lstm.LSTM(UNITS),
    "GRU": lambda: custom_lstm.GRU(UNITS),
    "SimpleRNN": lambda: custom_lstm.SimpleRNN(UNITS),
    "peephole": lambda: custom_lstm.RNN(custom_lstm.PeepholeLSTMCell(UNITS)),
    "bidirectional": lambda: keras.layers.Bidirectional(custom_lstm.LSTM(UNITS)),
}


def count(layer: keras.layers.Layer, threads: int, calls: int) -> tuple[int, int]:
    """Return how many answers were wrong, and how many calls failed."""
    rng = np.random.default_rng(0)
    shape = (threads, BATCH, STEPS, UNITS)  # as wide as the states: no shape tells
    inputs = [keras.ops.convert_to_tensor(x) for x in rng.normal(size=shape)]
    inputs = [keras.ops.cast(x, "float32") for x in inputs]
    expected = [keras.ops.convert_to_numpy(layer(x)) for x in inputs]
    wrong, failed, begin = [0] * threads, [0] * threads, threading.Barrier(threads)

    def call(k: int) -> None:
        begin.wait()
        for _ in range(calls):
            try:
                found = keras.ops.convert_to_numpy(layer(inputs[k]))
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                failed[k] += 1
                print(f"{layer.name}: {error!r}", file=sys.stderr)
            else:
                wrong[k] += not np.allclose(found, expected[k], atol=1e-5)

    running = [threading.Thread(target=call, args=(k,)) for k in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(wrong), sum(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--calls", type=int, default=1000, help="of each thread")
    parser.add_argument("--only", choices=LAYERS, action="append")
    asked = parser.parse_args()
    columns = ("calls", "wrong", "failed", "seconds")
    print(f"{keras.backend.backend():14}{''.join(f'{name:>10}' for name in columns)}")
    bad = 0
    for name in asked.only or LAYERS:
        began = time.perf_counter()
        wrong, failed = count(LAYERS[name](), asked.threads, asked.calls)
        took = time.perf_counter() - began
        calls = asked.threads * asked.calls
        print(f"{name:14}{calls:10,}{wrong:10,}{failed:10,}{took:10.0f}", flush=True)
        bad += wrong + failed
    print(json.dumps({"bad": bad}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
