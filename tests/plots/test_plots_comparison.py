"""Several runs' learning curves, several layers' gradients."""

import numpy as np
import pytest

from custom_lstm import plots

EPOCHS = np.arange(12)
RUNS = {
    "ours": {
        "loss": 3 * np.exp(-0.6 * EPOCHS) + 0.03,
        "val_exact": 0.98 - 0.8 * np.exp(-0.5 * EPOCHS),
    },
    "theirs": {
        "loss": 3 * np.exp(-0.4 * EPOCHS) + 0.03,
        "val_exact": 0.97 - 0.8 * np.exp(-0.4 * EPOCHS),
    },
    "ours, cut short": {"loss": [3.0, 1.7], "val_exact": [0.1, np.nan]},
}


@pytest.mark.parametrize("quantity", ["loss", "val_exact"])
@pytest.mark.parametrize("title", [None, "Three runs"])
def test_is_whole(quantity, title, style, whole):
    whole(plots.learning_curves(RUNS, quantity, title, style=style))


@pytest.mark.parametrize(("runs", "epochs"), [(1, 1), (8, 300), (9, 40), (30, 40)])
def test_is_whole_at_other_sizes(runs, epochs, style, whole):
    loss = np.geomspace(5, 0.01, epochs)
    histories = {f"run {k}": {"loss": loss * (1 + k / 10)} for k in range(runs)}
    whole(plots.learning_curves(histories, "loss", style=style))


def test_every_line_holds_its_run_from_epoch_1():
    (axes,) = plots.learning_curves(RUNS, "loss").axes
    for line, history in zip(axes.lines, RUNS.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), history["loss"])
        np.testing.assert_array_equal(
            line.get_xdata(), 1 + np.arange(len(history["loss"]))
        )
    low, high = axes.get_xlim()
    assert low < 1 and high > 12


def test_the_legend_gives_the_last_values_known():
    (axes,) = plots.learning_curves(RUNS, "val_exact").axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "ours: 97.67 %",
        "theirs: 96.02 %",
        "ours, cut short: 10.00 %",
    ]


def test_the_legend_of_many_runs_names_each_and_covers_none():
    names = [f"a run with a name of some length, {k}" for k in range(21)]
    figure = plots.learning_curves(dict.fromkeys(names, RUNS["ours"]), "loss")
    (axes,), (legend,) = figure.axes, figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == [f"{name}: 0.0341" for name in names]
    figure.draw_without_rendering()
    assert not axes.get_window_extent().overlaps(legend.get_window_extent())


def test_runs_differ_in_more_than_colour():
    lines = plots.learning_curves(RUNS, "loss").axes[0].lines
    looks = {(line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(RUNS)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({}, "at least one history, got none"),
        ({"a": {"loss": [1.0]}}, "run 'a' must hold 'val_exact'; got 'loss'"),
        ({"a": {"val_exact": [98.0]}}, "must lie between 0 and 1, got 98.0"),
        ({"a": {"val_exact": []}}, r"of run 'a' must have shape \(epochs,\)"),
    ],
)
def test_bad_histories_are_named(runs, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(runs)


NORMS = {
    "simple": 0.7 ** np.arange(49.0, -1, -1),
    "GRU": 0.9 ** np.arange(49.0, -1, -1),
    "LSTM": np.append(0.0, 0.99 ** np.arange(48.0, -1, -1)),
}


@pytest.mark.parametrize("title", [None, "Before training"])
def test_norms_are_whole(title, style, whole):
    whole(plots.gradient_norms(NORMS, title, style=style))


def test_norms_stand_at_their_steps_and_zeros_are_left_out():
    (axes,) = plots.gradient_norms(NORMS).axes
    for line, (name, values) in zip(axes.lines, NORMS.items(), strict=True):
        drawn = np.where(values > 0, values, np.nan)
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), drawn)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 51))


@pytest.mark.parametrize(
    ("norms", "message"),
    [
        ({}, "at least one layer's, got none"),
        ({"a": [1.0, -1.0]}, "norms of 'a' must not be negative"),
        ({"a": [[1.0]]}, r"norms of 'a' must have shape \(time,\)"),
    ],
)
def test_bad_norms_are_named(norms, message):
    with pytest.raises(ValueError, match=message):
        plots.gradient_norms(norms)
