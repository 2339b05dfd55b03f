"""Units chosen by what they follow, and the others sorted."""

import numpy as np
import pytest

from custom_lstm import plots
from custom_lstm.plots.units import sorted_rows

TIME, UNITS = 12, 9


def noise(n=6, scale=0.1, seed=0):
    return scale * np.random.default_rng(seed).normal(size=(n, TIME, UNITS))


def test_units_are_chosen_by_what_they_follow():
    rng = np.random.default_rng(1)
    total = np.cumsum(rng.integers(-9, 10, (6, TIME)), axis=1)
    sign = np.broadcast_to((-1.0) ** np.arange(TIME), (6, TIME))
    states = noise()
    states[..., 4] -= total
    states[..., 2] += 3 + sign
    states[..., 8] += 1000 * rng.normal(size=(6, TIME))
    chosen = plots.notable_units(states, {"total": total, "sign": sign}, count=3)
    assert chosen == {"total": [4], "sign": [2], "active": [8]}


def test_correlations_are_those_of_numpy():
    states, series = noise(), np.random.default_rng(2).normal(size=(6, TIME))
    states += np.linspace(-0.3, 0.4, UNITS) * series[..., None]
    wanted = [
        abs(np.corrcoef(states[..., u].ravel(), series.ravel())[0, 1])
        for u in range(UNITS)
    ]
    follow = [u for u in np.argsort(wanted)[::-1] if wanted[u] >= 0.5]
    assert 2 < len(follow) < UNITS
    found = plots.notable_units(states, {"x": series}, count=UNITS)["x"]
    left = [unit for unit in follow if unit in found]
    assert found == left and found[0] == follow[0]


def test_nothing_is_said_to_follow_what_it_does_not():
    constant = np.zeros((6, TIME))
    series = np.random.default_rng(3).normal(size=(6, TIME))
    chosen = plots.notable_units(noise(), {"a": constant, "b": series}, count=4)
    assert chosen["a"] == chosen["b"] == []
    assert len(set(chosen["active"])) == 4


def test_steps_that_are_not_finite_do_not_count():
    states = noise()
    sign = np.broadcast_to((-1.0) ** np.arange(TIME), (6, TIME))
    states[..., 3] += sign
    before = plots.notable_units(states, {"sign": sign}, count=2)
    states[0, 2] = np.nan
    states[1, :, 5] = np.inf
    after = plots.notable_units(states, {"sign": sign}, count=2)
    assert before["sign"] == after["sign"] == [3]
    assert plots.notable_units(np.full((1, 3, 2), np.nan), {"x": [[1, 2, 3]]})


@pytest.mark.parametrize(
    ("values", "follow", "message"),
    [
        (np.zeros((2, 3)), {}, r"values must have shape \(n, time, units\)"),
        (np.zeros((2, 3, 4)), {"x": [1, 2, 3]}, r"follow\['x'\] must have shape \(2,"),
    ],
)
def test_bad_arguments_are_named(values, follow, message):
    with pytest.raises(ValueError, match=message):
        plots.notable_units(values, follow)


@pytest.mark.parametrize("units", [1, 5, 7, 250])
def test_every_unit_counts_in_one_sorted_row(units):
    values = np.random.default_rng(units).normal(size=(3, units))
    rows = sorted_rows(values, 7)
    assert rows.shape == (3, min(units, 7))
    falling = np.sort(values)[:, ::-1]
    if units <= 7:
        np.testing.assert_array_equal(rows, falling)
    else:
        sizes = [len(part) for part in np.array_split(np.arange(units), 7)]
        np.testing.assert_allclose(rows @ sizes, values.sum(1))
        np.testing.assert_allclose(rows[:, 0], falling[:, : sizes[0]].mean(1))
