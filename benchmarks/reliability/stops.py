"""Stop runs by SIGTERM and by a NaN, and train one twice: what is left is as promised.

python benchmarks/reliability/stops.py     20 SIGTERMs, 10 NaNs, two equal processes
"""

import argparse
import functools
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import processes  # noqa: E402

LOOPS = ("fit", "custom")


def terminated(work: Path, times: int, seed: int = 0) -> int:
    """Terminate runs at random moments; count the good ends.

    Good is: exit code 143, not more than the step in hand was done after the signal,
    and that step is saved. Every second one is in the custom loop.
    """
    rng, good = np.random.default_rng(seed), 0
    for number in range(times):
        words = [*processes.SMALL, "--loop", LOOPS[number % 2]]
        runs, log = work / f"terminated-{number}", work / "log"
        process = processes.Process(processes.words_for(runs, words), log)
        while process.alive() and not process.steps_begun:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        then = process.steps_begun
        process.signal(signal.SIGTERM)
        code, done = process.wait(), process.steps_begun
        saved = [path.stem for path in processes.only_run(runs).checkpoints()[:1]]
        good += (code, saved) == (143, [f"step-{done:08}"]) and done - then <= 1
    return good


def poisoned(work: Path, times: int, seed: int = 0) -> int:
    """Put a NaN into one batch of a run, `times` times; count the good ends.

    Good is: exit code 1, that batch's step is named, and the last checkpoint is that of
    the step before and finite.
    """
    rng, good = np.random.default_rng(seed), 0
    for number in range(times):
        step = int(rng.integers(2, 55))
        words = [*processes.SMALL, "--head", "value", "--save-steps", "1"]
        words += ["--loop", LOOPS[number % 2]]
        runs, log = work / f"poisoned-{number}", work / f"poisoned-{number}.log"
        before = functools.partial(_poison, step)
        process = processes.Process(processes.words_for(runs, words), log, before)
        code = process.wait()
        [path, *_] = processes.only_run(runs).checkpoints()
        with np.load(path) as arrays:
            names = [name for name in arrays.files if not name.endswith(".json")]
            finite = all(np.isfinite(arrays[name]).all() for name in names)
        said = f": step {step}: the loss is nan." in log.read_text()
        good += code == 1 and said and path.stem == f"step-{step - 1:08}" and finite
    return good


def _poison(step: int) -> None:
    from custom_lstm import data

    make = data.training_sequences

    def spoilt(*args, **options):
        numbered = make(*args, **options).enumerate(1)
        return numbered.map(
            lambda n, batch: (batch[0], batch[1] * (np.nan if n == step else 1.0))
        )

    data.training_sequences = spoilt


def weights_of_two(work: Path) -> list[str]:
    """Train the same in two processes; return the SHA-256 that each said at its end."""
    found = []
    for name in ("first", "second"):
        log = work / f"{name}.log"
        words = [*processes.SMALL, "--deterministic"]
        processes.run_to_the_end(work / name, log, words)
        found += re.findall(r"weights \(SHA-256\) (\w{64})", log.read_text())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--nans", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    processes.ready()
    with tempfile.TemporaryDirectory() as folder:
        work, seed = Path(folder), options.seed
        stopped = terminated(work, options.signals, seed)
        print(
            f"SIGTERM: saved and gone within one step, {stopped} of {options.signals}",
            flush=True,
        )
        ended = poisoned(work, options.nans, seed)
        print(
            f"NaN in batch k: stopped at k, checkpoint finite, {ended} of "
            f"{options.nans}",
            flush=True,
        )
        first, second = weights_of_two(work)
        same = "the same" if first == second else "different"
        print(f"--deterministic, two processes: {same} weights\n  {first}\n  {second}")
    return int((stopped, ended, second) != (options.signals, options.nans, first))


if __name__ == "__main__":
    sys.exit(main())
