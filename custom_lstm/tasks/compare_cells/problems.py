"""The problems: sequences drawn from a seed, what is asked of them, and scores.

Each says what an answer scores that does not look at the sequence.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from custom_lstm.data import Digits, Pools
from custom_lstm.typing import Tensor

Floats = NDArray[np.float32]
Answer = Callable[[Floats], Floats]
"""A network: `(sequences, time, features)` → `(sequences, [time,] outputs)`."""
TEST_SEED = 20_000_000_000
"""Draws the sequences that every cell is scored on; above every `--seeds`."""
TESTED = 1000
"""How many they are."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A score of a problem: a column of the table.

    Args:
        name: heading of the column.
        blind: what the best answer scores that does not look at the sequence.
        percent: whether it is a share in percent, of which more is better; else an
            error.
    """

    name: str
    blind: float
    percent: bool = True

    def skill(self, value: float) -> float:
        """Return 0 for a score that is no better than a blind one, 1 for the best.

        A share is better if it is above the blind one by more than two standard
        deviations of the share of `TESTED` blind answers that are right.

        Example:
            >>> copy = Measure("copy", 20.0)
            >>> copy.skill(60.0), copy.skill(22.0)
            (0.5, 0.0)
        """
        if self.percent and value <= self.blind + self.chance:
            return 0.0
        best = 100.0 if self.percent else 0.0
        return float(np.clip((value - self.blind) / (best - self.blind), 0, 1))

    def text(self, value: float) -> str:
        """Return a value, with the unit."""
        return f"{value:.1f} %" if self.percent else f"{value:.4f}"

    @property
    def chance(self) -> float:
        """Two standard deviations of a blind share, in percent."""
        return 2 * float(np.sqrt(self.blind * (100 - self.blind) / TESTED))


class Problem(abc.ABC):
    """Sequences with targets.

    Attributes:
        name: the name that `--problems` takes.
        features: width of a step.
        outputs: width of the head.
        length: steps of the sequences that are trained on.
        every_step: whether the head answers at every step; else after the last one.
        measures: what it is scored by; the cells are ranked by those in percent.
    """

    name: ClassVar[str]
    features: ClassVar[int]
    outputs: ClassVar[int]
    length: ClassVar[int]
    every_step: ClassVar[bool] = False
    measures: tuple[Measure, ...]

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, NDArray]:
        """Return sequences `(count, time, features)` and their targets, to train on."""

    @abc.abstractmethod
    def loss(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return the mean loss of outputs."""

    @abc.abstractmethod
    def score(self, answer: Answer) -> dict[str, float]:
        """Return the scores of a network by the names of `measures`."""


class Adding(Problem):
    """Two of 50 numbers from 0 to 1 are marked; the answer is their sum.

    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9
    (1997), experiment 4; with one mark in each half. The blind answer is 1.
    """

    name, features, outputs, length = "adding", 2, 1, 50
    within = 0.04
    measures = (
        Measure("adding, within 0.04", 100 * (1 - (1 - within) ** 2)),
        Measure("adding, MSE", 1 / 6, percent=False),
    )

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, NDArray]:
        """Return numbers and marks, and sums `(count, 1)`."""
        half = self.length // 2
        numbers = rng.random((count, self.length), dtype=np.float32)
        marks = np.zeros_like(numbers)
        for begin in (0, half):
            marks[np.arange(count), begin + rng.integers(half, size=count)] = 1
        sums = (numbers * marks).sum(axis=1, keepdims=True)
        return np.stack([numbers, marks], axis=-1), sums

    def loss(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return the mean squared error."""
        return ops.mean(ops.square(outputs - targets))

    def score(self, answer: Answer) -> dict[str, float]:
        """Return how many sums are within 0.04, and the mean squared error."""
        sequences, sums = self.draw(np.random.default_rng(TEST_SEED), TESTED)
        errors = (answer(sequences) - sums).astype(np.float64)
        values = (_percent(np.abs(errors) < self.within), np.square(errors).mean())
        return _by_name(self.measures, values)


class Copy(Problem):
    """Symbols come, a delay passes, a sign is given; then the symbols are asked for.

    S. Hochreiter and J. Schmidhuber (1997), in the form of M. Arjovsky, A. Shah and
    Y. Bengio, "Unitary evolution recurrent neural networks", ICML 2016, of whom it is
    short: 8 of 8 kinds of symbol after 20 steps. The blind answer is any symbol.
    """

    name, features, outputs = "copy", 10, 10
    symbols, kinds, delay = 8, 8, 20
    length, every_step = 2 * symbols + delay, True
    measures = (Measure("copy, symbols", 100 / kinds),)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, NDArray]:
        """Return one-hot sequences, and what is to be said `(count, time)`."""
        blank, sign = self.kinds, self.kinds + 1
        symbols = rng.integers(self.kinds, size=(count, self.symbols))
        shown = np.full((count, self.length), blank)
        shown[:, : self.symbols] = symbols
        shown[:, self.symbols + self.delay - 1] = sign
        said = np.full((count, self.length), blank)
        said[:, -self.symbols :] = symbols
        return np.eye(self.features, dtype=np.float32)[shown], said

    def loss(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return the mean cross-entropy of all steps."""
        return _cross_entropy(targets, outputs)

    def score(self, answer: Answer) -> dict[str, float]:
        """Return how many symbols are right."""
        sequences, said = self.draw(np.random.default_rng(TEST_SEED), TESTED)
        right = answer(sequences).argmax(axis=-1) == said
        return _by_name(self.measures, (_percent(right[:, -self.symbols :]),))


class Rows(Problem):
    """A handwritten digit, 28 rows of 28 pixels; the answer is which it is.

    Q. V. Le, N. Jaitly and G. E. Hinton, "A simple way to initialize recurrent networks
    of rectified linear units", 2015, https://arxiv.org/abs/1504.00941, row by row. The
    blind answer is the most frequent digit.

    Args:
        pools: the digits to learn from and to test on.
    """

    name, features, outputs, length = "rows", 28, 10, 28

    def __init__(self, pools: Pools):
        self._train = self.sequences(pools.train), pools.train.labels
        test = Digits(pools.test.images[:TESTED], pools.test.labels[:TESTED])
        self._test = self.sequences(test), test.labels
        blind = _percent(test.labels == np.bincount(test.labels).argmax())
        self.measures = (Measure(self.name, blind),)

    def sequences(self, digits: Digits) -> Floats:
        """Return images as sequences, from 0 to 1."""
        return (digits.images / np.float32(255)).astype(np.float32)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, NDArray]:
        """Return digits, and what they are `(count,)`."""
        images, labels = self._train
        chosen = rng.integers(len(labels), size=count)
        return images[chosen], labels[chosen].astype(np.int64)

    def loss(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return _cross_entropy(targets, outputs)

    def score(self, answer: Answer) -> dict[str, float]:
        """Return how many test digits are right."""
        images, labels = self._test
        return _by_name(
            self.measures, (_percent(answer(images).argmax(axis=-1) == labels),)
        )


class Pixels(Rows):
    """A handwritten digit, pixel by pixel; shrunk to 7×7, the means of 4×4 pixels.

    Le, Jaitly and Hinton (2015), see `Rows`, whose digits have 784 pixels.
    """

    name, features, length = "pixels", 1, 49

    def sequences(self, digits: Digits) -> Floats:
        """Return images as sequences of 49 pixels, from 0 to 1."""
        blocks = super().sequences(digits).reshape(-1, 7, 4, 7, 4)
        return blocks.mean(axis=(2, 4)).reshape(-1, 49, 1)


class CountOnes(Problem):
    """20 bits; the answer is how many are 1, every number of them being as likely.

    After "A noob's guide to implementing RNN-LSTM using Tensorflow" (2016). Its answer
    is a number, here in units of 10; the blind one is any count.
    """

    name, features, outputs, length = "count-ones", 1, 1, 20
    unit = 10.0
    measures = (Measure("count-ones", 100 / (length + 1)),)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, NDArray]:
        """Return bits, and counts `(count, 1)`."""
        ones = rng.integers(self.length + 1, size=(count, 1))
        ranks = rng.random((count, self.length)).argsort(axis=1).argsort(axis=1)
        bits = (ranks < ones).astype(np.float32)
        return bits[..., None], ones.astype(np.float32)

    def loss(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return the mean squared error, in units of 10."""
        return ops.mean(ops.square(outputs - targets / self.unit))

    def score(self, answer: Answer) -> dict[str, float]:
        """Return how many counts are right once they are rounded."""
        bits, counts = self.draw(np.random.default_rng(TEST_SEED), TESTED)
        right = np.rint(self.unit * answer(bits)) == counts
        return _by_name(self.measures, (_percent(right),))


class Sums(Problem):
    """Digits, one-hot; the answer at every step is their sum so far, signs alternating.

    Trained at 10 digits, and scored there and at 100: at a length and at totals that
    were never seen. The blind answer is 0.
    """

    name, features, outputs, length, every_step = "sums", 10, 1, 10, True
    scored = (10, 100)
    unit = 10.0

    def __init__(self) -> None:
        self.measures = tuple(
            Measure(f"sums, {length} steps", blind_sum(length))
            for length in self.scored
        )

    def draw(
        self, rng: np.random.Generator, count: int, length: int | None = None
    ) -> tuple[Floats, NDArray]:
        """Return digits, and sums `(count, time, 1)`; of another `length` if given."""
        digits = rng.integers(10, size=(count, length or self.length))
        signs = 1 - 2 * (np.arange(digits.shape[1]) % 2)
        sums = np.cumsum(digits * signs, axis=1).astype(np.float32)
        return np.eye(10, dtype=np.float32)[digits], sums[..., None]

    def loss(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return the mean squared error of all steps, in units of 10."""
        return ops.mean(ops.square(outputs - targets / self.unit))

    def score(self, answer: Answer) -> dict[str, float]:
        """Return how many last sums are right once rounded, at each length."""
        values = []
        for length in self.scored:
            rng = np.random.default_rng([TEST_SEED, length])
            digits, sums = self.draw(rng, TESTED, length)
            right = np.rint(self.unit * answer(digits)) == sums
            values.append(_percent(right[:, -1]))
        return _by_name(self.measures, values)


PROBLEMS: dict[str, type[Problem]] = {
    problem.name: problem for problem in (Adding, Copy, Rows, Pixels, CountOnes, Sums)
}
"""Every problem by its name."""


def blind_sum(length: int) -> float:
    """Return the share of the most frequent alternating sum of digits, in percent.

    Example:
        >>> blind_sum(1), round(blind_sum(2), 6)
        (10.0, 10.0)
    """
    shares = np.ones(1)
    for _ in range(length):
        shares = np.convolve(shares, np.full(10, 0.1))
    return float(100 * shares.max())  # −digit is as likely as digit − 9


def _cross_entropy(targets: Tensor, outputs: Tensor) -> Tensor:
    losses = keras.losses.sparse_categorical_crossentropy(
        targets, outputs, from_logits=True
    )
    return ops.mean(losses)


def _percent(right: NDArray[np.bool_]) -> float:
    return float(100 * right.mean())


def _by_name(measures: Sequence[Measure], values: Sequence[float]) -> dict[str, float]:
    return {
        measure.name: float(value)
        for measure, value in zip(measures, values, strict=True)
    }
