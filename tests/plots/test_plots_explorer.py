"""The widget of `explore`, and the picture where its extra is missing."""

import sys

import numpy as np
import pytest

import custom_lstm
from custom_lstm import plots

VALUES = np.random.default_rng(0).random((2, 4, 3)).astype("float32")
TRACED = {"gate": VALUES, "c": np.stack([VALUES] * 2, -1)}


def test_explore_is_offered_by_the_package():
    assert custom_lstm.explore is plots.explore
    assert "explore" in dir(custom_lstm)


def test_without_the_extra_there_is_a_picture(monkeypatch, complete):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "custom_lstm.plots.explorer", raising=False)
    with pytest.warns(UserWarning, match=r'"custom_lstm\[explore\]"; .* a picture'):
        figure = plots.explore(TRACED, labels="abcd", sequence=1)
    complete(figure)
    (image,) = figure.axes[1].images
    np.testing.assert_allclose(image.get_array(), VALUES[1].T)


@pytest.mark.parametrize(
    ("labels", "written"),
    [
        (None, []),
        ("abcd", ["a", "b", "c", "d"]),
        ([1.0, 2.5, 3, 1 / 3], ["1", "2.5", "3", "0.3333"]),
        (np.arange(8).reshape(4, 2), ["0 1", "2 3", "4 5", "6 7"]),
        (np.zeros((4, 2, 2)), []),
    ],
)
def test_the_widget_holds_the_sequence(labels, written):
    pytest.importorskip("anywidget", reason="the extra `explore` is missing")
    widget = plots.explore(TRACED, labels=labels, sequence=1)
    assert (widget.names, widget.units, widget.steps) == (["gate", "c"], [3, 6], 4)
    assert widget.labels == written
    values = np.frombuffer(widget.values, "<f4")
    np.testing.assert_array_equal(values[:12].reshape(4, 3), VALUES[1])
    np.testing.assert_array_equal(values[12:].reshape(4, 3, 2), TRACED["c"][1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"traced": {}}, "at least one array"),
        ({"labels": "abc"}, "one entry for each of 4 steps, got 3"),
        ({"sequence": 2}, "sequence must be below 2"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        plots.explore(**({"traced": TRACED} | change))
