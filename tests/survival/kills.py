"""Kill runs at random moments, half of them inside a save, and compare what comes out.

    python tests/survival/kills.py                  200 kills over 20 runs
    python tests/survival/kills.py --keras          the same with Keras's own callbacks

A run counts as survived if it goes on after every kill and its last checkpoint is, byte
for byte, that of a run left alone: weights, optimizer, seed generators and history, so
no digit was repeated or left out.
"""

import argparse
import math
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import processes  # noqa: E402

LOOPS = ("fit", "custom")
SAVE_SECONDS = 0.03


def survive(work: Path, runs: int, kills: int, seed: int) -> Counter:
    """Kill `runs` runs `kills` times in all; count what became of them."""
    rng = np.random.default_rng(seed)
    expected, seconds = {}, {}
    for loop in LOOPS[:runs]:
        began = time.monotonic()
        alone = processes.run_to_the_end(
            work / f"alone-{loop}", work / "log", _words(loop)
        )
        expected[loop] = processes.last_checkpoint(alone)
        seconds[loop] = time.monotonic() - began
    counts: Counter = Counter()
    for number in range(runs):
        loop, folder = LOOPS[number % 2], work / f"run-{number}"
        for kill in range(kills // runs):
            saving = bool(kill % 2)
            longest = SAVE_SECONDS if saving else 0.8 * seconds[loop]
            words = {"words": _words(loop)}
            killed = processes.kill_once(
                folder, work / "log", rng, longest, saving=saving, **words
            )
            counts["kills inside a save" if saving else "kills at any moment"] += killed
            counts["came too late, the run had ended"] += not killed
        run = processes.run_to_the_end(folder, work / "log", _words(loop))
        same = processes.last_checkpoint(run) == expected[loop]
        counts["runs that came out identical"] += same
        counts["runs that came out otherwise"] += not same
        print(f"run {number + 1} of {runs}: {dict(counts)}", flush=True)
    return counts


def _words(loop):
    return [*processes.SMALL, "--loop", loop]


def survive_keras(work: Path, runs: int, kills: int, seed: int) -> Counter:
    """The same job, but with ModelCheckpoint and BackupAndRestore."""
    import keras_callbacks

    rng = np.random.default_rng(seed)
    began = time.monotonic()
    keras_callbacks.run(work / "alone", work / "log").wait()
    expected = keras_callbacks.weights(work / "alone")
    seconds = time.monotonic() - began
    counts: Counter = Counter()
    for number in range(runs):
        folder = work / f"run-{number}"
        for kill in range(kills // runs):
            saving = bool(kill % 2)
            process = keras_callbacks.run(folder, work / "log")
            if saving:
                for _ in range(rng.integers(1, 6)):
                    while process.alive() and not process.saving.acquire(timeout=0.05):
                        pass
            time.sleep(rng.uniform(0, 0.1 if saving else 0.8 * seconds))
            killed = process.alive()
            process.signal(9)
            code = process.wait()
            counts["kills inside a save" if saving else "kills at any moment"] += killed
            if code not in (0, -9):
                counts["starts that failed after a kill"] += 1
                break
        code = keras_callbacks.run(folder, work / "log").wait()
        if code:
            counts["runs that cannot resume"] += 1
        else:
            found = keras_callbacks.weights(folder)
            same = all(map(np.array_equal, found, expected))
            counts["runs that came out identical"] += same
            counts["runs that came out otherwise"] += not same
        print(f"run {number + 1} of {runs}: {dict(counts)}", flush=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=200, help="in all runs together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keras", action="store_true", help="Keras's own callbacks")
    options = parser.parse_args()
    processes.ready()
    with tempfile.TemporaryDirectory() as work:
        how = survive_keras if options.keras else survive
        kills = math.ceil(options.kills / options.runs) * options.runs
        counts = how(Path(work), options.runs, kills, options.seed)
    for what, count in sorted(counts.items()):
        print(f"{count:6}  {what}")


if __name__ == "__main__":
    main()
