"""Training histories, compared runs, gradient norms and benchmark times."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from custom_lstm import plots
from custom_lstm.plots.style import THEMES

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


def titles_of(figure):
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
def test_curves_are_complete(history, style, complete):
    complete(plots.curves(history, "MNIST, length 4", style=style))


def test_lines_hold_the_history_from_epoch_1():
    figure = plots.curves(HISTORY)
    assert titles_of(figure) == PANELS
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
def test_loss_axis_is_logarithmic_where_that_helps(values, scale, complete):
    figure = plots.curves({"loss": values})
    assert figure.axes[0].get_yscale() == scale
    complete(figure)


def test_high_fractions_get_a_shortened_axis():
    low, high = plots.curves({"exact": [0.9, 0.99]}).axes[0].get_ylim()
    assert 0.8 < low < 0.9 < 1.0 < high


def test_only_known_keys_are_drawn():
    assert titles_of(plots.curves({"epoch": [0, 1], "loss": [2, 1], "x": "abc"})) == [
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


RUN_EPOCHS = np.arange(12)
RUNS = {
    "LSTM": {
        "loss": 3 * np.exp(-0.6 * RUN_EPOCHS) + 0.03,
        "val_exact": 0.98 - 0.8 * np.exp(-0.5 * RUN_EPOCHS),
    },
    "GRU": {
        "loss": 3 * np.exp(-0.4 * RUN_EPOCHS) + 0.03,
        "val_exact": 0.97 - 0.8 * np.exp(-0.4 * RUN_EPOCHS),
    },
    "LSTM, cut short": {"loss": [3.0, 1.7], "val_exact": [0.1, np.nan]},
}


@pytest.mark.parametrize("quantity", ["loss", "val_exact"])
@pytest.mark.parametrize("title", [None, "Three runs"])
def test_learning_curves_are_complete(quantity, title, style, complete):
    complete(plots.learning_curves(RUNS, quantity, title, style=style))


@pytest.mark.parametrize(("runs", "epochs"), [(1, 1), (8, 300), (9, 40), (30, 40)])
def test_learning_curves_of_other_sizes_are_complete(runs, epochs, style, complete):
    loss = np.geomspace(5, 0.01, epochs)
    histories = {f"run {k}": {"loss": loss * (1 + k / 10)} for k in range(runs)}
    complete(plots.learning_curves(histories, "loss", style=style))


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
        "LSTM: 97.67 %",
        "GRU: 96.02 %",
        "LSTM, cut short: 10.00 %",
    ]


def test_the_legend_of_many_runs_names_each_and_covers_none():
    names = [f"a run with a name of some length, {k}" for k in range(21)]
    figure = plots.learning_curves(dict.fromkeys(names, RUNS["LSTM"]), "loss")
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
def test_bad_runs_are_named(runs, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(runs)


NORMS = {
    "simple": 0.7 ** np.arange(49.0, -1, -1),
    "GRU": 0.9 ** np.arange(49.0, -1, -1),
    "LSTM": np.append(0.0, 0.99 ** np.arange(48.0, -1, -1)),
}


@pytest.mark.parametrize("title", [None, "Before training"])
def test_gradient_norms_are_complete(title, style, complete):
    complete(plots.gradient_norms(NORMS, title, style=style))


def test_norms_are_drawn_at_their_steps_and_zeros_are_left_out():
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


TIMES = {
    "custom_lstm": [1, 1, 1],
    "keras.layers.RNN(LSTMCell)": [1.7, 1.82, 2.1],
    "torch.nn.LSTM": [0.9, 1.05, 1.2],
    "convolutions and matrix products": [0.3, 0.33, 0.36],
}
BENCHMARKS = {
    f"length {n}, {kind}": TIMES for n in (4, 6) for kind in ("train", "infer")
}


@pytest.mark.parametrize("panels", [1, 2, 3, 4])
@pytest.mark.parametrize("title", [None, "Two cores"])
def test_bars_are_complete(panels, title, style, complete):
    some = dict(list(BENCHMARKS.items())[:panels])
    complete(plots.bars(some, title=title, style=style))


@pytest.mark.parametrize("slowest", [1.0, 40.0, 123456.0])
def test_bars_of_other_ratios_are_complete(slowest, complete):
    times = {"custom_lstm": [1, 1, 1], "another": [slowest, slowest, 1.5 * slowest]}
    complete(plots.bars({"one": times, "another": TIMES}))


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


def test_only_the_reference_has_the_models_colour(style):
    (axes,) = plots.bars({"one": TIMES}, "torch.nn.LSTM", style=style).axes
    model = THEMES[style].model
    drawn = [same_color(bar.get_facecolor(), model) for bar in axes.containers[1]]
    assert drawn == [name == "torch.nn.LSTM" for name in TIMES]


def test_the_reference_is_the_first_candidate_unless_named():
    for named, label in ((None, "custom_lstm"), ("torch.nn.LSTM", "torch.nn.LSTM")):
        figure = plots.bars({"one": TIMES}, named)
        assert figure.get_supxlabel() == f"time relative to {label}"


def test_values_overlap_neither_whiskers_nor_the_next_panel(pixels):
    figure = plots.bars(BENCHMARKS)
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
