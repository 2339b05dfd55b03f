"""Sequences of digits, scores by position, and which digits were mistaken."""

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from custom_lstm import plots
from custom_lstm.plots.style import CROSS, THEMES


def sequences(draw, n, time):
    signs = np.where(np.arange(time) % 2 == 0, 1, -1)
    values = np.random.default_rng(0).integers(0, 10, (n, time))
    return draw(n, time), np.cumsum(values * signs, 1), signs


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def boxes(figure):
    return [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]


@pytest.mark.parametrize(
    ("n", "time"), [(1, 1), (1, 4), (6, 4), (12, 4), (3, 8), (4, 20), (1, 100)]
)
def test_predictions_are_complete(n, time, complete, drawn_digits):
    images, true, signs = sequences(drawn_digits, n, time)
    complete(plots.predictions(images, true, true + (true % 3 == 0), signs))


def test_predictions_are_complete_on_either_background(style, complete, drawn_digits):
    images, true, signs = sequences(drawn_digits, 6, 4)
    figure = plots.predictions(images, true, true + 1, signs, "all wrong", style=style)
    complete(figure)
    assert texts(figure)[0] == "all wrong"


@pytest.mark.parametrize(("n", "time"), [(8, 4), (6, 20), (2, 100)])
def test_no_text_runs_into_another(n, time, pixels, drawn_digits):
    images, true, signs = sequences(drawn_digits, n, time)
    true[:, -1] = -123
    figure = plots.predictions(images, true, true - 1, signs)
    pixels(figure)
    written = [t for t in figure.axes[0].texts if t.get_text() != CROSS]
    extents = np.array([t.get_window_extent().extents for t in written])
    low, high = extents[:, None, :2], extents[:, None, 2:]
    overlap = (low < high.swapaxes(0, 1)) & (low.swapaxes(0, 1) < high)
    assert overlap.all(-1).sum() == len(extents), "each text overlaps itself alone"


def test_digits_are_drawn_in_reading_order(drawn_digits):
    images, true, signs = sequences(drawn_digits, 3, 4)
    figure = plots.predictions(images, true, true, signs)
    drawn = figure.axes[0].images
    for image, given in zip(drawn, images.reshape(-1, 28, 28), strict=True):
        np.testing.assert_allclose(image.get_array(), given / 255)
    places = [image.get_extent() for image in drawn]
    lefts = np.array([place[0] for place in places]).reshape(3, 4)
    assert (np.diff(lefts) > 0).all()


def test_a_digit_is_drawn_upright(pixels):
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[..., :6, :] = 255  # a bar at the top
    figure = plots.predictions(image, [[0]], [[0]], [1], "")
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    across, down = (
        figure.axes[0]
        .transData.transform([((left + right) / 2, 0.9 * top + 0.1 * bottom)])[0]
        .astype(int)
    )
    assert top < bottom, "inches are counted from the top"
    page = pixels(figure)
    assert page[len(page) - down, across].max() < 30


def test_totals_and_signs_are_written(drawn_digits):
    figure = plots.predictions(
        drawn_digits(1, 3), [[5, -2, 3]], [[5.2, -1.6, 3.4]], [1, -1, 1]
    )
    assert texts(figure)[0] == "3 of 3 running totals right"
    body = [text for text in texts(figure)[1:] if text not in ("true", "predicted")]
    assert body == ["+", "5", "5", "−", "−2", "−2", "+", "3", "3"]
    assert not boxes(figure)


def test_mistakes_are_boxed_crossed_and_bold(style, drawn_digits):
    true, predicted = [[5, 2], [1, 0]], [[5.4, 2.6], [1.0, np.nan]]
    figure = plots.predictions(
        drawn_digits(2, 2), true, predicted, [1, -1], style=style
    )
    assert texts(figure)[0] == "2 of 4 running totals right"
    assert texts(figure).count(CROSS) == len(boxes(figure)) == 2
    bold = [t for t in figure.axes[0].texts[1:] if t.get_weight() == "bold"]
    predicted_text = [t for t in bold if t.get_text() != CROSS]
    assert [text.get_text() for text in predicted_text] == ["3", "?"]
    assert all(
        same_color(text.get_color(), THEMES[style].wrong) for text in predicted_text
    )


def test_an_error_carried_over_is_paler_than_its_cause(style, complete, drawn_digits):
    """The second digit is misread, the third read; at the fourth a second mistake."""
    true, predicted = [[8, 1, 6, 2]], [[8, 7.2, 11.9, 3]]
    figure = plots.predictions(
        drawn_digits(1, 4), true, predicted, [1, -1, 1, -1], style=style
    )
    cause, carried, other = boxes(figure)
    for strong, linestyle in ((cause, "-"), (other, "-"), (carried, "--")):
        assert strong.get_linestyle() == linestyle
    for alpha in (lambda b: b.get_facecolor()[3], lambda b: b.get_edgecolor()[3]):
        assert alpha(cause) == alpha(other) > 1.5 * alpha(carried)
    assert texts(figure).count(CROSS) == 2
    bold = [t.get_text() for t in figure.axes[0].texts[1:] if t.get_weight() == "bold"]
    assert [text for text in bold if text != CROSS] == ["7", "3"]
    complete(figure)


def test_pixels_of_a_carried_error_are_nearer_the_paper(style, pixels, drawn_digits):
    figure = plots.predictions(
        drawn_digits(1, 2), [[3, 1]], [[5, 3]], [1, -1], style=style
    )
    page = pixels(figure).astype(int)
    paper = page[0, 0]
    far = []
    for box in boxes(figure):
        corner = figure.axes[0].transData.transform(box.get_bbox().get_points())
        left, bottom = corner.min(0).astype(int) + 20
        far.append(np.abs(page[len(page) - bottom, left] - paper).sum())
    assert far[0] > 2 * far[1] > 0


@pytest.mark.parametrize(
    ("predicted", "legend"),
    [
        ([[3, 1]], []),
        ([[3, 2]], [f"{CROSS} misread"]),
        ([[5, 3]], [f"{CROSS} misread", "pale: error carried over"]),
        ([[np.nan, np.nan]], [f"{CROSS} misread", "pale: error carried over"]),
    ],
)
def test_a_legend_says_what_is_marked(predicted, legend, complete, drawn_digits):
    figure = plots.predictions(drawn_digits(1, 2), [[3, 1]], predicted, [1, -1])
    found = figure.axes[0].get_legend()
    told = [text.get_text() for text in found.get_texts()] if found else []
    assert told == legend
    complete(figure)


@pytest.mark.parametrize("n", range(1, 13))
def test_no_cell_is_empty(n, drawn_digits):
    images, true, signs = sequences(drawn_digits, n, 4)
    figure = plots.predictions(images, true, true, signs)
    places = [image.get_extent() for image in figure.axes[0].images[::4]]
    lefts, bottoms = ({round(place[k], 3) for place in places} for k in (0, 2))
    assert len(lefts) * len(bottoms) == n


def test_lines_of_a_long_sequence_are_of_one_length(drawn_digits):
    images, true, signs = sequences(drawn_digits, 1, 45)
    figure = plots.predictions(images, true, true, signs)
    lines = [round(image.get_extent()[2], 3) for image in figure.axes[0].images]
    assert [lines.count(line) for line in dict.fromkeys(lines)] == [15, 15, 15]


def test_without_predictions_there_is_no_predicted_row(style, complete, drawn_digits):
    figure = plots.predictions(drawn_digits(1, 2), [[5, 2]], None, [1, -1], style=style)
    assert texts(figure) == ["true running totals", "+", "5", "true", "−", "2"]
    complete(figure)


def test_no_totals_at_all_is_an_error(drawn_digits):
    with pytest.raises(ValueError, match="true_totals and predicted_totals must be"):
        plots.predictions(drawn_digits(1, 2), None, None, [1, -1])


def test_without_truth_there_is_no_true_row(style, complete, drawn_digits):
    figure = plots.predictions(drawn_digits(1, 2), None, [[5, 2]], [1, -1], style=style)
    assert texts(figure) == [
        "predicted running totals",
        "+",
        "5",
        "predicted",
        "−",
        "2",
    ]
    complete(figure)


def test_long_sequences_continue_in_the_next_line(drawn_digits):
    images, true, signs = sequences(drawn_digits, 1, 45)
    figure = plots.predictions(images, true, true, signs)
    assert texts(figure).count("predicted") == 3
    assert figure.get_figwidth() <= 12.81


def test_a_channel_axis_and_floats_are_accepted(drawn_digits):
    images, true, signs = sequences(drawn_digits, 2, 3)
    figure = plots.predictions(images[..., None] / 255.0, true, true, signs)
    scale = images.max() / 255
    np.testing.assert_allclose(
        figure.axes[0].images[0].get_array(), images[0, 0] / 255 / scale, atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 3, 20, 28))}, r"images must have shape \(n, time, 28"),
        ({"images": np.zeros((0, 3, 28, 28))}, r"got \(0, 3, 28, 28\)"),
        ({"true_totals": np.zeros((2, 4))}, r"true_totals must have shape \(2, 3\)"),
        ({"predicted_totals": np.zeros(3)}, r"predicted_totals .* got \(3,\)"),
        ({"signs": [1, -1]}, r"signs must have shape \(3,\), got \(2,\)"),
        ({"signs": [1, 0, 1]}, "signs must be 1 or -1, got 0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    good = {
        "images": np.zeros((2, 3, 28, 28), np.uint8),
        "true_totals": np.zeros((2, 3)),
        "predicted_totals": np.zeros((2, 3)),
        "signs": [1, -1, 1],
    }
    with pytest.raises(ValueError, match=message):
        plots.predictions(**(good | change))


BLIND = {
    "position mean": [0.10, 0.09, 0.08, 0.075],
    "position median": [0.10, 0.10, 0.08, 0.07],
    "position mode": [0.11, 0.10, 0.09, 0.08],
}
CEILING = 0.996 ** np.arange(1, 5)
EXACT = np.array([0.996, 0.991, 0.987, 0.982])


@pytest.mark.parametrize("title", [None, "MNIST, length 4"])
def test_positions_are_complete(title, style, complete):
    complete(plots.positions(EXACT, CEILING, BLIND, title, style=style))


@pytest.mark.parametrize("time", [1, 7, 20, 100])
@pytest.mark.parametrize("accuracy", [0.999, 0.9])
def test_positions_of_other_lengths_are_complete(time, accuracy, complete):
    t = np.arange(1, time + 1)
    blind = {"mode": 0.1 / t}
    complete(plots.positions(accuracy**t, (accuracy**t) ** 0.9, blind))


def test_lines_hold_the_scores():
    left, top = plots.positions(EXACT, CEILING, BLIND).axes
    lines = {line.get_label(): line for line in left.lines}
    expected = {"ceiling $p^t$": CEILING, "model": EXACT}
    expected |= {f"image-blind {name}": values for name, values in BLIND.items()}
    assert lines.keys() == expected.keys()
    for label, values in expected.items():
        np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(lines[label].get_ydata(), values)
    assert [line.get_label() for line in top.lines] == ["ceiling $p^t$", "model"]


def test_top_end_shows_model_and_ceiling_and_little_else():
    low, high = plots.positions(EXACT, CEILING, BLIND).axes[1].get_ylim()
    assert 0.97 < low < EXACT.min()
    assert EXACT.max() < high < 1.01


def test_values_do_not_overlap_the_title(pixels):
    exact = [1.0, 0.99, 0.98, 0.83]
    figure = plots.positions(exact, 0.9975 ** np.arange(1, 5), BLIND)
    pixels(figure)
    top, renderer = figure.axes[1], figure.canvas.get_renderer()
    (title,) = top.findobj(lambda o: isinstance(o, Text) and "top" in o.get_text())
    place = title.get_window_extent(renderer)
    for text in top.texts:
        assert not place.overlaps(text.get_window_extent(renderer)), text


def test_low_scores_need_no_enlargement():
    assert len(plots.positions([0.9, 0.4], [0.9, 0.8], {}).axes) == 1


def test_points_carry_their_values_the_higher_above():
    top = plots.positions([0.9, 0.8], [0.8, 0.9], {}).axes[1]
    assert [(text.get_text(), text.get_va()) for text in top.texts] == [
        ("80.00", "top"),
        ("90.00", "bottom"),
    ] * 2


def test_baselines_differ_in_more_than_colour():
    lines = plots.positions(EXACT, CEILING, BLIND).axes[0].lines[2:]
    assert len({line.get_marker() for line in lines}) == 3


@pytest.mark.parametrize(
    ("exact", "ceiling", "blind", "message"),
    [
        ([0.9, 0.8], [0.9], {}, r"ceiling_per_position must have shape \(2,\)"),
        ([0.9], [0.9], {"mode": [0.1, 0.2]}, "baseline 'mode' must have shape"),
        ([99.0], [0.9], {}, "exact_per_position must lie between 0 and 1, got 99"),
        ([], [], {}, r"must have shape \(time,\), got \(0,\)"),
    ],
)
def test_bad_scores_are_named(exact, ceiling, blind, message):
    with pytest.raises(ValueError, match=message):
        plots.positions(exact, ceiling, blind)


SIGNS = np.array([1, -1, 1, -1])


def digits_and_totals(n, time=4, slips=0.0, seed=0):
    """Digits, and totals in which some digits were taken for others."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(10, size=(n, time))
    taken = np.where(
        rng.random(digits.shape) < slips, rng.integers(10, size=(n, time)), digits
    )
    return digits, np.cumsum(taken * np.resize(SIGNS, time), axis=1)


def counts_in(axes):
    """Return the numbers written in a panel, by row and column."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text())
        for text in axes.texts
    }


@pytest.mark.parametrize("slips", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("title", [None, "400 test digits"])
def test_confusions_are_complete(slips, title, style, complete):
    complete(
        plots.confusion(*digits_and_totals(100, slips=slips), SIGNS, title, style=style)
    )


def test_one_sign_has_one_panel(complete):
    figure = plots.confusion(*digits_and_totals(9, time=1), [1])
    assert len(figure.axes) == 1
    complete(figure)


def test_a_misread_digit_is_one_count_in_its_row_column_and_sign():
    digits = [[3, 5, 2], [3, 5, 2]]
    answers = [[3, -2, 0], [8.3, 3, 5.4]]  # the second reads 8 for 3, and adds on
    added, subtracted = plots.confusion(digits, answers, [1, -1, 1]).axes
    assert counts_in(added) == {(3, 3): 1, (3, 8): 1, (2, 2): 2}
    assert counts_in(subtracted) == {(5, 5): 2}
    assert added.get_title("right") == "3 of 4 right"
    assert len(added.patches) == 1, "the mistake is framed"


@pytest.mark.parametrize("answer", [-1.0, 10.0, 25.0])
def test_a_change_that_is_no_digit_counts_apart(answer):
    (axes,) = plots.confusion([[4]], [[answer]], [1]).axes
    assert counts_in(axes) == {(4, 10): 1}


@pytest.mark.parametrize(
    ("digits", "answers", "signs", "message"),
    [
        ([1, 2], [1, 2], [1], r"digits must have shape \(n, time\)"),
        ([[1, 2]], [[1]], [1, -1], r"predicted_totals must have shape \(1, 2\)"),
        ([[1, 2]], [[1, 2]], [1], r"signs must have shape \(2,\)"),
        ([[10]], [[1]], [1], "digits must be 0 to 9, got 10"),
        ([[0.5]], [[1]], [1], "digits must be 0 to 9, got 0.5"),
    ],
)
def test_bad_digits_are_named(digits, answers, signs, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion(digits, answers, signs)
