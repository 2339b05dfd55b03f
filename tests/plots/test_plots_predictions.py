"""The picture of sequences with their true and predicted totals."""

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import FancyBboxPatch

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
def test_is_whole(n, time, whole, drawn_digits):
    images, true, signs = sequences(drawn_digits, n, time)
    whole(plots.predictions(images, true, true + (true % 3 == 0), signs))


def test_is_whole_on_either_background(style, whole, drawn_digits):
    images, true, signs = sequences(drawn_digits, 6, 4)
    figure = plots.predictions(images, true, true + 1, signs, "all wrong", style=style)
    whole(figure)
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


def test_a_digit_stands_upright(pixels):
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
    said = [t for t in bold if t.get_text() != CROSS]
    assert [text.get_text() for text in said] == ["3", "?"]
    assert all(same_color(text.get_color(), THEMES[style].wrong) for text in said)


def test_a_task_nobody_was_asked_has_no_predicted_row(style, whole, drawn_digits):
    figure = plots.predictions(drawn_digits(1, 2), [[5, 2]], None, [1, -1], style=style)
    assert texts(figure) == ["true running totals", "+", "5", "true", "−", "2"]
    whole(figure)


def test_no_totals_at_all_is_an_error(drawn_digits):
    with pytest.raises(ValueError, match="true_totals and predicted_totals must be"):
        plots.predictions(drawn_digits(1, 2), None, None, [1, -1])


def test_digits_of_unknown_truth_have_no_true_row(style, whole, drawn_digits):
    figure = plots.predictions(drawn_digits(1, 2), None, [[5, 2]], [1, -1], style=style)
    assert texts(figure) == [
        "predicted running totals",
        "+",
        "5",
        "predicted",
        "−",
        "2",
    ]
    whole(figure)


def test_long_sequences_go_on_in_the_next_line(drawn_digits):
    images, true, signs = sequences(drawn_digits, 1, 45)
    figure = plots.predictions(images, true, true, signs)
    assert texts(figure).count("predicted") == 3
    assert figure.get_figwidth() <= 12.81


def test_a_channel_axis_and_floats_are_welcome(drawn_digits):
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
