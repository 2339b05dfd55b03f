"""Showers, saliency, counted ones, sequences with predictions, tables of scores."""

import matplotlib
import numpy as np
import pytest

from custom_lstm import plots

RNG = np.random.default_rng(0)
KINDS = ("electromagnetic", "hadronic")
NAMES = ("energy", "x", "y", "z", "kind")


def values(count, **given):
    numbers = {
        "energy": RNG.uniform(20, 500, count),
        "x": RNG.uniform(-6, 6, count),
        "y": RNG.uniform(-6, 6, count),
        "z": RNG.uniform(0, 60, count),
        "kind": np.arange(count) % 2,
    }
    return {**numbers, **given}


def cells(count):
    images = RNG.exponential(size=(count, 16, 16, 40)) * (
        RNG.random((count, 16, 16, 40)) < 0.1
    )
    images[:, 7:9, 7:9] += 1
    return images


def drawn(count=4, truth=None, predicted=None, **options):
    return plots.showers(
        cells(count),
        truth or values(count),
        predicted or values(count, kind=np.linspace(0, 1, count)),
        KINDS,
        cell=3.0,
        pitch=4.0,
        title="Showers",
        **options,
    )


@pytest.mark.parametrize("count", [1, 4])
def test_showers_are_complete(complete, style, count):
    complete(drawn(count, style=style))


def test_showers_share_their_scales_though_an_answer_lies_outside():
    predicted = values(4, z=np.array([-30.0, 5, 9, 12]))
    for column in np.transpose(np.reshape(drawn(predicted=predicted).axes, (4, 2))):
        assert len({axes.get_xlim() for axes in column}) == 1


def test_truth_and_predictions_are_drawn_at_their_coordinates():
    truth = values(1, x=np.array([2.0]), y=np.array([-3.0]), z=np.array([20.0]))
    predicted = values(1, x=np.array([1.0]), y=np.array([-4.0]), z=np.array([25.0]))
    side, front = drawn(1, truth, predicted).axes
    places = [
        [tuple(float(v[0]) for v in line.get_data()) for line in axes.lines]
        for axes in (side, front)
    ]
    assert places == [[(20.0, 2.0), (25.0, 1.0)], [(2.0, -3.0), (1.0, -4.0)]]


def test_views_sum_along_the_line_of_sight():
    images = np.zeros((1, 16, 16, 40))
    images[0, 2, 5, 30], images[0, 2, 6, 30] = 1.0, 2.0
    figure = plots.showers(images, values(1), values(1), KINDS, cell=3.0, pitch=4.0)
    side, front = (axes.images[0] for axes in figure.axes)
    assert side.get_array()[2, 30] == 3.0  # up: x, across: layers
    assert front.get_array()[5, 2] == 1.0  # up: y, across: x
    assert side.get_extent() == [0, 160, -24, 24]
    assert front.get_extent() == [-24, 24, -24, 24]


@pytest.mark.parametrize(
    ("probability", "predicted"),
    [(0.9, "predicted: hadronic, 100.0 GeV"), (0.2, "✗ predicted: electromagnetic")],
)
def test_a_wrong_kind_is_crossed(probability, predicted):
    truth = values(1, kind=np.array([1]))
    answer = values(1, kind=np.array([probability]), energy=np.array([100.0]))
    side = drawn(1, truth, answer).axes[0]
    assert predicted in side.get_title("right")
    assert side.get_title("left").startswith("hadronic, ")


@pytest.mark.parametrize(
    ("change", "predicted"),
    [
        ({"images": np.ones((2, 16, 40))}, r"\(showers, x, y, layers\), got"),
        ({"truth": {"energy": [1.0, 2.0]}}, "truth must hold .*; x is missing"),
        (
            {"predicted": values(3)},
            r"predicted\['energy'\] must have shape \(2,\), got \(3,\)",
        ),
    ],
)
def test_showers_that_do_not_fit_are_named(change, predicted):
    arguments = {
        "images": cells(2),
        "truth": values(2),
        "predicted": values(2),
        **change,
    }
    with pytest.raises(ValueError, match=predicted):
        plots.showers(**arguments, kinds=KINDS, cell=3.0, pitch=4.0)


def slices(**given):
    return {
        **{name: RNG.random((2, 40)) for name in (*NAMES, "deposit")},
        **given,
    }


def test_saliency_is_complete(complete, style):
    complete(plots.saliency(slices(), KINDS, "What is looked at", style=style))


def test_saliency_shows_shares():
    given = slices()
    figure = plots.saliency(given, KINDS)
    lines = [axes.lines[0].get_ydata() for axes in figure.axes]
    assert len(lines) == 5 * 2
    expected = given["x"][1] / given["x"][1].sum()
    np.testing.assert_allclose(lines[3], expected)
    deposit = figure.axes[3].patches[0].get_data().values
    np.testing.assert_allclose(deposit, given["deposit"][1] / given["deposit"][1].sum())


def test_saliency_hides_nothing_of_a_steeper_kind():
    steep = np.ones((2, 40))
    steep[1, 7] = 100
    figure = plots.saliency(slices(energy=steep), KINDS)
    for axes in figure.axes:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > axes.lines[0].get_ydata().max()


@pytest.mark.parametrize(
    ("change", "predicted"),
    [
        ({"deposit": None}, "must hold deposit"),
        (dict.fromkeys(NAMES), "any of energy"),
        ({"z": np.ones((3, 40))}, r"slices\['z'\] must have shape \(2, slices\)"),
        ({"kind": -np.ones((2, 40))}, r"slices\['kind'\] must not be negative"),
    ],
)
def test_saliency_that_does_not_fit_is_named(change, predicted):
    given = {k: v for k, v in slices(**change).items() if v is not None}
    with pytest.raises(ValueError, match=predicted):
        plots.saliency(given, KINDS)


ONES = np.arange(21)
PER_COUNT = {
    "strings": np.round(184_756 * np.exp(-((ONES - 10) ** 2) / 10)) + 1,
    "wrong": np.where(ONES > 17, ONES - 17, 0),
    "lowest_error": -0.1 - 0.02 * ONES,
    "mean_error": 0.01 * ONES,
    "highest_error": 0.1 + 0.03 * ONES,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"wrong": np.zeros(21)},
        {name: [None, *PER_COUNT[name][1:]] for name in PER_COUNT if "error" in name},
        {name: values[:2] for name, values in PER_COUNT.items()},
        {name: np.resize(values, 63) for name, values in PER_COUNT.items()},
    ],
    ids=["some wrong", "none wrong", "no strings of a count", "1 bit", "62 bits"],
)
def test_counts_are_complete(changes, style, complete):
    complete(plots.counts({**PER_COUNT, **changes}, "length 20", style=style))


def test_bars_are_the_strings_and_the_wrong_ones():
    _, axes = plots.counts(PER_COUNT).axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    np.testing.assert_array_equal(heights[0], PER_COUNT["strings"])
    np.testing.assert_array_equal(np.nan_to_num(heights[1]), PER_COUNT["wrong"])
    assert axes.get_title("left").startswith("6 of ")


def test_few_strings_have_whole_powers_of_ten_on_their_axis():
    few = {**PER_COUNT, "strings": np.ones(21), "wrong": np.zeros(21)}
    figure = plots.counts(few)
    figure.canvas.draw()
    minor = figure.axes[1].yaxis.get_ticklabels(minor=True)
    assert minor
    assert not any(label.get_text() for label in minor)


def test_errors_reach_from_the_lowest_to_the_highest():
    axes, _ = plots.counts(PER_COUNT).axes
    reach, _ = axes.collections
    low, high = np.array([path[:, 1] for path in reach.get_segments()]).T
    np.testing.assert_allclose(low, PER_COUNT["lowest_error"])
    np.testing.assert_allclose(high, PER_COUNT["highest_error"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wrong": [0, 1]}, r"wrong must have shape \(21,\), got \(2,\)"),
        ({"wrong": None}, "per_count must hold wrong too"),
    ],
)
def test_counts_that_do_not_fit_are_refused(change, message):
    given = {k: v for k, v in {**PER_COUNT, **change}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        plots.counts(given)


@pytest.mark.parametrize("sequences", [1, 2, 5, 6])
def test_followed_sequences_are_complete(sequences, style, complete):
    targets = np.arange(sequences * 4).reshape(sequences, 4)
    complete(plots.followed(targets, targets + 0.3, "test sequences", style=style))


def test_followed_lines_are_targets_and_answers():
    targets, answers = [[1, 3, 5], [4, 9, 11]], [[1.1, 3.0, 4.5], [4.0, 9.0, 11.0]]
    for axes, target, answer in zip(
        plots.followed(targets, answers).axes, targets, answers, strict=True
    ):
        np.testing.assert_array_equal(
            [x.get_ydata() for x in axes.lines], [target, answer]
        )


@pytest.mark.parametrize(
    ("targets", "answers", "message"),
    [
        ([[1, 2]], [[1, 2, 3]], r"answers must have shape \(1, 2\)"),
        (np.ones((7, 2)), np.ones((7, 2)), "at most 6 sequences"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(targets, answers, message):
    with pytest.raises(ValueError, match=message):
        plots.followed(targets, answers)


def scored(rows=3, columns=2, **options):
    skills = np.linspace(0, 1, rows * columns).reshape(rows, columns)
    return plots.score_table(
        np.where(skills == 0, np.nan, skills),
        [[f"{skill:.2f} ± 0.01 (1 ✗)" for skill in row] for row in skills],
        rows=[f"cell {k}" for k in range(rows)],
        columns=[f"problem {k}\nblind 5.0 %" for k in range(columns)],
        title="Scores",
        **options,
    )


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (3, 2), (50, 8)])
def test_tables_of_scores_are_complete(complete, style, rows, columns):
    figure = scored(rows, columns, style=style)
    complete(figure)
    assert len(figure.axes[0].texts) == rows * columns


def test_letters_of_a_table_differ_from_what_is_behind_them():
    figure = scored(11, 1)
    (image,) = figure.axes[0].images
    for text, shade in zip(figure.axes[0].texts, image.get_array()[:, 0], strict=True):
        if np.isfinite(shade):
            behind = np.array(image.cmap(shade)[:3])
            letters = np.array(matplotlib.colors.to_rgb(text.get_color()))
            assert np.abs(behind - letters).max() > 0.4


def test_tables_of_scores_check_their_shapes():
    with pytest.raises(ValueError, match="skills must have shape"):
        plots.score_table([[0.5]], [["a"]], rows=["a"], columns=["b", "c"])
    with pytest.raises(ValueError, match="skills must lie between 0 and 1"):
        plots.score_table([[1.5]], [["a"]], rows=["a"], columns=["b"])
    with pytest.raises(ValueError, match="texts must have 1 rows of 1, got"):
        plots.score_table([[0.5]], [["a", "b"]], rows=["a"], columns=["b"])


def curve(p, drop, length=1000, trained=4):
    steps = np.arange(1, length + 1)
    exact = np.clip(p**steps - drop * (steps > trained), 0, 1)
    return {"exact": exact, "mae": (1 - exact) * steps, "p": p, "trained": trained}


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_curves_of_long_sums_are_complete(complete, style, length):
    found = {
        "LSTM with carousels": curve(0.995, 0, length),
        "LSTM": curve(0.99, 0.9, length, trained=10),
        "GRU": curve(0.98, 1, length),
    }
    complete(plots.extrapolation(found, "Sums of digits", style=style))


def test_near_positions_are_averaged_and_the_first_ones_stand_alone():
    left, right = plots.extrapolation({"LSTM": curve(0.99, 0)}).axes
    drawn, ceiling = left.lines[:2]
    x, y = drawn.get_data()
    assert len(x) < 61
    np.testing.assert_allclose(x[:6], np.arange(1, 7))
    np.testing.assert_allclose(y[:6], 0.99 ** np.arange(1, 7))
    np.testing.assert_allclose(y, ceiling.get_ydata())
    late = 0.99 ** np.arange(900, 1001)
    assert late.min() < y[-1] < late.max()
    assert np.nanmin(right.lines[0].get_ydata()) >= 0.01


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"exact": [0.5, 2.0]},
            r"curves\['LSTM'\]\['exact'\] must lie between 0 and 1",
        ),
        ({"mae": [1.0]}, r"curves\['LSTM'\]\['mae'\] must have shape \(1000,\)"),
        ({"p": 1.5}, r"curves\['LSTM'\]\['p'\] must lie between 0 and 1"),
    ],
)
def test_curves_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        plots.extrapolation({"LSTM": curve(0.99, 0) | changes})
    with pytest.raises(ValueError, match="must hold p too"):
        one = curve(0.99, 0)
        plots.extrapolation({"LSTM": {k: v for k, v in one.items() if k != "p"}})
    with pytest.raises(ValueError, match="at least one network"):
        plots.extrapolation({})
