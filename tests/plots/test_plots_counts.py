"""The pictures of counted ones and of followed sequences."""

import numpy as np
import pytest

from custom_lstm import plots

ONES = np.arange(21)
PER_COUNT = {
    "strings": np.round(184_756 * np.exp(-((ONES - 10) ** 2) / 10)) + 1,
    "wrong": np.where(ONES > 17, ONES - 17, 0),
    "lowest_error": -0.1 - 0.02 * ONES,
    "mean_error": 0.01 * ONES,
    "highest_error": 0.1 + 0.03 * ONES,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"wrong": np.zeros(21)},
        {name: [None, *PER_COUNT[name][1:]] for name in PER_COUNT if "error" in name},
        {name: values[:2] for name, values in PER_COUNT.items()},
        {name: np.resize(values, 63) for name, values in PER_COUNT.items()},
    ],
    ids=["some wrong", "none wrong", "no strings of a count", "1 bit", "62 bits"],
)
def test_counts_are_whole(changes, style, whole):
    whole(plots.counts({**PER_COUNT, **changes}, "length 20", style=style))


def test_bars_are_the_strings_and_the_wrong_ones():
    _, axes = plots.counts(PER_COUNT).axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    np.testing.assert_array_equal(heights[0], PER_COUNT["strings"])
    np.testing.assert_array_equal(np.nan_to_num(heights[1]), PER_COUNT["wrong"])
    assert axes.get_title("left").startswith("6 of ")


def test_few_strings_have_whole_powers_of_ten_on_their_axis():
    few = {**PER_COUNT, "strings": np.ones(21), "wrong": np.zeros(21)}
    figure = plots.counts(few)
    figure.canvas.draw()
    minor = figure.axes[1].yaxis.get_ticklabels(minor=True)
    assert minor
    assert not any(label.get_text() for label in minor)


def test_errors_reach_from_the_lowest_to_the_highest():
    axes, _ = plots.counts(PER_COUNT).axes
    reach, _ = axes.collections
    low, high = np.array([path[:, 1] for path in reach.get_segments()]).T
    np.testing.assert_allclose(low, PER_COUNT["lowest_error"])
    np.testing.assert_allclose(high, PER_COUNT["highest_error"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wrong": [0, 1]}, r"wrong must have shape \(21,\), got \(2,\)"),
        ({"wrong": None}, "per_count must hold wrong too"),
    ],
)
def test_counts_that_do_not_fit_are_refused(change, said):
    given = {k: v for k, v in {**PER_COUNT, **change}.items() if v is not None}
    with pytest.raises(ValueError, match=said):
        plots.counts(given)


@pytest.mark.parametrize("sequences", [1, 2, 5, 6])
def test_followed_sequences_are_whole(sequences, style, whole):
    targets = np.arange(sequences * 4).reshape(sequences, 4)
    whole(plots.followed(targets, targets + 0.3, "test sequences", style=style))


def test_followed_lines_are_targets_and_answers():
    targets, answers = [[1, 3, 5], [4, 9, 11]], [[1.1, 3.0, 4.5], [4.0, 9.0, 11.0]]
    for axes, target, answer in zip(
        plots.followed(targets, answers).axes, targets, answers, strict=True
    ):
        np.testing.assert_array_equal(
            [x.get_ydata() for x in axes.lines], [target, answer]
        )


@pytest.mark.parametrize(
    ("targets", "answers", "said"),
    [
        ([[1, 2]], [[1, 2, 3]], r"answers must have shape \(1, 2\)"),
        (np.ones((7, 2)), np.ones((7, 2)), "at most 6 sequences"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(targets, answers, said):
    with pytest.raises(ValueError, match=said):
        plots.followed(targets, answers)
