"""The picture of benchmarks."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from custom_lstm import plots
from custom_lstm.plots.style import THEMES

TIMES = {
    "ours": [1, 1, 1],
    "keras.layers.RNN(LSTMCell)": [1.7, 1.82, 2.1],
    "torch.nn.LSTM": [0.9, 1.05, 1.2],
    "convolutions and matrix products": [0.3, 0.33, 0.36],
}
PANELS = {f"length {n}, {kind}": TIMES for n in (4, 6) for kind in ("train", "infer")}


@pytest.mark.parametrize("panels", [1, 2, 3, 4])
@pytest.mark.parametrize("title", [None, "Two cores"])
def test_is_whole(panels, title, style, whole):
    some = dict(list(PANELS.items())[:panels])
    whole(plots.bars(some, title=title, style=style))


@pytest.mark.parametrize("slowest", [1.0, 40.0, 123456.0])
def test_is_whole_at_other_ratios(slowest, whole):
    times = {"ours": [1, 1, 1], "theirs": [slowest, slowest, 1.5 * slowest]}
    whole(plots.bars({"one": times, "another": TIMES}))


def test_bars_are_medians_and_whiskers_quartiles():
    (axes,) = plots.bars({"one": TIMES}).axes
    whiskers, bars = axes.containers
    low, middle, high = np.transpose(list(TIMES.values()))
    np.testing.assert_array_equal([bar.get_width() for bar in bars], middle)
    ends = np.array([ends[:, 0] for ends in whiskers[2][0].get_segments()])
    np.testing.assert_allclose(ends, np.stack([low, high], axis=1))
    assert [label.get_text() for label in axes.get_yticklabels()] == list(TIMES)
    assert axes.get_xlim()[0] == 0
    assert axes.yaxis_inverted()


def test_ours_alone_has_the_models_colour(style):
    (axes,) = plots.bars({"one": TIMES}, "torch.nn.LSTM", style=style).axes
    model = THEMES[style].model
    drawn = [same_color(bar.get_facecolor(), model) for bar in axes.containers[1]]
    assert drawn == [name == "torch.nn.LSTM" for name in TIMES]


def test_values_stand_clear_of_whiskers_and_of_the_panel_beside(pixels):
    figure = plots.bars(PANELS)
    pixels(figure)
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        panel = axes.get_window_extent(renderer)
        for text, (_, _, high) in zip(axes.texts, TIMES.values(), strict=True):
            place = text.get_window_extent(renderer)
            assert place.x0 > axes.transData.transform((high, 0))[0]
            assert place.x1 <= panel.x1


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "at least one benchmark, got none"),
        ({"one": {}}, "panel 'one' must hold at least one candidate, got none"),
        ({"one": {"a": [1, 2]}}, r"'a' in 'one' must have shape \(3,\), got \(2,\)"),
        ({"one": {"a": [0, 1, 2]}}, "'a' in 'one' must be positive quartiles in order"),
        ({"one": {"a": [1, 3, 2]}}, "must be positive quartiles in order, got 1, 3, 2"),
        ({"one": {"a": [1, np.nan, 2]}}, "must be positive quartiles in order"),
    ],
)
def test_bad_times_are_named(panels, message):
    with pytest.raises(ValueError, match=message):
        plots.bars(panels)
