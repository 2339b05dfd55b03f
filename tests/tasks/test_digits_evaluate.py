"""Scores of a model, against a reader that misreads one digit and is right else."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from custom_lstm.data import Digits, Pools
from custom_lstm.tasks.digits import evaluate
from custom_lstm.tasks.digits.evaluate import score_lengths
from custom_lstm.tasks.digits.model import Head
from custom_lstm.tasks.digits.options import Config

LENGTH, DIGITS = 4, 103


def pool(seed, count=DIGITS):
    """Digits whose images are of that one brightness."""
    labels = np.random.default_rng(seed).integers(0, 10, count).astype("uint8")
    images = np.broadcast_to(labels[:, None, None], (count, 28, 28))
    return Digits(np.ascontiguousarray(images), labels)


def reader(start, seven):
    """Return a model of the alternating sum of brightnesses, of 7 as if `seven`."""
    images = keras.Input((None, 28, 28, 1), dtype="uint8")
    digits = ops.cast(ops.max(images, axis=(2, 3, 4)), "float32")
    digits = ops.where(ops.equal(digits, 7), float(seven), digits)
    ones = ops.ones_like(digits)
    signs = start * (1 - 2 * ops.mod(ops.cumsum(ones, axis=1) - 1, 2))
    totals = ops.cumsum(signs * digits, axis=1)
    return keras.Model(images, totals[..., None])


@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("seven", [7, 1])
def test_every_test_digit_counts_at_either_first_sign(start, seven):
    pools = Pools("digits", pool(0), pool(1), pool(2), "")
    config = Config().replace(length=LENGTH, start=start).resolve_defaults("digits")
    scores = score_lengths(config, reader(start, seven), pools)[str(LENGTH)]

    labels = pools.test.labels.astype(int)
    rows = [labels[k : k + LENGTH] for k in range(0, DIGITS, LENGTH)]
    signs = start * np.array([1, -1, 1, -1])
    errors = [np.cumsum(signs[: len(r)] * np.where(r == 7, seven - 7, 0)) for r in rows]
    at = [np.array([e[t] for e in errors if len(e) > t]) for t in range(LENGTH)]
    read = np.mean((labels != 7) | (seven == 7))
    assert scores["digit_accuracy"] == pytest.approx(read)
    found = scores["exact_per_position"]
    np.testing.assert_allclose(found, [np.mean(e == 0) for e in at], rtol=1e-6)
    whole = [not e.any() for e in errors]
    assert scores["exact_sequence"] == pytest.approx(np.mean(whole))
    every = np.concatenate(errors)
    assert scores["mae"] == pytest.approx(np.abs(every).mean(), rel=1e-6)
    assert scores["rmse"] == pytest.approx(np.sqrt((every**2).mean()), rel=1e-6)


class Reader:
    """A network that says a sequence's number, and is wrong in some."""

    def __init__(self, wrong):
        self.wrong, self.asked = wrong, 0

    def predict(self, images, batch_size, verbose):
        self.asked += len(images)
        said = images.astype("float32")
        return (said + np.isin(images, self.wrong))[..., None]


@pytest.mark.parametrize(
    ("wrong", "asked"),
    [
        ([7, 8, 9], 256),
        ([7, 255, 256], 512),
        ([1, 7, 8], 600),  # the first sequences are drawn anyway
        ([7, 8], 600),
        ([], 600),
    ],
)
def test_answers_until_three_later_mistakes_are_found(wrong, asked):
    model, numbers = Reader(wrong), np.arange(600)[:, None]
    answers = evaluate._answers(model, Head("value", 0, 9), numbers, numbers)
    assert model.asked == len(answers) == asked
    found = np.flatnonzero(evaluate._mistaken(answers, numbers))
    np.testing.assert_array_equal(found, wrong)


@pytest.mark.parametrize(
    ("wrong", "sequences", "chosen", "title"),
    [
        ([6, 9, 20, 30], 600, [0, 1, 2, 3, 4, 6, 9, 20], "first 5 .*, and 3 more"),
        ([1, 6, 9, 20], 600, [0, 1, 2, 3, 4, 6, 9, 20], "first 5 .*, and 3 more"),
        ([6, 20], 600, [0, 1, 2, 3, 4, 5, 6, 20], "first 6 .*, and 2 more"),
        ([3, 5], 600, range(8), "first 8 test sequences$"),
        ([], 600, range(8), "first 8 test sequences$"),
        ([1], 2, [0, 1], "The first sequence, and 1 more"),
        ([0], 1, [0], "The first sequence$"),
    ],
)
def test_the_title_counts_the_sequences_drawn(wrong, sequences, chosen, title):
    mistaken = np.isin(np.arange(sequences), wrong)
    drawn, told = evaluate._chosen(mistaken, sequences)
    assert drawn == list(chosen)
    assert re.search(title, told)
