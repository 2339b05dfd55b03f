"""How many strings a model counts wrong, count by count; in numbers and as text."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from custom_lstm.tasks.count_ones.data import (
    EVALUATION_BATCH,
    LARGEST_POPULATION,
    Bits,
    Codes,
    bits_of,
    held_out_codes,
    random_batches,
)
from custom_lstm.tasks.digits.model import Head
from custom_lstm.tasks.tables import text_table

RANDOM_STRINGS = 20_000
"""Random strings of each other length, and as many again of even counts."""
BITS_AT_ONCE = 20 * EVALUATION_BATCH
"""Bits that the model reads at a time at most."""
MOST_BITS = 20_000_000
"""Bits of all of them together: of strings above 1,000 bits there are fewer."""


@dataclasses.dataclass
class Tally:
    """Numbers of strings and errors, for each number of ones.

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
        """Begin at zero."""
        classes = self.length + 1
        self.strings = np.zeros(classes, np.int64)
        self.wrong = np.zeros(classes, np.int64)
        self.error = np.zeros(classes)
        self.lowest = np.full(classes, np.inf)
        self.highest = np.full(classes, -np.inf)

    def add(self, answers: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """Add answers to strings with these counts, `(strings,)` each."""
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


def answers_of(
    model: keras.Model, head: Head, bits: Bits, *, bits_at_once: int = BITS_AT_ONCE
) -> NDArray[np.float32]:
    """Return the model's counts `(strings,)` of bits `(strings, length, 1)`.

    Of long strings fewer are read at a time: a layer's memory grows with their bits.
    """
    batch_size = max(1, min(EVALUATION_BATCH, bits_at_once // bits.shape[1]))
    batches = np.split(bits, range(batch_size, len(bits), batch_size))
    outputs = [model.predict_on_batch(batch) for batch in batches]
    return np.asarray(head.answers(np.concatenate(outputs)))


def score_held_out(
    model: keras.Model, head: Head, length: int, training: Codes, seed: int
) -> dict[str, Any]:
    """Score a model for strings of any length on those that it was not trained on.

    `training` are the codes of the strings trained on, sorted; `seed` draws a sample
    where there are too many to test all.

    Returns:
        What `Tally.to_json` gives, and whether these are `all` there are.
    """
    batches = (
        bits_of(codes, length) for codes in held_out_codes(length, training, seed)
    )
    scores = _score(model, head, length, batches)
    return {**scores, "all": 2**length <= LARGEST_POPULATION}


def score_lengths(
    model: keras.Model,
    head: Head,
    lengths: Sequence[int],
    seed: int,
    *,
    strings: int = RANDOM_STRINGS,
    most_bits: int = MOST_BITS,
) -> dict[str, dict[str, Any]]:
    """Score a model on random strings of other lengths than its own.

    Args:
        model: for strings of any length.
        head: its head.
        lengths: bits in the strings.
        seed: of the draws.
        strings: number of strings of each kind and length.
        most_bits: bits of these together; of very long strings there are fewer.

    Returns:
        For each length what `Tally.to_json` gives of strings with `random` bits, and
        of strings with `even` counts, where the tails are as frequent as the middle.
    """

    def scored(length: int, *, even: bool) -> dict[str, Any]:
        count = min(strings, most_bits // length)
        batches = random_batches(length, count, seed, even_counts=even)
        return _score(model, head, length, batches)

    return {
        str(length): {
            "random": scored(length, even=False),
            "even": scored(length, even=True),
        }
        for length in lengths
    }


def count_table(scores: Mapping[str, Any]) -> str:
    """Return the scores.json of a run as text: strings and wrong ones for each count.

    Example:
        >>> per_count = {"strings": [1, 0], "wrong": [0, 0]}
        >>> per_count |= {"lowest_error": [-0.02, None], "highest_error": [0.01, None]}
        >>> test = {"length": 1, "strings": 1, "wrong": 0, "all": True}
        >>> print(count_table({"test": test | {"per_count": per_count}, "longer": {}}))
        length 1, all 1 strings that were not trained on
        ones  strings  wrong   answer − ones
        0           1      0  -0.020 … 0.010
        1           0      0
        all         1      0
    """
    test = scores["test"]
    names = ("strings", "wrong", "lowest_error", "highest_error")
    columns = (test["per_count"][name] for name in names)
    rows = [
        (
            str(ones),
            f"{strings:,}",
            f"{wrong:,}",
            "" if low is None else f"{low:.3f} … {high:.3f}",
        )
        for ones, (strings, wrong, low, high) in enumerate(zip(*columns, strict=True))
    ]
    rows.append(("all", f"{test['strings']:,}", f"{test['wrong']:,}", ""))
    return "\n".join(
        [
            f"length {test['length']}, {'all' if test['all'] else 'a sample of'} "
            f"{test['strings']:,} strings that were not trained on",
            text_table(("ones", "strings", "wrong", "answer − ones"), rows),
            *(
                f"length {length}: {100 * parts['random']['right']:.2f} % right of "
                f"{parts['random']['strings']:,} random strings, "
                f"{100 * parts['even']['right']:.2f} % with counts drawn evenly"
                for length, parts in scores["longer"].items()
            ),
        ]
    )


def cell_table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the scores.json of runs, by their cells, as one table.

    Example:
        >>> part = {"length": 20, "strings": 8, "wrong": 0, "largest_error": 0.1}
        >>> part |= {"right": 1.0}
        >>> scores = {"test": part, "longer": {"40": {"even": part}}, "parameters": 24}
        >>> print(cell_table({"gru": scores | {"seconds": {"training": 9.0}}}))
        wrong of 8 strings of length 20; % right at other lengths, counts drawn evenly
        cell  weights  wrong  largest error     40  training s
        gru        24      0          0.100  100.0           9
    """
    first = next(iter(runs.values()))
    rows = [
        (
            cell,
            f"{scores['parameters']:,}",
            f"{scores['test']['wrong']:,}",
            f"{scores['test']['largest_error']:.3f}",
            *(
                f"{100 * part['even']['right']:.1f}"
                for part in scores["longer"].values()
            ),
            f"{scores['seconds']['training']:.0f}",
        )
        for cell, scores in runs.items()
    ]
    heads = ("cell", "weights", "wrong", "largest error", *first["longer"])
    return (
        f"wrong of {first['test']['strings']:,} strings of length "
        f"{first['test']['length']}; % right at other lengths, counts drawn evenly\n"
        + text_table((*heads, "training s"), rows)
    )


def _score(
    model: keras.Model, head: Head, length: int, batches: Iterable[Bits]
) -> dict[str, Any]:
    tally = Tally(length)
    for bits in batches:
        counts = bits.sum(axis=(1, 2)).astype(np.int64)
        tally.add(answers_of(model, head, bits), counts)
    return tally.to_json()
