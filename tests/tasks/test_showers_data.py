"""Showers follow the published formulas; their files are whole, checked, in order."""

import os
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

from custom_lstm.data import DataError
from custom_lstm.files import append_checksum
from custom_lstm.tasks.showers import data, simulation
from custom_lstm.tasks.showers.simulation import ENERGIES, IMPACT, KINDS, generate

Z = 26
E = 200.0
LN_Y = np.log(E / 0.0217)


@pytest.fixture(scope="module")
def showers():
    return generate(600, seed=3)


@pytest.fixture(scope="module")
def photons():
    """Depth in radiation lengths and radius in Molière radii of 300 cascades' hits."""
    hits = simulation.electromagnetic_hits(np.random.default_rng(1), np.full(300, E))
    parts = np.split(
        np.arange(len(hits.owner)), np.flatnonzero(np.diff(hits.owner)) + 1
    )
    t = hits.depth / simulation.RADIATION_LENGTH
    r = np.hypot(hits.x, hits.y) / simulation.MOLIERE_RADIUS
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
    seen = simulation.EM_HIT_ENERGY * np.array([len(t) for t, _ in photons])
    assert seen.mean() == pytest.approx(E, rel=0.01)
    assert seen.std() / E == pytest.approx(0.26 / np.sqrt(E), rel=0.15)


def test_hadronic_cascades_have_the_published_depth():
    energy = np.full(400, 100.0)
    hits = simulation.hadronic_hits(np.random.default_rng(2), energy, 0.5 * energy)
    length = hits.depth / simulation.INTERACTION_LENGTH
    c, d = 0.6165 + 0.3183 * np.log(100), 0.9099 - 0.0237 * np.log(100)
    assert length.mean() == pytest.approx(c / d, rel=0.02)
    assert length.var() == pytest.approx(c / d**2, rel=0.05)
    ring = 0.1 * (1 + length) * simulation.INTERACTION_LENGTH
    r = np.hypot(hits.x, hits.y)
    counts, _ = np.histogram(r**2 / (r**2 + ring**2), 10, (0, 1))
    np.testing.assert_allclose(counts / len(r), 0.1, atol=0.004)


def test_hadronic_cascades_are_seen_in_part():
    energy = np.full(3000, 100.0)
    hits = simulation.hadronic_hits(np.random.default_rng(2), energy, 0.5 * energy)
    seen = simulation.HADRON_HIT_ENERGY * np.bincount(hits.owner, minlength=3000)
    assert seen.mean() == pytest.approx(0.77 * 50, rel=0.01)
    spread = np.hypot(0.77 * 0.6 * np.sqrt(50), np.sqrt(0.15 * 0.77 * 50))
    assert seen.std() == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("energy", [20.0, 500.0])
def test_share_of_neutral_pions_grows_with_energy(energy):
    rng = np.random.default_rng(0)
    share = simulation.electromagnetic_share(rng, np.full(20_000, energy))
    mean = 1 - energy**-0.18
    assert share.mean() == pytest.approx(mean, abs=0.005)
    spread = np.sqrt(mean * (1 - mean) / (2 * np.log(energy) + 1))
    assert share.std() == pytest.approx(spread, rel=0.03)


def test_no_energy_makes_no_hits():
    rng, nothing = np.random.default_rng(0), np.zeros(3)
    assert not len(simulation.electromagnetic_hits(rng, nothing).owner)
    assert not len(simulation.hadronic_hits(rng, np.full(3, 50.0), nothing).owner)


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
    assert showers.z.max() <= 4 * simulation.INTERACTION_LENGTH
    shares = np.bincount(showers.kind) / len(showers)
    np.testing.assert_allclose(shares, 1 / len(KINDS), atol=0.07)


@pytest.mark.parametrize(
    ("kind", "mean"),
    [
        (0, 9 / 7 * simulation.RADIATION_LENGTH),
        (1, simulation.INTERACTION_LENGTH * (1 - 4 / np.expm1(4))),
    ],
)
def test_showers_start_after_an_exponential_depth(showers, kind, mean):
    z = showers.z[showers.kind == kind]
    assert z.mean() == pytest.approx(mean, rel=0.2)


def sums(showers):
    return (
        simulation.ENERGY_PER_COUNT
        * showers.images.sum((1, 2, 3), float)
        / showers.energy
    )


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
    at = (np.arange(16) + 0.5) * simulation.CELL_SIZE - simulation.WIDTH / 2
    for axes, true in (((2, 3), showers.x), ((1, 3), showers.y)):
        line = front.sum(axes, float)
        centre = line @ at / line.sum(1)
        assert np.abs(centre - true[photons]).mean() < 1.0
        assert np.corrcoef(centre, true[photons])[0, 1] > 0.95


def test_cells_under_the_threshold_are_read_as_zero(showers):
    counts = showers.images[showers.images > 0]
    assert counts.min() * simulation.ENERGY_PER_COUNT >= simulation.THRESHOLD
    behind = showers.images[showers.kind == 0][..., 30:]  # noise alone
    assert 0 < (behind > 0).mean() < 1e-3


def test_number_of_showers_is_checked():
    with pytest.raises(ValueError, match="`count` must be 1 or more. Received: 0"):
        generate(0, 1)


COUNT = 60


def small_shards(name, count, seed, folder):
    """Shards of 20 showers."""
    return data.shards_of(name, count, seed, folder, shard_size=20)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder of three shards, to read from."""
    folder = tmp_path_factory.mktemp("showers")
    data.ensure(small_shards("train", COUNT, 5, folder), report=lambda line: None)
    return folder


@pytest.fixture
def shards(made):
    """Shards to read from."""
    return small_shards("train", COUNT, 5, made)


@pytest.fixture
def own_shards(tmp_path, made):
    """Return the same shards, to be spoilt."""
    shutil.copytree(made, tmp_path / "showers")
    return small_shards("train", COUNT, 5, tmp_path / "showers")


def read(batches):
    """All images, and all values by name."""
    images, truths = zip(*batches.as_numpy_iterator(), strict=True)
    names = truths[0]
    return np.concatenate(images), {
        name: np.concatenate([truth[name] for truth in truths])[:, 0] for name in names
    }


def test_what_is_written_is_read(shards):
    images, truth = read(data.evaluation_batches(shards))
    made = [generate(20, (5, 0, number)) for number in range(3)]
    np.testing.assert_array_equal(images, np.concatenate([m.images for m in made]))
    for name, values in truth.items():
        expected = np.concatenate([getattr(m, name) for m in made])
        np.testing.assert_array_equal(values, expected.astype("float32"))


def test_files_are_zlib_of_plain_examples(shards):
    content = zlib.decompress(shards[0].path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    example = tf.train.Example.FromString(content[12 : 12 + length]).features.feature
    assert set(example) == {"image", "energy", "x", "y", "z", "kind"}
    image = np.frombuffer(example["image"].bytes_list.value[0], "<u2")
    np.testing.assert_array_equal(
        image.reshape(16, 16, 40), generate(20, (5, 0, 0)).images[0]
    )


def test_only_missing_files_are_made_again(own_shards):
    shards = own_shards
    before = [shard.path.stat().st_mtime_ns for shard in shards]
    content = shards[1].path.read_bytes()
    shards[1].path.unlink()
    said = []
    data.ensure(shards, report=said.append)
    after = [shard.path.stat().st_mtime_ns for shard in shards]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert shards[1].path.read_bytes() == content
    assert said == [f"Making 20 showers in {shards[0].path.parent}"]
    data.ensure(shards, report=said.append)
    assert len(said) == 1


def test_larger_sets_share_the_files_of_smaller_ones(tmp_path):
    less, more = (small_shards("test", n, 0, tmp_path) for n in (45, 70))
    assert [shard.showers for shard in less] == [20, 20, 5]
    assert less[:2] == more[:2]
    paths = {
        shard.path
        for name in data.SETS
        for seed in (0, 1)
        for shard in small_shards(name, 40, seed, tmp_path)
    }
    assert len(paths) == 2 * 3 * 2


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    """The third of 20 records fails: no file, no part of one."""
    shards = small_shards("train", COUNT, 5, tmp_path)
    whole, written = data._example, []

    def example(showers, k):
        written.append(k)
        if len(written) == 23:
            raise KeyboardInterrupt
        return whole(showers, k)

    monkeypatch.setattr(data, "_example", example)
    with pytest.raises(KeyboardInterrupt):
        data.ensure(shards, report=lambda line: None)
    assert [path.name for path in shards[0].path.parent.iterdir()] == [
        shards[0].path.name
    ]
    monkeypatch.setattr(data, "_example", whole)
    data.ensure(shards, report=lambda line: None)
    assert len(read(data.evaluation_batches(shards))[0]) == COUNT


def _rewrite(path, compression="ZLIB", count=20, **features):
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    values = {
        "image": bytes(2 * 16 * 16 * 40),
        **dict.fromkeys(("energy", "x", "y", "z"), 1.0),
        "kind": 0,
        **features,
    }
    made = {name: feature(v) for name, v in values.items() if v is not None}
    example = tf.train.Example(features=tf.train.Features(feature=made))
    with tf.io.TFRecordWriter(str(path), compression) as file:
        for _ in range(count):
            file.write(example.SerializeToString())
    append_checksum(path)


DAMAGES = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "its end is cut": lambda p: p.write_bytes(p.read_bytes()[:-100]),
    "flipped": lambda p: p.write_bytes(
        p.read_bytes()[:5000] + b"\xff\x00\xff" + p.read_bytes()[5003:]
    ),
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("no showers here"),
    "zlib of something else": lambda p: p.write_bytes(zlib.compress(b"x" * 99)),
    "not compressed": lambda p: _rewrite(p, ""),
    "other features": lambda p: _rewrite(p, energy=None),
    "another type": lambda p: _rewrite(p, energy=1),
    "another shape": lambda p: _rewrite(p, image=bytes(2 * 8 * 8 * 40)),
    "half a count": lambda p: _rewrite(p, image=bytes(2 * 16 * 16 * 40 + 1)),
    "too few": lambda p: _rewrite(p, count=19),
    "too many": lambda p: _rewrite(p, count=21),
    "not a number": lambda p: _rewrite(p, x=float("nan")),
    "unknown kind": lambda p: _rewrite(p, kind=2),
    "no energy": lambda p: _rewrite(p, energy=0.0),
    "a folder": lambda p: (p.unlink(), p.mkdir()),
    "a pipe that nobody writes to": lambda p: (p.unlink(), os.mkfifo(p)),
    "a device without an end": lambda p: (p.unlink(), p.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_bad_files_are_refused_and_left_alone(own_shards, damage):
    path = own_shards[1].path
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DataError) as caught:
        data.ensure(own_shards)
    said = str(caught.value)
    assert str(path) in said
    assert "damaged or no file of showers (" in said
    assert "move it away" in said
    assert "\n" not in said
    assert before is None or path.read_bytes() == before


def test_good_files_of_ones_own_pass_the_check(own_shards):
    _rewrite(own_shards[0].path)
    data.check(own_shards[0])


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    shards = small_shards("train", COUNT, 5, tmp_path / "file")
    with pytest.raises(DataError, match="cannot write .* --data-dir"):
        data.ensure(shards, report=lambda line: None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot write .* --data-dir"):
        data.ensure(small_shards("train", COUNT, 5, tmp_path))


def stream(shards, **options):
    defaults = {"batch_size": 8, "epochs": 3, "seed": 4, "mirror": False}
    return data.training_batches(shards, **{**defaults, **options})


def test_an_epoch_shows_every_shower_once_in_an_order_of_its_own(shards):
    energies = np.unique(read(data.evaluation_batches(shards))[1]["energy"])
    said = read(stream(shards, batch_size=20))[1]["energy"].reshape(3, COUNT)
    for epoch in said:
        np.testing.assert_array_equal(np.sort(epoch), energies)
    assert len({tuple(epoch) for epoch in said}) == 3
    again = read(stream(shards, batch_size=20))[1]["energy"].reshape(3, COUNT)
    np.testing.assert_array_equal(said, again)
    other = read(stream(shards, batch_size=20, seed=5))[1]["energy"]
    assert not np.array_equal(said.ravel(), other)


def test_images_stay_with_their_truth(shards):
    whole = read(data.evaluation_batches(shards))
    known = dict(zip(whole[1]["energy"], whole[0], strict=True))
    images, truth = read(stream(shards, epochs=1))
    for image, energy in zip(images, truth["energy"], strict=True):
        np.testing.assert_array_equal(image, known[energy])


@pytest.mark.parametrize(
    ("epoch", "step", "mirror"), [(0, 3, True), (1, 6, False), (2, 7, False)]
)
def test_a_run_that_goes_on_repeats_and_skips_nothing(shards, epoch, step, mirror):
    whole = [batch[1] for batch in stream(shards, mirror=mirror).as_numpy_iterator()]
    rest = [
        batch[1]
        for batch in stream(
            shards, mirror=mirror, first_epoch=epoch, first_step=step
        ).as_numpy_iterator()
    ]
    assert len(whole) == 3 * 7
    assert len(rest) == len(whole) - 7 * epoch - step
    for ours, theirs in zip(rest, whole[7 * epoch + step :], strict=True):
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])


def turned(image, x, y):
    """Yield the eight ways in which a shower may be turned over: image, x, y."""
    for swap in (False, True):
        for flips in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            new = image[:: flips[0], :: flips[1]]
            place = flips[0] * x, flips[1] * y
            yield (new.swapaxes(0, 1), *place[::-1]) if swap else (new, *place)


def test_mirror_images_are_those_of_a_square():
    showers = generate(40, 9)
    truth = {
        name: tf.constant(getattr(showers, name)[:, None]) for name in data.TARGETS
    }
    images = showers.images.astype("float32")
    seen, there = data.mirrored(tf.constant(images), truth, tf.constant([1, 2]))
    ways = []
    for k in range(len(showers)):
        new = seen[k].numpy(), float(there["x"][k, 0]), float(there["y"][k, 0])
        ways += [
            number
            for number, (image, x, y) in enumerate(
                turned(images[k], showers.x[k], showers.y[k])
            )
            if np.array_equal(image, new[0]) and (x, y) == pytest.approx(new[1:])
        ]
    assert len(ways) == len(showers)
    assert set(ways) == set(range(8))
    for name in ("energy", "z", "kind"):
        np.testing.assert_array_equal(there[name], truth[name])
