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


def survive(work: Path, runs: int, kills: int, seed: int, epochs: int) -> Counter:
    """Kill `runs` runs `kills` times in all; count what became of them."""
    rng = np.random.default_rng(seed)
    expected, seconds = {}, {}
    for loop in LOOPS[:runs]:
        words = _words(loop, epochs)
        seconds[loop] = processes.seconds_to_save(words, work / "log", work / "first")
        alone = processes.run_to_the_end(work / f"alone-{loop}", work / "log", words)
        expected[loop] = processes.last_checkpoint(alone)
    counts: Counter = Counter()
    for number in range(runs):
        loop, folder = LOOPS[number % 2], work / f"run-{number}"
        for kill in range(kills // runs):
            saving = bool(kill % 2)
            longest = SAVE_SECONDS if saving else seconds[loop]
            how = {"saving": saving, "words": _words(loop, epochs)}
            killed = processes.kill_once(folder, work / "log", rng, longest, **how)
            counts["kills inside a save" if saving else "kills at any moment"] += killed
            counts["came too late, the run had ended"] += not killed
        words = _words(loop, epochs)
        run = processes.run_to_the_end(folder, work / "log", words)
        same = processes.last_checkpoint(run) == expected[loop]
        counts["runs that came out identical"] += same
        counts["runs that came out otherwise"] += not same
        print(f"run {number + 1} of {runs}: {dict(counts)}", flush=True)
    return counts


def _words(loop, epochs):
    words = [*processes.SMALL, "--loop", loop]
    words[words.index("--epochs") + 1] = str(epochs)
    return words


def survive_keras(work: Path, runs: int, kills: int, seed: int, epochs: int) -> Counter:
    """The same job, but with ModelCheckpoint and BackupAndRestore."""
    import keras_callbacks

    rng = np.random.default_rng(seed)
    words = _words("fit", epochs)
    keras_callbacks.run(work / "alone", work / "log", words).wait()
    expected = keras_callbacks.weights(work / "alone")
    seconds = processes.seconds_to_save(words, work / "log", work / "first")
    counts: Counter = Counter()
    for number in range(runs):
        folder = work / f"run-{number}"
        for kill in range(kills // runs):
            saving = bool(kill % 2)
            process = keras_callbacks.run(folder, work / "log", words)
            if saving:
                process.wait_for_saves(rng.integers(1, 5))
            time.sleep(rng.uniform(0, 0.1 if saving else seconds))
            killed = process.alive()
            process.signal(9)
            code = process.wait()
            counts["kills inside a save" if saving else "kills at any moment"] += killed
            if code not in (0, -9):
                counts["starts that failed after a kill"] += 1
                break
        code = keras_callbacks.run(folder, work / "log", words).wait()
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
    parser.add_argument("--epochs", type=int, default=30, help="9 steps each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keras", action="store_true", help="Keras's own callbacks")
    options = parser.parse_args()
    processes.ready()
    with tempfile.TemporaryDirectory() as work:
        how = survive_keras if options.keras else survive
        kills = math.ceil(options.kills / options.runs) * options.runs
        counts = how(Path(work), options.runs, kills, options.seed, options.epochs)
    for what, count in sorted(counts.items()):
        print(f"{count:6}  {what}")


if __name__ == "__main__":
    main()
