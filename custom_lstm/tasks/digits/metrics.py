"""Scores of answers: exact match, errors, baselines and ceiling."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def score(
    answers: npt.ArrayLike, totals: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> dict[str, Any]:
    """Score answers against true totals.

    Args:
        answers: `(sequences, time)`, real or whole; rounded for exact match.
        totals: `(sequences, time)`, whole.
        mask: `(sequences, time)`, 0 where a step is padding.

    Returns:
        `exact` (mean over positions), `exact_per_position`, `exact_sequence`
        (share of sequences with every step right), `mae`, `rmse` (over all
        steps) and `steps`, the number of steps scored.

    Raises:
        ValueError: the shapes differ or no step is left.

    Example:
        >>> score([[1.2, 3.0], [0.0, 2.0]], [[1, 3], [0, 1]])["exact_per_position"]
        [1.0, 0.5]
    """
    answers = np.asarray(answers, np.float64)
    totals = np.asarray(totals, np.float64)
    weights = np.ones_like(totals) if mask is None else np.asarray(mask, np.float64)
    if not answers.shape == totals.shape == weights.shape or totals.ndim != 2:
        raise ValueError(
            "answers, totals and mask must have one shape (sequences, time). Received: "
            f"{answers.shape}, {totals.shape}, {weights.shape}"
        )
    if not weights.any(axis=0).all():
        raise ValueError("every position needs at least one step that is not masked")
    right = np.rint(answers) == totals
    error = np.abs(answers - totals)
    per_position = np.average(right, axis=0, weights=weights)
    return {
        "exact": float(per_position.mean()),
        "exact_per_position": per_position.tolist(),
        "exact_sequence": float((right | (weights == 0)).all(axis=1).mean()),
        "mae": float(np.average(error, weights=weights)),
        "rmse": float(np.sqrt(np.average(error**2, weights=weights))),
        "steps": int(weights.sum()),
    }


def total_distribution(
    digit_shares: npt.ArrayLike, signs: Iterable[int]
) -> list[tuple[npt.NDArray[np.int64], Floats]]:
    """Return the distribution of the running total after each sign.

    p_t(y) = Σ_d p(d) p_{t−1}(y − s_t d), digits drawn independently.

    Args:
        digit_shares: probability of each digit, `(10,)`.
        signs: +1 or −1 for each position.

    Returns:
        For each position the possible totals and their probabilities.

    Example:
        >>> values, shares = total_distribution([0.5, 0.5] + [0] * 8, [1, -1])[1]
        >>> dict(zip(values.tolist(), shares.tolist()))[0]
        0.5
    """
    shares = np.asarray(digit_shares, np.float64)
    values, probabilities, positions = np.zeros(1, np.int64), np.ones(1), []
    for sign in signs:
        step = shares if sign > 0 else shares[::-1]
        lowest = values[0] + (0 if sign > 0 else 1 - len(shares))
        probabilities = np.convolve(probabilities, step)
        values = lowest + np.arange(len(probabilities))
        positions.append((values, probabilities))
    return positions


def blind_answers(
    digit_shares: npt.ArrayLike, signs: Iterable[int]
) -> dict[str, Floats]:
    """Return the best answers without seeing the images.

    Args:
        digit_shares: probability of each digit, `(10,)`.
        signs: +1 or −1 for each position.

    Returns:
        `mean`, `median` and `mode` of the total at each position, `(time,)`.

    Example:
        >>> blind_answers(np.full(10, 0.1), [1, -1])["mean"].tolist()
        [4.5, 0.0]
    """
    answers: dict[str, list[float]] = {"mean": [], "median": [], "mode": []}
    for values, probabilities in total_distribution(digit_shares, signs):
        answers["mean"].append(float(values @ probabilities))
        middle = np.searchsorted(np.cumsum(probabilities), 0.5 - 1e-12)
        answers["median"].append(float(values[middle]))
        answers["mode"].append(float(values[probabilities.argmax()]))
    return {name: np.round(column, 9) + 0.0 for name, column in answers.items()}


def baselines(
    digit_shares: npt.ArrayLike,
    signs: Iterable[int],
    totals: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
) -> dict[str, dict[str, Any]]:
    """Score the image-blind answers on the same totals; see `score`.

    Args:
        digit_shares: probability of each training digit, `(10,)`.
        signs: +1 or −1 for each position, `(time,)`.
        totals, mask: as in `score`.

    Returns:
        The scores of `mean`, `median` and `mode`.

    Example:
        >>> blind = baselines(np.full(10, 0.1), [1], [[0], [9]])
        >>> blind["mean"]["mae"]
        4.5
    """
    totals = np.asarray(totals)
    return {
        name: score(np.broadcast_to(answer, totals.shape), totals, mask)
        for name, answer in blind_answers(digit_shares, signs).items()
    }


def ceiling(digit_accuracy: float, length: int) -> list[float]:
    """Return p^t for t = 1 … length: the share right if only digits were misread.

    Example:
        >>> ceiling(0.5, 3)
        [0.5, 0.25, 0.125]
    """
    return [digit_accuracy**t for t in range(1, length + 1)]


def table(scores: dict[str, Any]) -> str:
    """Return the scores of one length as text, at most 80 columns wide.

    Args:
        scores: what `score` returns, with `length`, `digit_accuracy`,
            `ceiling_per_position`, `baselines` and perhaps a `note`.

    Returns:
        Several lines without a newline at the end.

    Example:
        >>> row = score([[1.0]], [[1]]) | {"length": 1, "digit_accuracy": 1.0}
        >>> row |= {"ceiling_per_position": [1.0], "baselines": {}}
        >>> print(table(row).splitlines()[0])
        length 1, 1 test digits
    """

    def percent(numbers):
        shown = list(numbers)
        cut = shown if len(shown) <= 6 else [*shown[:4], None, shown[-1]]
        return "".join(f"{'…':>7}" if n is None else f"{100 * n:7.2f}" for n in cut)

    positions = list(range(1, scores["length"] + 1))
    shown = positions if len(positions) <= 6 else [*positions[:4], None, positions[-1]]
    head = "".join(f"{'…' if p is None else p:>7}" for p in shown)
    lines = [
        f"length {scores['length']}, {scores['steps']} test digits",
        f"{'exact match, % at position':<28}{head}{'mean':>8}{'MAE':>8}{'RMSE':>8}",
    ]

    def row(name, part):
        lines.append(
            f"{name:<28}{percent(part['exact_per_position'])}"
            f"{100 * part['exact']:8.2f}{part['mae']:8.3f}{part['rmse']:8.3f}"
        )

    row("  the model", scores)
    top = scores["ceiling_per_position"]
    p = 100 * scores["digit_accuracy"]
    name = f"  ceiling p^t, p ={p:7.2f} %"
    lines.append(f"{name:<28}{percent(top)}{100 * np.mean(top):8.2f}")
    for name, part in scores["baselines"].items():
        row(f"  blind, position {name}", part)
    lines.append(f"whole sequences right: {100 * scores['exact_sequence']:.2f} %")
    if scores.get("note"):
        lines.append(scores["note"])
    return "\n".join(lines)
