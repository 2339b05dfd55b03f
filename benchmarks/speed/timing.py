"""Times that can be compared: all candidates take turns, round after round."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from tqdm import trange

OURS = "custom_lstm"
"""The name of this package's candidate, whose speedup over the others is measured."""
FEWEST = 20
"""Rounds below which no time limit ends a measurement."""
TURN = 0.03
"""Seconds that a candidate's turn should take, unless one run takes longer."""


class Trainer(NamedTuple):
    """A network that learns batch by batch.

    Args:
        step: takes images and totals, learns from them and returns the loss.
        answer: images → totals, `(batch, time)`.
    """

    step: Callable
    answer: Callable


def interleaved(
    candidates: dict[str, Callable[[], object]], runs: int, seconds: float = 20.0
) -> dict[str, np.ndarray]:
    """Run every candidate once a round, so that all see the same machine.

    The order changes from round to round, and what is over quickly runs several times
    in a row: PyTorch's threads spin for a while after its last operation, at the cost
    of whoever comes next.

    Args:
        candidates: functions by name, each of which waits for its own result.
        runs: rounds counted, after one that is not.
        seconds: stop early once this much time has passed, though not before
            `FEWEST` rounds.

    Returns:
        Seconds of every round, by name; medians where a turn is several runs.
    """
    rng = np.random.default_rng(0)
    turns: dict[str, int] = {}
    for name, run in candidates.items():
        run()
        turns[name] = max(1, round(TURN / _seconds(run)))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    begun = time.perf_counter()
    for done in trange(runs, desc=", ".join(candidates)[:50], leave=False):
        if done >= FEWEST and time.perf_counter() - begun > seconds:
            break
        for name in rng.permutation(list(candidates)):
            turn = [_seconds(candidates[name]) for _ in range(turns[name])]
            times[name].append(float(np.median(turn)))
    return {name: np.array(values) for name, values in times.items()}


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def summary(times: dict[str, np.ndarray], reference: str = OURS) -> dict[str, dict]:
    """Return medians and quartiles: of milliseconds, and of the reference's speedup.

    A speedup of 2 says that the reference takes half of the candidate's time; it is
    taken round by round.
    """
    found = {}
    for name, values in times.items():
        low, middle, high = np.percentile(1e3 * values, [25, 50, 75])
        speedup = np.percentile(values / times[reference], [25, 50, 75])
        found[name] = {
            "ms": middle,
            "ms_quartiles": [low, high],
            "speedup": speedup[1],
            "speedup_quartiles": [speedup[0], speedup[2]],
            "runs": len(values),
        }
    return found


def geometric_mean(values: list[float]) -> float:
    """Return the mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))


@contextmanager
def stepping_processes(
    commands: dict[str, list[str]],
) -> Iterator[dict[str, Callable[[], None]]]:
    """Start a Python process for each command, for what holds in a whole process.

    Args:
        commands: by name, the script and its arguments; it must call `serve`.

    Yields:
        By name, a function that lets the process take one step and waits for it. A
        process that waits uses no core.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = {
        name: subprocess.Popen([sys.executable, *command], **pipes)
        for name, command in commands.items()
    }
    try:
        yield {name: _remote_step(process) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def _remote_step(process: subprocess.Popen) -> Callable[[], None]:
    def step() -> None:
        process.stdin.write("\n")
        process.stdin.flush()
        if process.stdout.readline() != "\n":
            raise RuntimeError("a process that was measured has ended: see above why")

    return step


def serve(step: Callable[[], object]) -> None:
    """Take a step whenever a line comes from standard input; answer with one."""
    for _ in sys.stdin:
        step()
        print(flush=True)
