"""Gates and states, linear probes, and shapes on their way through a network."""

import numpy as np
import pytest

from custom_lstm import plots

NAMES = ["input", "forget", "candidate", "output", "c", "h"]


def run_of(draw, time, units=64, seed=0):
    """Return a sequence as an LSTM with random gates passes through it."""
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


@pytest.mark.parametrize(("time", "units"), [(1, 1), (4, 256), (20, 64), (30, 8)])
def test_gates_are_complete(time, units, style, complete, drawn_digits):
    *sequence, predicted = run_of(drawn_digits, time, units)
    predicted[-1] += 3
    complete(plots.gates(*sequence, predicted, style=style))


@pytest.mark.parametrize("time", [1, 4, 20])
def test_marks_are_explained_beside_the_title_and_not_on_it(time, pixels, drawn_digits):
    *sequence, predicted = run_of(drawn_digits, time, 256)
    predicted[-1] += 3
    figure = plots.gates(*sequence, predicted)
    pixels(figure)
    (axes,) = (axes for axes in figure.axes if axes.get_legend())
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == ["true", "predicted", "wrong"]
    title = axes.title if axes.title.get_text() else axes._left_title
    title, legend = title.get_window_extent(), axes.get_legend().get_window_extent()
    assert title.x1 < legend.x0


@pytest.mark.parametrize("time", [4, 20])
def test_time_steps_are_drawn_below_their_digits(time, pixels, drawn_digits):
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
    run = run_of(drawn_digits, 4, 32)
    figure = plots.gates(*run)
    states = run[2]
    order = [
        int(np.flatnonzero((row == states["c"].T).all(1))[0])
        for row in np.asarray(heat(figure.axes[4]))
    ]
    assert sorted(order) == list(range(32))
    for axes, name in zip(figure.axes, NAMES, strict=False):
        np.testing.assert_array_equal(heat(axes), states[name][:, order].T)


def test_order_follows_a_trajectory_that_units_share(drawn_digits):
    rng = np.random.default_rng(1)
    images, signs, states, total, predicted = run_of(drawn_digits, 20, 32)
    share = rng.permutation(np.linspace(-1, 1, 32))
    states["c"] = np.outer(np.linspace(0.1, 2, 20), share)
    drawn = heat(plots.gates(images, signs, states, total, predicted).axes[4])
    np.testing.assert_allclose(drawn[:, -1], np.linspace(2, -2, 32))


def rows_of(axes):
    """Return where each row of each heat map lies, in pixels from the bottom."""
    for image in axes.images:
        values = np.asarray(image.get_array())
        _, _, bottom, top = image.get_extent()
        edges = np.linspace(top, bottom, len(values) + 1)
        ends = axes.transData.transform([(0, edge) for edge in edges])[:, 1]
        yield image, values, ends


@pytest.mark.parametrize(("time", "units"), [(4, 24), (4, 256), (20, 1000)])
def test_no_map_drops_a_row(time, units, style, pixels, drawn_digits):
    """The colour of every row is on the page, in every column."""
    figure = plots.gates(*run_of(drawn_digits, time, units), style=style)
    page = pixels(figure)
    for axes in figure.axes[:6]:
        across = axes.transData.transform([(t, 0) for t in range(time)])[:, 0]
        for image, values, ends in rows_of(axes):
            assert (-np.diff(ends)).min() >= 3.5, "a row of less than 3 or 4 pixels"
            down = len(page) - (ends[1:] + ends[:-1]) / 2
            drawn = page[down.astype(int)][:, across.astype(int)]
            np.testing.assert_array_equal(
                drawn, image.to_rgba(values, bytes=True)[..., :3]
            )


def test_many_units_are_a_few_by_name_and_all_others_summed_up(drawn_digits):
    images, signs, states, total, predicted = run_of(drawn_digits, 20, 256)
    states["c"][:, 7] = -total / 10
    states["c"][:, 200] = 0.5 * signs
    states["c"][:, 31] *= 100
    figure = plots.gates(images, signs, states, total, predicted)
    for axes, name in zip(figure.axes[:6], NAMES, strict=True):
        *named, others = [tick.get_text() for tick in axes.get_yticklabels()]
        assert {"total 7", "sign 200", "active 31"} <= set(named)
        assert others == f"{256 - len(named)} others"
        own = [int(label.split()[1]) for label in named]
        rows, strip = (np.asarray(image.get_array()) for image in axes.images)
        np.testing.assert_array_equal(rows, states[name][:, own].T)
        rest = np.delete(states[name], own, axis=1)
        np.testing.assert_allclose(strip.mean(0), rest.mean(1), rtol=0.1, atol=0.02)
        assert (np.diff(strip, axis=0) <= 0).all(), "sorted at every step"
    (note,) = [text.get_text() for text in figure.texts]
    assert f"averaged to {len(strip)} rows" in note


def test_units_chosen_elsewhere_are_the_rows(complete, drawn_digits):
    run = run_of(drawn_digits, 4, 12)
    figure = plots.gates(*run, units={"total": [3, 5], "sign": [0]})
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["total 3", "total 5", "sign 0", "9 others"]
    complete(figure)
    everything = plots.gates(*run, units={"unit": range(12)})
    assert len(everything.axes[0].images) == 1, "there are no others"
    complete(everything)


@pytest.mark.parametrize(
    "units", [{}, {"t": [12]}, {"t": [-1]}, {"t": [1, 1]}, {"t": [1], "s": [1]}]
)
def test_units_that_are_not_there_are_named(units, drawn_digits):
    with pytest.raises(ValueError, match="units must hold different numbers from 0 to"):
        plots.gates(*run_of(drawn_digits, 4, 12), units=units)


def test_colour_scales_are_those_of_the_quantities(drawn_digits):
    images, signs, states, total, predicted = run_of(drawn_digits, 4)
    states["c"][2, 5] = 40.0
    figure = plots.gates(images, signs, states, total, predicted)
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
    images, signs, states, total, predicted = run_of(drawn_digits, 4)
    predicted[2] += 1
    true, dots, wrong = (
        plots.gates(images, signs, states, total, predicted).axes[6].lines
    )
    np.testing.assert_array_equal(true.get_ydata(), total)
    np.testing.assert_array_equal(dots.get_ydata(), predicted)
    np.testing.assert_array_equal(wrong.get_xydata(), [[2, predicted[2]]])
    assert wrong.get_marker() == "X"


def test_digits_and_signs_are_drawn_above(drawn_digits):
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
    images, signs, states, total, predicted = run_of(drawn_digits, 4, 8)
    states = {k: v for k, v in (states | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        plots.gates(images, signs, states, total, predicted)


@pytest.mark.parametrize("argument", [0, 1, 3, 4])
def test_lengths_that_differ_are_named(argument, drawn_digits):
    run = list(run_of(drawn_digits, 4, 8))
    run[argument] = run[argument][:3]
    with pytest.raises(ValueError, match=r"must have shape \((3|4)"):
        plots.gates(*run)


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
def test_probes_are_complete(title, style, complete):
    complete(plots.linear_probe(*states_of(80, 4, 16, noise=0.5), title, style=style))


@pytest.mark.parametrize(("n", "time", "units"), [(2, 3, 1), (6, 20, 8), (40, 1, 4)])
def test_probes_of_other_sizes_are_complete(n, time, units, complete):
    complete(plots.linear_probe(*states_of(n, time, units)))


def test_what_is_linear_is_read_without_error():
    cells, totals = states_of(60, 4, 12)
    scatter = plots.linear_probe(cells, totals).axes[0]
    true, read = scatter.lines[1].get_data()
    np.testing.assert_array_equal(true, totals[1::2].ravel())
    np.testing.assert_allclose(read, true, atol=1e-9)
    assert scatter.get_title("right") == "$R^2$ = 1.000"


def test_what_is_not_encoded_is_not_read():
    cells = np.random.default_rng(1).normal(size=(400, 4, 12))
    totals = states_of(400, 4, 1)[1]
    score = plots.linear_probe(cells, totals).axes[0].get_title("right")
    assert abs(float(score.rpartition(" ")[2])) < 0.05


def test_sequences_over_time_are_those_not_fitted_to():
    cells, totals = states_of(60, 4, 12)
    for axes, true in zip(
        plots.linear_probe(cells, totals).axes[1:], totals[1::2], strict=False
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
def test_bad_cells_are_named(cells, totals, message):
    with pytest.raises(ValueError, match=message):
        plots.linear_probe(cells, totals)


STAGES = [
    ("image", (28, 28, 1)),
    ("convolution", (24, 24, 16)),
    ("pooling", (12, 12, 16)),
    ("convolution", (12, 12, 32)),
    ("pooling", (6, 6, 32)),
    ("dense", (128,)),
]


@pytest.mark.parametrize("title", [None, "What the encoder makes of one digit"])
@pytest.mark.parametrize("stages", [STAGES, STAGES[:1], STAGES[-1:], STAGES + STAGES])
def test_shapes_are_complete(stages, title, style, complete):
    complete(plots.shapes(stages, title, style=style))


def test_every_stage_has_its_name_and_shape():
    texts = [text.get_text() for text in plots.shapes(STAGES).axes[0].texts]
    assert [text for text in texts if text] == [
        "image", "28×28×1", "convolution", "24×24×16", "pooling", "12×12×16",
        "convolution", "12×12×32", "pooling", "6×6×32", "dense", "128",
    ]  # fmt: skip


def test_sides_are_to_scale():
    sheets = plots.shapes([("a", (28, 28, 1)), ("b", (7, 14, 1))]).axes[0].patches
    large, small = sheets
    assert small.get_height() == pytest.approx(large.get_height() / 4)
    assert small.get_width() == pytest.approx(large.get_width() / 2)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "at least one shape, got none"),
        ([("a", (28, 28))], r"shape of 'a' must be .*, got \(28, 28\)"),
        ([("a", (0,))], r"all positive, got \(0,\)"),
    ],
)
def test_bad_shapes_are_named(stages, message):
    with pytest.raises(ValueError, match=message):
        plots.shapes(stages)
