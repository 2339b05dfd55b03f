"""Kill runs at random moments, half of them inside a save, and compare what comes out.

    python benchmarks/reliability/kills.py          200 kills over 20 runs
    python benchmarks/reliability/kills.py --keras  the same with Keras's own callbacks

A run counts as survived if it resumes after every kill and its last checkpoint is, byte
for byte, that of a run left alone: weights, optimizer, seed generators and history, so
no digit was repeated or left out. So must be the history and the weights that it kept
as its best. Whether a kill came inside a save, the dead process's memory says.
"""

import argparse
import math
import os
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import processes  # noqa: E402

LOOPS = ("fit", "custom")
TOO_LATE, IN_SAVE = processes.TOO_LATE, processes.IN_SAVE


def survive(work: Path, runs: int, kills: int, seed: int, epochs: int) -> Counter:
    """Kill `runs` runs `kills` times in all; count what became of them."""
    rng, log = np.random.default_rng(seed), work / "log"
    expected, seconds = {}, {}
    for loop in LOOPS[:runs]:
        runs_alone, words = work / f"alone-{loop}", _words(loop, epochs)
        process = processes.Process(processes.words_for(runs_alone, words), log)
        seconds[loop] = processes.wait_for_the_end(process, log)
        expected[loop] = _outcome(processes.only_run(runs_alone))
    counts: Counter = Counter()
    for number in range(runs):
        loop, folder = LOOPS[number % 2], work / f"run-{number}"
        words = _words(loop, epochs)

        def kill(longest, folder=folder, words=words):
            return processes.kill_once(folder, log, rng, longest, words=words)

        counts += _kill(kill, kills // runs, seconds[loop])
        run = processes.run_to_the_end(folder, log, words)
        same = _outcome(run) == expected[loop]
        counts["runs that came out identical"] += same
        counts["runs that came out otherwise"] += not same
        print(f"run {number + 1} of {runs}: {dict(counts)}", flush=True)
    return counts


def _kill(kill, times: int, seconds: float) -> Counter:
    """Kill a run so often, and on until half of them were inside a save.

    Args:
        kill: given the longest time to wait, or None for a save, says where it was.
        times: at least.
        seconds: in which a run has made its first saves.
    """
    counts: Counter = Counter()
    while counts.total() < times or counts[f"kills {IN_SAVE}"] < times // 2:
        missing = counts[f"kills {IN_SAVE}"] < times // 2
        where = kill(None if missing else seconds)
        if where == TOO_LATE:
            break
        counts[f"kills {where}"] += 1
    return counts


def _words(loop, epochs):
    words = [*processes.SMALL, "--loop", loop]
    words[words.index("--epochs") + 1] = str(epochs)
    return words


def _outcome(run):
    """All that must be equal, bytes for bytes: the last checkpoint, with weights,
    optimizer, seed generators and history, and what was kept as the best."""
    with zipfile.ZipFile(run.model) as model:
        best = model.read("model.weights.h5")
    return processes.last_checkpoint(run), best, run.history.read_bytes()


def survive_keras(work: Path, runs: int, kills: int, seed: int, epochs: int) -> Counter:
    """Return the same job, but with ModelCheckpoint and BackupAndRestore."""
    import keras_callbacks

    rng, log = np.random.default_rng(seed), work / "log"
    words = _words("fit", epochs)
    process = keras_callbacks.run(work / "alone", log, words)
    seconds = processes.wait_for_the_end(process, log)
    expected = keras_callbacks.weights(work / "alone")
    counts: Counter = Counter()
    for number in range(runs):
        folder = work / f"run-{number}"

        def kill(longest, folder=folder):
            process = keras_callbacks.run(folder, log, words)
            return processes.kill(process, rng, longest)

        counts += _kill(kill, kills // runs, seconds)
        if keras_callbacks.run(folder, log, words).wait():
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
    parser.add_argument("--epochs", type=int, default=24, help="9 steps each")
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
