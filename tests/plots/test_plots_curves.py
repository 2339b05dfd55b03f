"""The picture of a training history."""

import numpy as np
import pytest

from custom_lstm import plots

EPOCHS = np.arange(14)
HISTORY = {
    "loss": 3.2 * np.exp(-0.6 * EPOCHS) + 0.03,
    "val_loss": 2.7 * np.exp(-0.6 * EPOCHS) + 0.04,
    "exact": 0.97 - 0.75 * np.exp(-0.65 * EPOCHS),
    "val_exact": 0.99 - 0.75 * np.exp(-0.65 * EPOCHS),
    "mae": 3 * np.exp(-0.6 * EPOCHS),
    "val_mae": 2 * np.exp(-0.6 * EPOCHS),
    "learning_rate": 3e-3 * np.minimum((EPOCHS + 1) / 4, (14 - EPOCHS) / 14),
}
PANELS = ["loss", "exact match", "mean absolute error", "learning rate"]


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes]


def some(*keys):
    return {key: HISTORY[key] for key in keys}


@pytest.mark.parametrize(
    "history",
    [
        HISTORY,
        some("loss", "val_loss", "exact", "val_exact", "learning_rate"),
        some("loss", "exact"),
        some("val_exact"),
        {key: values[:1] for key, values in HISTORY.items()},
        {key: np.repeat(values, 10) for key, values in HISTORY.items()},
    ],
    ids=["all", "no mae", "no validation", "one panel", "one epoch", "140 epochs"],
)
def test_is_whole(history, style, whole):
    whole(plots.curves(history, "MNIST, length 4", style=style))


def test_lines_hold_the_history_from_epoch_1():
    figure = plots.curves(HISTORY)
    assert titles(figure) == PANELS
    for axes, name in zip(figure.axes[:3], ["loss", "exact", "mae"], strict=True):
        training, validation = axes.lines
        np.testing.assert_array_equal(training.get_xdata(), EPOCHS + 1)
        np.testing.assert_array_equal(training.get_ydata(), HISTORY[name])
        np.testing.assert_array_equal(validation.get_ydata(), HISTORY[f"val_{name}"])
    (rate,) = figure.axes[3].lines
    np.testing.assert_array_equal(rate.get_ydata(), HISTORY["learning_rate"])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 0.1], "log"),
        ([1.0, 0.5], "linear"),
        ([1.0, 0.0], "linear"),
        ([-1.0, 5.0], "linear"),
        ([np.nan, 5.0, 0.1], "log"),
        ([np.nan, np.nan], "linear"),
    ],
)
def test_loss_axis_is_logarithmic_where_that_helps(values, scale, whole):
    figure = plots.curves({"loss": values})
    assert figure.axes[0].get_yscale() == scale
    whole(figure)


def test_high_fractions_get_a_shortened_axis():
    low, high = plots.curves({"exact": [0.9, 0.99]}).axes[0].get_ylim()
    assert 0.8 < low < 0.9 < 1.0 < high


def test_only_known_keys_are_drawn():
    assert titles(plots.curves({"epoch": [0, 1], "loss": [2, 1], "x": "abc"})) == [
        "loss"
    ]


def test_the_last_validation_value_is_written():
    titles = [axes.get_title("right") for axes in plots.curves(HISTORY).axes]
    assert titles == ["last: 0.0411", "last: 98.98 %", "last: 0.000819", ""]


def test_training_and_validation_differ_in_more_than_colour():
    training, validation = plots.curves(HISTORY).axes[0].lines
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "got nothing"),
        ({"accuracy": [1.0]}, "got 'accuracy'"),
        ({"loss": [1.0, 2.0], "exact": [0.5]}, "equally long"),
        ({"loss": []}, r"loss must have shape \(epochs,\), got \(0,\)"),
        ({"loss": [[1.0], [1.0, 2.0]]}, "rows of unequal length"),
        ({"loss": ["a"]}, "must hold numbers"),
        ({"val_exact": [0.5, 98.2]}, "val_exact must lie between 0 and 1, got 98.2"),
    ],
)
def test_bad_history_is_named(history, message):
    with pytest.raises(ValueError, match=message):
        plots.curves(history)
