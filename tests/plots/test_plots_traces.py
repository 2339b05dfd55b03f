"""Traces of any cell, drawn with words, series and images."""

import keras
import numpy as np
import pytest

from custom_lstm import GRU, LSTM, RNN, plots, trace
from custom_lstm.cells import ConvGRUCell, IndRNNCell

WORDS = ["to", "be", "or", "not", "to"]


def inputs(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes if axes.child_axes]


def maps(figure):
    return {axes.get_title("left"): axes for axes in figure.axes if axes.child_axes}


def names(axes):
    return [tick.get_text() for tick in axes.get_yticklabels()]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize(
    ("make", "shape", "labels"),
    [
        (lambda: LSTM(64), (3, 5, 2), WORDS),
        (lambda: LSTM(7), (1, 38, 2), "Many letters, a step each, $ and\n all."),
        (lambda: GRU(40), (2, 30, 1), np.sin(np.arange(30))),
        (lambda: GRU(3), (2, 300, 3), inputs(300, 3)),
        (lambda: RNN(IndRNNCell(20)), (1, 1, 2), None),
        (lambda: RNN(ConvGRUCell(3, 3)), (1, 6, 8, 8, 1), inputs(6, 8, 8, 1)),
        (lambda: RNN(ConvGRUCell(1, 3)), (1, 4, 8, 8, 3), inputs(4, 8, 12, 3)),
        (lambda: RNN([IndRNNCell(20), IndRNNCell(30)]), (2, 6, 4), ["long word"] * 6),
    ],
)
def test_states_of_any_cell_on_any_data_are_complete(make, shape, labels, complete):
    traced = trace(make(), inputs(*shape))
    figure = plots.states(traced, labels=labels, title="What it saw")
    assert titles(figure) == list(traced)
    complete(figure)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("target", [None, inputs(2, 9, 1)])
def test_states_are_complete_on_either_background(scale, target, style, complete):
    traced = {"gate": np.full((2, 9, 30), 0.5), "h": scale * inputs(2, 9, 30)}
    complete(plots.states(traced, target=target, style=style))


def test_few_units_are_all_rows_with_their_numbers():
    traced = trace(LSTM(12), inputs(3, 5, 2))
    for name, axes in maps(plots.states(traced, sequence=1)).items():
        (image,) = axes.images
        np.testing.assert_allclose(image.get_array(), traced[name][1].T)
        assert names(axes) == [str(unit) for unit in range(12)]


def test_of_many_units_those_are_named_that_follow_something():
    target = np.cumsum(inputs(4, 10), axis=1)
    h = 0.1 * inputs(4, 10, 50)
    h[..., 11] -= target
    h[..., 22] += (-1.0) ** np.arange(10)
    h[..., 33] *= 1000
    traced = {"gate": np.random.default_rng(1).random((4, 10, 50)), "h": h}
    figure = plots.states(traced, target=target[..., None], sequence=-1)
    for name, axes in maps(figure).items():
        *named, others = names(axes)
        assert others == f"{50 - len(named)} others"
        assert {"target 11", "alternates 22", "active 33"} <= set(named)
        rows = axes.images[0].get_array()
        own = [int(label.split()[1]) for label in named]
        np.testing.assert_array_equal(rows, traced[name][-1][:, own].T)
        rest = np.delete(traced[name][-1], own, axis=1)
        strip = np.asarray(axes.images[1].get_array())
        assert strip.max() <= rest.max() and strip.min() >= rest.min()
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), target[-1])
    (note,) = [text.get_text() for text in figure.texts]
    assert "target: units that follow" in note and "alternates:" in note


def test_by_says_which_map_chooses():
    a, b = inputs(1, 8, 30), inputs(1, 8, 30)
    a[..., 3] *= 100
    b[..., 4] *= 100
    for by, unit in (("a", 3), ("b", 4), (None, 4)):
        figure = plots.states({"a": a, "b": b}, by=by)
        for axes in maps(figure).values():
            first = [name for name in names(axes) if name.startswith("active")][0]
            assert first == f"active {unit}"


def test_cells_of_a_stack_choose_for_themselves():
    first, second = inputs(1, 8, 30), inputs(1, 8, 30)
    first[..., 3] *= 100
    second[..., 4] *= 100
    drawn = maps(plots.states({"0/h": first, "1/h": second}))
    assert "active 3" in names(drawn["0/h"]) and "active 4" in names(drawn["1/h"])


@pytest.mark.parametrize(("time", "units"), [(5, 12), (5, 13), (400, 600)])
def test_no_map_drops_a_row_or_a_step(time, units, style, pixels):
    figure = plots.states({"h": inputs(1, time, units)}, style=style)
    page = pixels(figure)
    (axes,) = figure.axes
    columns = axes.transData.transform([(t, 0) for t in range(time)])[:, 0]
    assert time == 1 or np.diff(columns).min() > 3.5
    for image in axes.images:
        values = np.asarray(image.get_array())
        _, _, bottom, top = image.get_extent()
        edges = np.linspace(top, bottom, len(values) + 1)
        ends = axes.transData.transform([(0, edge) for edge in edges])[:, 1]
        assert (-np.diff(ends)).min() > 3.5
        down = len(page) - (ends[1:] + ends[:-1]) / 2
        drawn = page[down.astype(int)][:, columns.astype(int)]
        colours = image.to_rgba(values, bytes=True)[..., :3]
        np.testing.assert_array_equal(drawn, colours)


def test_steps_behind_a_mask_stay_empty(pixels):
    mask = np.array([[True, True, True, False, False]])
    traced = trace(LSTM(4), inputs(1, 5, 2), mask=mask)
    figure = plots.states(traced)
    page = pixels(figure)
    axes = maps(figure)["forget"]
    colours = []
    for step in range(5):
        across, up = axes.transData.transform((step, 0.3)).astype(int)
        colours.append(page[len(page) - up, across].tolist())
    assert [colour == [255] * 3 for colour in colours] == [False] * 3 + [True] * 2


def test_words_are_written_over_their_steps_as_they_are():
    figure = plots.states({"h": inputs(1, 4, 3)}, labels=["$x$", " ", "a\n", "b" * 20])
    (words,) = [axes for axes in figure.axes if axes.texts]
    assert [text.get_text() for text in words.texts] == [
        "$x$",
        "␣",
        "a\\n",
        "b" * 13 + "…",
    ]
    assert [text.get_position()[0] for text in words.texts] == [0, 1, 2, 3]


def test_lines_and_images_are_those_given():
    series = inputs(6, 2)
    figure = plots.states({"h": inputs(1, 6, 3)}, labels=series)
    for line, values in zip(figure.axes[0].lines, series.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
    images[0, 0, :2] = 0, 255
    figure = plots.states({"h": inputs(1, 6, 3)}, labels=images)
    for drawn, image in zip(figure.axes[0].images, images, strict=True):
        np.testing.assert_allclose(drawn.get_array(), image / 255)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"traced": {}}, "traced must hold at least one array, got none"),
        ({"traced": {"lstm": {"h": 1}}}, r"choose one, as in traced\['lstm'\]"),
        (
            {"traced": {"h": np.zeros(3)}},
            r"traced\['h'\] must have shape \(batch, time",
        ),
        (
            {"traced": {"c": np.zeros((2, 5, 3)), "h": np.zeros((2, 4, 3))}},
            r"traced\['h'\] must have shape \(2, 5, ...\), got \(2, 4, 3\)",
        ),
        ({"traced": {"h": np.zeros((1, 10_001, 1))}}, "at most 10000 steps, got 10001"),
        ({"sequence": 2}, "sequence must be below 2, got 2"),
        ({"by": "c"}, "by must be one of h, got 'c'"),
        (
            {"target": np.zeros((2, 4))},
            r"target must have shape \(2, 5\), got \(2, 4\)",
        ),
        ({"labels": [["a"], ["b", "c"]] * 2}, "labels must be 5 words, numbers .time"),
        ({"labels": ["a", "b"]}, "one entry for each of 5 steps, got 2"),
        ({"labels": np.zeros((5, 3, 3, 2))}, r"labels must be .* of shape \(5, 3, 3,"),
        ({"style": "sepia"}, "style must be"),
    ],
)
def test_bad_arguments_are_named(change, message):
    good = {"traced": {"h": np.zeros((2, 5, 3))}}
    with pytest.raises(ValueError, match=message):
        plots.states(**(good | change))
