"""Scores against plain Python and against published figures."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from custom_lstm.tasks.digits import metrics

UNIFORM = [0.1] * 10
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_scores_match_plain_python():
    rng = np.random.default_rng(0)
    totals = rng.integers(-9, 10, (7, 3))
    answers = totals + rng.choice([0, 0, 0.4, 0.6, -2], totals.shape)
    result = metrics.score(answers, totals)
    right = [
        [round(float(a)) == t for a, t in zip(*row, strict=True)]
        for row in zip(answers, totals, strict=True)
    ]
    assert result["exact_per_position"] == [
        pytest.approx(sum(column) / 7) for column in zip(*right, strict=True)
    ]
    assert result["exact"] == pytest.approx(sum(map(sum, right)) / 21)
    assert result["exact_sequence"] == pytest.approx(sum(map(all, right)) / 7)
    errors = [abs(float(a) - t) for a, t in zip(answers.flat, totals.flat, strict=True)]
    assert result["mae"] == pytest.approx(sum(errors) / 21)
    assert result["rmse"] == pytest.approx((sum(e * e for e in errors) / 21) ** 0.5)
    assert result["steps"] == 21


def test_masked_steps_do_not_count():
    totals = [[1, 2], [3, 4]]
    answers = [[1, 2], [3, 99]]
    result = metrics.score(answers, totals, [[1, 1], [1, 0]])
    assert result["exact_per_position"] == [1.0, 1.0]
    assert result["exact_sequence"] == 1.0
    assert result["mae"] == 0.0
    assert result["steps"] == 3


@pytest.mark.parametrize(
    ("answers", "totals", "mask", "said"),
    [
        ([[1.0]], [[1, 2]], None, "(1, 1)"),
        ([1.0], [1], None, "(sequences, time)"),
        ([[1.0, 2.0]], [[1, 2]], [[1, 0]], "position"),
    ],
)
def test_wrong_shapes_are_named(answers, totals, mask, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        metrics.score(answers, totals, mask)


@pytest.mark.parametrize("signs", [[1], [1, -1], [-1, 1, -1], [1, -1, 1, -1]])
def test_distribution_equals_counting_every_sequence(signs):
    values, shares = metrics.total_distribution(UNIFORM, signs)[-1]
    counts: dict[int, int] = {}
    for digits in itertools.product(range(10), repeat=len(signs)):
        total = sum(s * d for s, d in zip(signs, digits, strict=True))
        counts[total] = counts.get(total, 0) + 1
    expected = {t: float(Fraction(n, 10 ** len(signs))) for t, n in counts.items()}
    found = dict(zip(values.tolist(), shares.tolist(), strict=True))
    assert found == pytest.approx(expected)


def test_blind_scores_are_the_known_ones_for_length_4():
    """Image-blind MAE 3.64, RMSE 4.57 and exact 8.8 % on MNIST's digits."""
    rng = np.random.default_rng(1)
    signs, shares = [1, -1, 1, -1], np.array(MNIST_COUNTS) / 60_000
    totals = np.cumsum(rng.choice(10, (200_000, 4), p=shares) * signs, axis=1)
    blind = metrics.baselines(shares, signs, totals)
    assert blind["median"]["mae"] == pytest.approx(3.64, abs=0.01)
    assert blind["mean"]["rmse"] == pytest.approx(4.57, abs=0.01)
    assert blind["mode"]["exact"] == pytest.approx(0.088, abs=0.001)


def test_no_constant_answer_beats_the_blind_ones():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.ones(10))
    signs = [1, -1, 1]
    best = metrics.blind_answers(shares, signs)
    for t, (values, p) in enumerate(metrics.total_distribution(shares, signs)):
        constants = np.arange(values[0], values[-1] + 1)
        squared = p @ (values[:, None] - best["mean"][t]) ** 2
        absolute = p @ np.abs(values[:, None] - best["median"][t])
        hit = p[values == best["mode"][t]]
        assert squared <= (p @ (values[:, None] - constants) ** 2).min() + 1e-12
        assert absolute <= (p @ np.abs(values[:, None] - constants)).min() + 1e-12
        assert hit == p.max()


@pytest.mark.parametrize("length", [1, 4, 6, 7, 100])
def test_table_fits_a_terminal_and_shows_the_last_position(length):
    totals = np.tile(np.arange(length), (3, 1))
    signs = [1 - 2 * (t % 2) for t in range(length)]
    result = metrics.score(totals, totals) | {
        "length": length,
        "digit_accuracy": 0.996,
        "ceiling_per_position": metrics.ceiling(0.996, length),
        "baselines": metrics.baselines(UNIFORM, signs, totals),
        "note": None,
    }
    lines = metrics.table(result).splitlines()
    assert max(map(len, lines)) <= 96
    assert f"{100 * 0.996**length:.2f}" in lines[3]
    assert {"mean", "median", "mode"} == {line.split()[2] for line in lines[4:7]}
