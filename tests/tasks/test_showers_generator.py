"""Showers follow the formulas that their documentation gives."""

import numpy as np
import pytest

from custom_lstm.tasks.showers import cascades, detector
from custom_lstm.tasks.showers.generator import ENERGIES, IMPACT, KINDS, generate

Z = 26
E = 200.0
LN_Y = np.log(E / 0.0217)


@pytest.fixture(scope="module")
def showers():
    return generate(600, seed=3)


@pytest.fixture(scope="module")
def photons():
    """Depth in radiation lengths and radius in Molière radii of 300 cascades' hits."""
    hits = cascades.electromagnetic(np.random.default_rng(1), np.full(300, E))
    parts = np.split(
        np.arange(len(hits.owner)), np.flatnonzero(np.diff(hits.owner)) + 1
    )
    t = hits.depth / detector.RADIATION_LENGTH
    r = np.hypot(hits.x, hits.y) / detector.MOLIERE_RADIUS
    return [(t[part], r[part]) for part in parts]


def moments(t):
    """T and α of a gamma distribution, from its mean and variance."""
    shape = t.mean() ** 2 / t.var()
    return t.mean() * (shape - 1) / shape, shape


def test_longitudinal_profiles_have_the_published_parameters(photons):
    ln_t, ln_alpha = np.log([moments(t) for t, _ in photons]).T
    assert ln_t.mean() == pytest.approx(np.log(LN_Y - 0.812), abs=0.02)
    assert ln_t.std() == pytest.approx(1 / (-1.4 + 1.26 * LN_Y), rel=0.15)
    expected = np.log(0.81 + (0.458 + 2.26 / Z) * LN_Y)
    assert ln_alpha.mean() == pytest.approx(expected, abs=0.03)
    assert ln_alpha.std() == pytest.approx(1 / (-0.58 + 0.86 * LN_Y), rel=0.15)
    correlation = np.corrcoef(ln_t, ln_alpha)[0, 1]
    assert correlation == pytest.approx(0.705 - 0.023 * LN_Y, abs=0.15)


def test_profiles_are_gamma_distributions(photons):
    """The third moment, which was not used to find T and α: skewness 2/√α."""
    skew = [((t - t.mean()) ** 3).mean() / t.std() ** 3 for t, _ in photons]
    expected = [2 / np.sqrt(moments(t)[1]) for t, _ in photons]
    assert np.mean(skew) == pytest.approx(np.mean(expected), rel=0.05)


def radial_shares(t, r):
    """Share of a cascade's energy within r at depth t, by the published formulas."""
    tau, ln_e = t / moments(t)[0], np.log(E)
    core = 0.0251 + 0.00319 * ln_e + (0.1162 - 0.000381 * Z) * tau
    k4 = 0.3585 + 0.0421 * ln_e
    rise = np.exp(-2.59 * (tau - 0.645)) + np.exp(k4 * (tau - 0.645))
    tail = (0.659 - 0.00309 * Z) * rise
    v = (0.401 + 0.00187 * Z - tau) / (1.313 - 0.0686 * ln_e)
    p = (2.632 - 0.00094 * Z) * np.exp(v - np.exp(v))
    return p * r**2 / (r**2 + core**2) + (1 - p) * r**2 / (r**2 + tail**2)


def test_radial_profile_is_the_published_one(photons):
    """The share of energy within a hit's radius is uniform if that is so."""
    shares = np.concatenate([radial_shares(t, r) for t, r in photons])
    counts, _ = np.histogram(shares, 10, (0, 1))
    np.testing.assert_allclose(counts / len(shares), 0.1, atol=0.004)


def test_measured_photon_energy_fluctuates_by_the_sampling_term(photons):
    seen = detector.EM_SPOT * np.array([len(t) for t, _ in photons])
    assert seen.mean() == pytest.approx(E, rel=0.01)
    assert seen.std() / E == pytest.approx(0.26 / np.sqrt(E), rel=0.15)


def test_hadronic_cascades_have_the_published_depth():
    energy = np.full(400, 100.0)
    hits = cascades.hadronic(np.random.default_rng(2), energy, 0.5 * energy)
    length = hits.depth / detector.INTERACTION_LENGTH
    c, d = 0.6165 + 0.3183 * np.log(100), 0.9099 - 0.0237 * np.log(100)
    assert length.mean() == pytest.approx(c / d, rel=0.02)
    assert length.var() == pytest.approx(c / d**2, rel=0.05)
    ring = 0.1 * (1 + length) * detector.INTERACTION_LENGTH
    r = np.hypot(hits.x, hits.y)
    counts, _ = np.histogram(r**2 / (r**2 + ring**2), 10, (0, 1))
    np.testing.assert_allclose(counts / len(r), 0.1, atol=0.004)


def test_hadronic_cascades_are_seen_in_part():
    energy = np.full(3000, 100.0)
    hits = cascades.hadronic(np.random.default_rng(2), energy, 0.5 * energy)
    seen = detector.HADRON_SPOT * np.bincount(hits.owner, minlength=3000)
    assert seen.mean() == pytest.approx(0.77 * 50, rel=0.01)
    spread = np.hypot(0.77 * 0.6 * np.sqrt(50), np.sqrt(0.15 * 0.77 * 50))
    assert seen.std() == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("energy", [20.0, 500.0])
def test_share_of_neutral_pions_grows_with_energy(energy):
    rng = np.random.default_rng(0)
    share = cascades.electromagnetic_share(rng, np.full(20_000, energy))
    mean = 1 - energy**-0.18
    assert share.mean() == pytest.approx(mean, abs=0.005)
    spread = np.sqrt(mean * (1 - mean) / (2 * np.log(energy) + 1))
    assert share.std() == pytest.approx(spread, rel=0.03)


def test_no_energy_makes_no_hits():
    rng, nothing = np.random.default_rng(0), np.zeros(3)
    assert not len(cascades.electromagnetic(rng, nothing).owner)
    assert not len(cascades.hadronic(rng, np.full(3, 50.0), nothing).owner)


def test_same_seed_same_showers():
    one, again, other = generate(5, [1, 2]), generate(5, [1, 2]), generate(5, [1, 3])
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(again, name))
        assert not np.array_equal(values, getattr(other, name))


def test_truth_lies_in_its_range(showers):
    assert len(showers) == 600
    assert showers.energy.min() >= ENERGIES[0]
    assert showers.energy.max() <= ENERGIES[1]
    assert np.abs([showers.x, showers.y]).max() <= IMPACT
    assert showers.z.min() >= 0
    assert showers.z.max() <= 4 * detector.INTERACTION_LENGTH
    shares = np.bincount(showers.kind) / len(showers)
    np.testing.assert_allclose(shares, 1 / len(KINDS), atol=0.07)


@pytest.mark.parametrize(
    ("kind", "mean"),
    [
        (0, 9 / 7 * detector.RADIATION_LENGTH),
        (1, detector.INTERACTION_LENGTH * (1 - 4 / np.expm1(4))),
    ],
)
def test_showers_start_after_an_exponential_depth(showers, kind, mean):
    z = showers.z[showers.kind == kind]
    assert z.mean() == pytest.approx(mean, rel=0.2)


def sums(showers):
    return detector.STEP * showers.images.sum((1, 2, 3), float) / showers.energy


def test_photons_are_measured_whole_and_pions_in_part(showers):
    response = sums(showers)
    photon = response[showers.kind == 0]
    assert photon.mean() == pytest.approx(1, abs=0.01)
    high = showers.energy > 200
    assert photon[high[showers.kind == 0]].std() == pytest.approx(0.0145, rel=0.25)
    pion = response[showers.kind == 1]
    assert 0.8 < pion.mean() < 0.9
    assert pion.std() > 3 * photon.std()


def test_pions_go_deeper_and_spread_wider(showers):
    layers = showers.images.sum((1, 2), float)
    depth = (layers @ np.arange(40)) / layers.sum(1)
    across = showers.images.sum((2, 3), float)
    middle = (across @ np.arange(16)) / across.sum(1)
    width = np.sqrt((across @ np.arange(16) ** 2) / across.sum(1) - middle**2)
    for value in (depth, width):
        photon, pion = (np.median(value[showers.kind == kind]) for kind in (0, 1))
        assert pion > 1.5 * photon


def test_axes_are_x_y_layer(showers):
    """A photon's first layers lie where it met the front face."""
    photons = showers.kind == 0
    front = showers.images[photons][..., :8]
    at = (np.arange(16) + 0.5) * detector.CELL - detector.WIDTH / 2
    for axes, true in (((2, 3), showers.x), ((1, 3), showers.y)):
        line = front.sum(axes, float)
        centre = line @ at / line.sum(1)
        assert np.abs(centre - true[photons]).mean() < 1.0
        assert np.corrcoef(centre, true[photons])[0, 1] > 0.95


def test_cells_under_the_threshold_are_read_as_zero(showers):
    counts = showers.images[showers.images > 0]
    assert counts.min() * detector.STEP >= detector.THRESHOLD
    behind = showers.images[showers.kind == 0][..., 30:]  # noise alone
    assert 0 < (behind > 0).mean() < 1e-3


def test_number_of_showers_is_checked():
    with pytest.raises(ValueError, match="`count` must be 1 or more. Received: 0"):
        generate(0, 1)
