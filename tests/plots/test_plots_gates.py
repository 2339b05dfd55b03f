"""The picture of an LSTM's gates and states."""

import numpy as np
import pytest

from custom_lstm import plots

NAMES = ["input", "forget", "candidate", "output", "c", "h"]


def run_of(draw, time, units=64, seed=0):
    """A sequence as an LSTM with random gates would live through it."""
    rng = np.random.default_rng(seed)
    signs = np.where(np.arange(time) % 2 == 0, 1, -1)
    i, f, o = 1 / (1 + np.exp(-rng.normal(0, 2, (3, time, units))))
    g = np.tanh(rng.normal(0, 2, (time, units)))
    c = np.zeros((time + 1, units))
    for t in range(time):
        c[t + 1] = f[t] * c[t] + i[t] * g[t]
    h = o * np.tanh(c[1:])
    total = np.cumsum(rng.integers(0, 10, time) * signs)
    states = dict(zip(NAMES, (i, f, g, o, c[1:], h), strict=True))
    return draw(time), signs, states, total, total + 0.2


def heat(axes):
    return axes.images[0].get_array()


@pytest.mark.parametrize(("time", "units"), [(1, 1), (4, 64), (20, 64), (30, 8)])
def test_is_whole(time, units, style, whole, drawn_digits):
    *sequence, said = run_of(drawn_digits, time, units)
    said[-1] += 3
    whole(plots.gates(*sequence, said, style=style))


@pytest.mark.parametrize("time", [4, 20])
def test_time_steps_stand_below_their_digits(time, pixels, drawn_digits):
    figure = plots.gates(*run_of(drawn_digits, time))
    pixels(figure)
    left, right = figure.axes[-2:]
    for panels, digits in ((figure.axes[:4], left), (figure.axes[4:7], right)):
        across = digits.transData.transform([(t, 0) for t in range(time)])[:, 0]
        for axes in panels:
            below = axes.transData.transform([(t, 0) for t in range(time)])[:, 0]
            np.testing.assert_allclose(below, across, atol=0.5)
        widths = [
            image.get_extent()[1] - image.get_extent()[0] for image in digits.images
        ]
        assert len(widths) == time
        assert max(widths) <= 1


def test_maps_hold_every_unit_in_one_order(drawn_digits):
    run = run_of(drawn_digits, 4)
    figure = plots.gates(*run)
    states = run[2]
    order = [
        int(np.flatnonzero((row == states["c"].T).all(1))[0])
        for row in np.asarray(heat(figure.axes[4]))
    ]
    assert sorted(order) == list(range(64))
    for axes, name in zip(figure.axes, NAMES, strict=False):
        np.testing.assert_array_equal(heat(axes), states[name][:, order].T)


def test_order_follows_a_trajectory_that_units_share(drawn_digits):
    rng = np.random.default_rng(1)
    images, signs, states, total, said = run_of(drawn_digits, 20)
    share = rng.permutation(np.linspace(-1, 1, 64))
    states["c"] = np.outer(np.linspace(0.1, 2, 20), share)
    drawn = heat(plots.gates(images, signs, states, total, said).axes[4])
    np.testing.assert_allclose(drawn[:, -1], np.linspace(2, -2, 64))


def test_colour_scales_are_those_of_the_quantities(drawn_digits):
    images, signs, states, total, said = run_of(drawn_digits, 4)
    states["c"][2, 5] = 40.0
    figure = plots.gates(images, signs, states, total, said)
    limits = {
        name: axes.images[0].get_clim()
        for name, axes in zip(NAMES, figure.axes, strict=False)
    }
    assert limits["input"] == limits["forget"] == limits["output"] == (0, 1)
    assert limits["candidate"] == limits["h"] == (-1, 1)
    low, high = limits["c"]
    assert low == -high
    assert 1 < high < 5, "one unit must not wash the others out"
    (bar,) = figure.axes[4].child_axes
    assert [text.get_text()[0] for text in bar.get_yticklabels()] == ["≤", "0", "≥"]


def test_running_total_holds_both_and_crosses_mistakes(drawn_digits):
    images, signs, states, total, said = run_of(drawn_digits, 4)
    said[2] += 1
    true, predicted, wrong = (
        plots.gates(images, signs, states, total, said).axes[6].lines
    )
    np.testing.assert_array_equal(true.get_ydata(), total)
    np.testing.assert_array_equal(predicted.get_ydata(), said)
    np.testing.assert_array_equal(wrong.get_xydata(), [[2, said[2]]])
    assert wrong.get_marker() == "X"


def test_digits_and_signs_stand_above(drawn_digits):
    run = run_of(drawn_digits, 4)
    for axes in plots.gates(*run).axes[-2:]:
        assert [text.get_text() for text in axes.texts] == ["+", "−", "+", "−"]
        for image, given in zip(axes.images, run[0], strict=True):
            np.testing.assert_allclose(image.get_array(), given / 255)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget": None}, "forget is missing"),
        (
            {"h": np.zeros((4, 7))},
            r"states\['h'\] must have shape \(4, 8\), got \(4, 7\)",
        ),
        ({"c": np.zeros((3, 8))}, r"states\['c'\] must have shape \(4, units\)"),
        ({"c": np.full((4, 8), np.nan)}, r"states\['c'\] must be finite"),
    ],
)
def test_bad_states_are_named(change, message, drawn_digits):
    images, signs, states, total, said = run_of(drawn_digits, 4, 8)
    states = {k: v for k, v in (states | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        plots.gates(images, signs, states, total, said)


@pytest.mark.parametrize("argument", [0, 1, 3, 4])
def test_lengths_that_differ_are_named(argument, drawn_digits):
    run = list(run_of(drawn_digits, 4, 8))
    run[argument] = run[argument][:3]
    with pytest.raises(ValueError, match=r"must have shape \((3|4)"):
        plots.gates(*run)
