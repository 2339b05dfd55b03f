"""Pictures of showers and of what a network looks at in them."""

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


def drawn(count=4, truth=None, said=None, **options):
    return plots.showers(
        cells(count),
        truth or values(count),
        said or values(count, kind=np.linspace(0, 1, count)),
        KINDS,
        cell=3.0,
        pitch=4.0,
        title="Showers",
        **options,
    )


@pytest.mark.parametrize("count", [1, 4])
def test_showers_are_whole(whole, style, count):
    whole(drawn(count, style=style))


def test_showers_share_their_scales_though_an_answer_lies_outside():
    said = values(4, z=np.array([-30.0, 5, 9, 12]))
    for column in np.transpose(np.reshape(drawn(said=said).axes, (4, 2))):
        assert len({axes.get_xlim() for axes in column}) == 1


def test_truth_and_answers_stand_where_they_belong():
    truth = values(1, x=np.array([2.0]), y=np.array([-3.0]), z=np.array([20.0]))
    said = values(1, x=np.array([1.0]), y=np.array([-4.0]), z=np.array([25.0]))
    side, front = drawn(1, truth, said).axes
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
    ("probability", "said"),
    [(0.9, "predicted: hadronic, 100.0 GeV"), (0.2, "✗ predicted: electromagnetic")],
)
def test_a_wrong_kind_is_crossed(probability, said):
    truth = values(1, kind=np.array([1]))
    answer = values(1, kind=np.array([probability]), energy=np.array([100.0]))
    side = drawn(1, truth, answer).axes[0]
    assert said in side.get_title("right")
    assert side.get_title("left").startswith("hadronic, ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": np.ones((2, 16, 40))}, r"\(showers, x, y, layers\), got"),
        ({"truth": {"energy": [1.0, 2.0]}}, "truth must hold .*; x is missing"),
        ({"said": values(3)}, r"said\['energy'\] must have shape \(2,\), got \(3,\)"),
    ],
)
def test_showers_that_do_not_fit_are_named(change, said):
    arguments = {"images": cells(2), "truth": values(2), "said": values(2), **change}
    with pytest.raises(ValueError, match=said):
        plots.showers(**arguments, kinds=KINDS, cell=3.0, pitch=4.0)


def slices(**given):
    return {
        **{name: RNG.random((2, 40)) for name in (*NAMES, "deposit")},
        **given,
    }


def test_saliency_is_whole(whole, style):
    whole(plots.saliency(slices(), KINDS, "What is looked at", style=style))


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
    ("change", "said"),
    [
        ({"deposit": None}, "must hold deposit"),
        (dict.fromkeys(NAMES), "any of energy"),
        ({"z": np.ones((3, 40))}, r"slices\['z'\] must have shape \(2, slices\)"),
        ({"kind": -np.ones((2, 40))}, r"slices\['kind'\] must not be negative"),
    ],
)
def test_saliency_that_does_not_fit_is_named(change, said):
    given = {k: v for k, v in slices(**change).items() if v is not None}
    with pytest.raises(ValueError, match=said):
        plots.saliency(given, KINDS)
