"""The picture of which digits were taken for which."""

import numpy as np
import pytest

from custom_lstm import plots

SIGNS = np.array([1, -1, 1, -1])


def run(n, time=4, slips=0.0, seed=0):
    """Digits, and totals in which some digits were taken for others."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(10, size=(n, time))
    taken = np.where(
        rng.random(digits.shape) < slips, rng.integers(10, size=(n, time)), digits
    )
    return digits, np.cumsum(taken * np.resize(SIGNS, time), axis=1)


def counts(axes):
    """The numbers written in a panel, by row and column."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text())
        for text in axes.texts
    }


@pytest.mark.parametrize("slips", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("title", [None, "400 test digits"])
def test_is_whole(slips, title, style, whole):
    whole(plots.confusion(*run(100, slips=slips), SIGNS, title, style=style))


def test_one_sign_has_one_panel(whole):
    figure = plots.confusion(*run(9, time=1), [1])
    assert len(figure.axes) == 1
    whole(figure)


def test_a_misread_digit_is_one_count_in_its_row_column_and_sign():
    digits = [[3, 5, 2], [3, 5, 2]]
    answers = [[3, -2, 0], [8.3, 3, 5.4]]  # the second reads 8 for 3, then goes on
    added, subtracted = plots.confusion(digits, answers, [1, -1, 1]).axes
    assert counts(added) == {(3, 3): 1, (3, 8): 1, (2, 2): 2}
    assert counts(subtracted) == {(5, 5): 2}
    assert added.get_title("right") == "3 of 4 right"
    assert len(added.patches) == 1, "the mistake is framed"


@pytest.mark.parametrize("answer", [-1.0, 10.0, 25.0])
def test_a_change_that_is_no_digit_counts_apart(answer):
    (axes,) = plots.confusion([[4]], [[answer]], [1]).axes
    assert counts(axes) == {(4, 10): 1}


@pytest.mark.parametrize(
    ("digits", "answers", "signs", "message"),
    [
        ([1, 2], [1, 2], [1], r"digits must have shape \(n, time\)"),
        ([[1, 2]], [[1]], [1, -1], r"predicted_totals must have shape \(1, 2\)"),
        ([[1, 2]], [[1, 2]], [1], r"signs must have shape \(2,\)"),
        ([[10]], [[1]], [1], "digits must be 0 to 9, got 10"),
        ([[0.5]], [[1]], [1], "digits must be 0 to 9, got 0.5"),
    ],
)
def test_bad_digits_are_named(digits, answers, signs, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion(digits, answers, signs)
