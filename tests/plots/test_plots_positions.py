"""The picture of the score at every position."""

import numpy as np
import pytest
from matplotlib.text import Text

from custom_lstm import plots

BLIND = {
    "position mean": [0.10, 0.09, 0.08, 0.075],
    "position median": [0.10, 0.10, 0.08, 0.07],
    "position mode": [0.11, 0.10, 0.09, 0.08],
}
CEILING = 0.996 ** np.arange(1, 5)
EXACT = np.array([0.996, 0.991, 0.987, 0.982])


@pytest.mark.parametrize("title", [None, "MNIST, length 4"])
def test_is_whole(title, style, whole):
    whole(plots.positions(EXACT, CEILING, BLIND, title, style=style))


@pytest.mark.parametrize("time", [1, 7, 20, 100])
@pytest.mark.parametrize("accuracy", [0.999, 0.9])
def test_is_whole_at_other_lengths(time, accuracy, whole):
    t = np.arange(1, time + 1)
    blind = {"mode": 0.1 / t}
    whole(plots.positions(accuracy**t, (accuracy**t) ** 0.9, blind))


def test_lines_hold_the_scores():
    whole_scale, top = plots.positions(EXACT, CEILING, BLIND).axes
    lines = {line.get_label(): line for line in whole_scale.lines}
    expected = {"ceiling $p^t$": CEILING, "model": EXACT}
    expected |= {f"image-blind {name}": values for name, values in BLIND.items()}
    assert lines.keys() == expected.keys()
    for label, values in expected.items():
        np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(lines[label].get_ydata(), values)
    assert [line.get_label() for line in top.lines] == ["ceiling $p^t$", "model"]


def test_top_end_shows_model_and_ceiling_and_little_else():
    low, high = plots.positions(EXACT, CEILING, BLIND).axes[1].get_ylim()
    assert 0.97 < low < EXACT.min()
    assert EXACT.max() < high < 1.01


def test_values_stand_clear_of_the_title(pixels):
    exact = [1.0, 0.99, 0.98, 0.83]
    figure = plots.positions(exact, 0.9975 ** np.arange(1, 5), BLIND)
    pixels(figure)
    top, renderer = figure.axes[1], figure.canvas.get_renderer()
    (title,) = top.findobj(lambda o: isinstance(o, Text) and "top" in o.get_text())
    place = title.get_window_extent(renderer)
    for text in top.texts:
        assert not place.overlaps(text.get_window_extent(renderer)), text


def test_low_scores_need_no_enlargement():
    assert len(plots.positions([0.9, 0.4], [0.9, 0.8], {}).axes) == 1


def test_points_carry_their_values_the_higher_above():
    top = plots.positions([0.9, 0.8], [0.8, 0.9], {}).axes[1]
    assert [(text.get_text(), text.get_va()) for text in top.texts] == [
        ("80.00", "top"),
        ("90.00", "bottom"),
    ] * 2


def test_baselines_differ_in_more_than_colour():
    lines = plots.positions(EXACT, CEILING, BLIND).axes[0].lines[2:]
    assert len({line.get_marker() for line in lines}) == 3


@pytest.mark.parametrize(
    ("exact", "ceiling", "blind", "message"),
    [
        ([0.9, 0.8], [0.9], {}, r"ceiling_per_position must have shape \(2,\)"),
        ([0.9], [0.9], {"mode": [0.1, 0.2]}, "baseline 'mode' must have shape"),
        ([99.0], [0.9], {}, "exact_per_position must lie between 0 and 1, got 99"),
        ([], [], {}, r"must have shape \(time,\), got \(0,\)"),
    ],
)
def test_bad_scores_are_named(exact, ceiling, blind, message):
    with pytest.raises(ValueError, match=message):
        plots.positions(exact, ceiling, blind)
