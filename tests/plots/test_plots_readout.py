"""The picture of what a cell state knows of the running total."""

import numpy as np
import pytest

from custom_lstm import plots


def states_of(n, time, units, noise=0.0, seed=0):
    """Cell states that hold the totals on one axis, besides much else."""
    rng = np.random.default_rng(seed)
    totals = np.cumsum(rng.integers(-9, 10, size=(n, time)), axis=1)
    cells = 3 * rng.normal(size=(n, time, units))
    direction = rng.normal(size=units)
    direction /= np.linalg.norm(direction)
    own = (cells @ direction)[..., None] * direction
    told = totals + 5 + noise * rng.normal(size=totals.shape)
    return cells - own + 0.1 * told[..., None] * direction, totals


@pytest.mark.parametrize("title", [None, "The cell state"])
def test_is_whole(title, style, whole):
    whole(plots.readout(*states_of(80, 4, 16, noise=0.5), title, style=style))


@pytest.mark.parametrize(("n", "time", "units"), [(2, 3, 1), (6, 20, 8), (40, 1, 4)])
def test_is_whole_at_other_sizes(n, time, units, whole):
    whole(plots.readout(*states_of(n, time, units)))


def test_what_is_linear_is_read_without_error():
    cells, totals = states_of(60, 4, 12)
    scatter = plots.readout(cells, totals).axes[0]
    true, read = scatter.lines[1].get_data()
    np.testing.assert_array_equal(true, totals[1::2].ravel())
    np.testing.assert_allclose(read, true, atol=1e-9)
    assert scatter.get_title("right") == "$R^2$ = 1.000"


def test_what_is_not_there_is_not_read():
    cells = np.random.default_rng(1).normal(size=(400, 4, 12))
    totals = states_of(400, 4, 1)[1]
    score = plots.readout(cells, totals).axes[0].get_title("right")
    assert abs(float(score.rpartition(" ")[2])) < 0.05


def test_sequences_over_time_are_those_not_fitted_to():
    cells, totals = states_of(60, 4, 12)
    for axes, true in zip(
        plots.readout(cells, totals).axes[1:], totals[1::2], strict=False
    ):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), true)
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("cells", "totals", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 2)), r"cells must have shape \(n, time, unit"),
        (np.zeros((9, 2, 3)), np.zeros((9, 3)), r"totals must have shape \(9, 2\)"),
        (np.zeros((4, 2, 4)), np.zeros((4, 2)), "got 4 steps, 4 units"),
    ],
)
def test_bad_states_are_named(cells, totals, message):
    with pytest.raises(ValueError, match=message):
        plots.readout(cells, totals)
