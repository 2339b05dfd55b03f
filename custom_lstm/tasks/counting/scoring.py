"""How many strings a model counts wrong, count by count."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from custom_lstm.heads import Head
from custom_lstm.tasks.counting.strings import (
    ALL,
    AT_ONCE,
    Bits,
    Codes,
    bits_of,
    other_codes,
    random_batches,
)

RANDOM = 20_000
"""Random strings of each other length, and as many again of even counts."""
READ_AT_ONCE = 20 * AT_ONCE
"""Bits that the model reads at a time at most."""
MOST_BITS = 20_000_000
"""Bits of all of them together: of strings above 1,000 bits there are fewer."""


@dataclasses.dataclass
class Tally:
    """What is counted of strings as they go by, for each number of ones.

    Args:
        length: bits in a string.

    Example:

    >>> tally = Tally(length=2)
    >>> tally.add(answers=np.array([0.9, 1.6]), counts=np.array([1, 1]))
    >>> tally.strings.tolist(), tally.wrong.tolist()
    ([0, 2, 0], [0, 1, 0])
    """

    length: int

    def __post_init__(self):
        """Begin at nothing."""
        classes = self.length + 1
        self.strings = np.zeros(classes, np.int64)
        self.wrong = np.zeros(classes, np.int64)
        self.error = np.zeros(classes)
        self.lowest = np.full(classes, np.inf)
        self.highest = np.full(classes, -np.inf)

    def add(self, answers: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """Take in some strings.

        Args:
            answers: what the model says, real or whole, `(strings,)`.
            counts: their ones, `(strings,)`.
        """
        classes, errors = self.length + 1, answers.astype(np.float64) - counts
        wrong = np.rint(answers) != counts
        self.strings += np.bincount(counts, minlength=classes)
        self.wrong += np.bincount(counts[wrong], minlength=classes)
        self.error += np.bincount(counts, errors, minlength=classes)
        np.minimum.at(self.lowest, counts, errors)
        np.maximum.at(self.highest, counts, errors)

    def to_json(self) -> dict[str, Any]:
        """Return totals and, for each count, strings, wrong ones and errors."""
        seen = self.strings > 0
        means = self.error / np.maximum(self.strings, 1)

        def listed(values):
            return [float(v) if s else None for v, s in zip(values, seen, strict=True)]

        return {
            "length": self.length,
            "strings": int(self.strings.sum()),
            "wrong": int(self.wrong.sum()),
            "right": float(1 - self.wrong.sum() / self.strings.sum()),
            "largest_error": float(max(-self.lowest.min(), self.highest.max())),
            "per_count": {
                "strings": self.strings.tolist(),
                "wrong": self.wrong.tolist(),
                "mean_error": listed(means),
                "lowest_error": listed(self.lowest),
                "highest_error": listed(self.highest),
            },
        }


def answers_of(model: keras.Model, head: Head, bits: Bits) -> NDArray[np.float32]:
    """Return the model's counts `(strings,)` of bits `(strings, length, 1)`.

    Of long strings fewer are read at a time: a layer's memory grows with their bits.
    """
    at_once = max(1, min(AT_ONCE, READ_AT_ONCE // bits.shape[1]))
    batches = np.split(bits, range(at_once, len(bits), at_once))
    outputs = [model.predict_on_batch(batch) for batch in batches]
    return np.asarray(head.answers(np.concatenate(outputs)))


def score_others(
    model: keras.Model, head: Head, length: int, training: Codes, seed: int
) -> dict[str, Any]:
    """Score a model on the strings that it was not trained on.

    Args:
        model: for strings of any length.
        head: its head.
        length: bits in a string.
        training: codes of the strings trained on, sorted.
        seed: of the sample, where there are too many to test all.

    Returns:
        What `Tally.to_json` gives, and whether these are `all` there are.
    """

    def batches() -> Iterable[Bits]:
        for codes in other_codes(length, training, seed):
            yield bits_of(codes, length)

    return {**_score(model, head, length, batches()), "all": 2**length <= ALL}


def score_lengths(
    model: keras.Model, head: Head, lengths: Sequence[int], seed: int
) -> dict[str, dict[str, Any]]:
    """Score a model on random strings of other lengths than its own.

    Args:
        model: for strings of any length.
        head: its head.
        lengths: bits in the strings.
        seed: of the draws.

    Returns:
        For each length what `Tally.to_json` gives of strings with `random` bits, and
        of strings with `even` counts, where the tails are as frequent as the middle.
    """

    def scored(length: int, *, even: bool) -> dict[str, Any]:
        count = min(RANDOM, MOST_BITS // length)
        batches = random_batches(length, count, seed, even_counts=even)
        return _score(model, head, length, batches)

    return {
        str(length): {
            "random": scored(length, even=False),
            "even": scored(length, even=True),
        }
        for length in lengths
    }


def _score(
    model: keras.Model, head: Head, length: int, batches: Iterable[Bits]
) -> dict[str, Any]:
    tally = Tally(length)
    for bits in batches:
        counts = bits.sum(axis=(1, 2)).astype(np.int64)
        tally.add(answers_of(model, head, bits), counts)
    return tally.to_json()
