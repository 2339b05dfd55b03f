"""Times that can be compared: all candidates in turn, round after round."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import trange

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
        seconds: stop early once this much time has gone by, though not before
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


def summary(times: dict[str, np.ndarray], ours: str) -> dict[str, dict[str, float]]:
    """Median and quartiles in milliseconds, and each one's ratio to ours by rounds.

    A ratio of 2 says that the other takes twice our time.
    """
    found = {}
    for name, values in times.items():
        low, middle, high = np.percentile(1e3 * values, [25, 50, 75])
        ratio = np.percentile(values / times[ours], [25, 50, 75])
        found[name] = {
            "ms": middle,
            "ms_quartiles": [low, high],
            "times_ours": ratio[1],
            "times_ours_quartiles": [ratio[0], ratio[2]],
            "runs": len(values),
        }
    return found


def geometric_mean(values: list[float]) -> float:
    """The mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))
