"""The networks of the task showers, and how their answers are scored."""

import keras
import numpy as np
import pytest

from custom_lstm import RecurrentBlock
from custom_lstm.options import to_json
from custom_lstm.tasks.showers import records, scoring
from custom_lstm.tasks.showers.networks import build_compiled, build_network
from custom_lstm.tasks.showers.options import Model, ModelName, Options, from_json
from custom_lstm.tasks.showers.saliency import saliency, steepness

SMALL = Model(hidden_sizes=(4,), output_sizes=(2,), features=3)
NAMES = ModelName.__args__
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    made = records.shards_of("test", 30, 1, tmp_path_factory.mktemp("showers"))
    records.ensure(made, say=lambda line: None)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_every_network_answers_in_physical_units(name, shards):
    model = build_network(name, SMALL)
    said = scoring.answer(model, shards)
    assert list(said) == ["energy", "x", "y", "z", "kind"]
    assert all(values.shape == (30,) for values in said.values())
    assert (said["energy"] > 0).all()
    assert ((said["kind"] > 0) & (said["kind"] < 1)).all()
    blocks = [part for part in model.layers if isinstance(part, RecurrentBlock)]
    assert len(blocks) == (name != "cnn")


def test_options_reach_the_block():
    options = Model(
        hidden_sizes=(5, 4),
        output_sizes=(3, 2),
        output="vector",
        l2=0.1,
        dropout=0.2,
        layer_norm=True,
    )
    config = build_network("gru", options).get_layer("gru").get_config()
    expected = {
        "hidden_sizes": [5, 4],
        "output_sizes": [3, 2],
        "cell": ["gru", "gru"],
        "output": "vector",
        "weight_decay": 0.1,
        "dropout": [0.2, 0.2],
        "layer_norm": [True, True],
    }
    assert {name: config[name] for name in expected} == expected


def test_the_last_feature_of_a_slice_is_the_logarithm_of_its_energy():
    encoder = build_network("lstm", SMALL).get_layer("lstm").encode.layer
    counts = RNG.integers(0, 500, (3, 16, 16, 1)).astype("float32")
    energy = 0.01 * counts.astype("float64").sum((1, 2, 3))
    last = keras.ops.convert_to_numpy(encoder(counts))[:, -1]
    np.testing.assert_allclose(last, np.log1p(energy / 0.5), rtol=1e-5)


def test_same_seed_same_weights():
    options = from_json({**to_json(Options()), "features": 3})
    one, again = (build_compiled("lstm", options, 5).get_weights() for _ in range(2))
    for ours, theirs in zip(one, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_loss_is_what_its_documentation_says(shards):
    model = build_compiled("cnn", Options(), 5)
    images, truth = next(iter(scoring.evaluation_batches(shards)))
    said = {k: v.numpy().astype("float64") for k, v in model(images).items()}
    true = {k: v.numpy().astype("float64") for k, v in truth.items()}
    squares = [((np.log1p(said["energy"]) - np.log1p(true["energy"])) / 0.05) ** 2]
    squares += [((said[axis] - true[axis]) / 1.5) ** 2 for axis in "xyz"]
    right = np.where(true["kind"] == 1, said["kind"], 1 - said["kind"])
    expected = sum(square.mean() for square in squares) - np.log(right).mean()
    loss = model.evaluate(images, truth, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_truth_and_sums_are_those_of_the_files(shards):
    truth, sums = scoring.look(shards)
    images, there = next(scoring.evaluation_batches(shards).as_numpy_iterator())
    np.testing.assert_array_equal(truth["energy"], there["energy"][:, 0])
    energy = 0.01 * images.astype("float64")
    np.testing.assert_allclose(sums["sum"], energy.sum((1, 2, 3)), rtol=1e-6)
    at = 3.0 * np.arange(16) - 22.5
    for axis, others in (("x", (2, 3)), ("y", (1, 3))):
        centre = (energy.sum(others) * at).sum(1) / energy.sum((1, 2, 3))
        np.testing.assert_allclose(sums[axis], centre, rtol=1e-4, atol=1e-4)


def test_energy_from_the_sum_is_exact_where_the_sum_says_it():
    kind = np.arange(200) % 2
    total = RNG.uniform(10, 400, 200)
    energy = np.where(kind == 0, total, 1.3 * total**0.9)
    truth = {"energy": energy, "kind": kind.astype(float)}
    sums = {"sum": total, "x": total, "y": total}
    said = scoring.by_sums(truth, sums, scoring.calibrate(truth, sums))
    np.testing.assert_allclose(said["energy"], energy, rtol=1e-8)


def test_scores_are_mean_errors_in_per_cent():
    truth = {
        "energy": np.array([100.0, 200.0, 50.0]),
        "x": np.array([0.0, 1.0, 2.0]),
        "y": np.zeros(3),
        "z": np.array([0.0, 8.0, 16.0]),
        "kind": np.array([0.0, 0.0, 1.0]),
    }
    said = {
        "energy": [110.0, 196.0, 49.0],
        "x": [2.4, 1.0, 2.0],
        "y": np.full(3, -4.8),
        "z": np.zeros(3),
        "kind": [0.1, 0.7, 0.9],
    }
    expected = {
        "energy": (10 + 2 + 2) / 3,
        "energy_electromagnetic": 6.0,
        "energy_hadronic": 2.0,
        "x": 100 * 0.8 / 48,
        "x_cm": 0.8,
        "y": 10.0,
        "y_cm": 4.8,
        "z": 5.0,
        "z_cm": 8.0,
        "kind": 200 / 3,
        "showers": 3,
    }
    assert scoring.score(said, truth) == pytest.approx(expected)


def test_someone_who_sees_nothing_says_the_median():
    training = {"energy": np.array([1.0, 2.0, 9.0]), "kind": np.array([0.0, 1.0, 1.0])}
    training |= dict.fromkeys("xyz", np.array([-1.0, 0.0, 5.0]))
    said = scoring.blind(training, 2)
    assert {name: v.tolist() for name, v in said.items()} == {
        "energy": [2.0, 2.0],
        **dict.fromkeys("xyz", [0.0, 0.0]),
        "kind": [1.0, 1.0],
    }


def test_table_is_narrow_and_says_what_is_missing():
    scores = {"lstm": {"energy": 2.5, "kind": 99.5, "showers": 7}, "cnn": {"energy": 4}}
    text = scoring.table(scores)
    assert max(map(len, text.splitlines())) <= 80
    row = text.splitlines()[-2].split()
    assert row == ["lstm", "2.50", "–", "–", "–", "–", "–", "99.50"]


def test_saliency_of_linear_answers_is_the_size_of_their_weights(shards):
    """∂a/∂I is a's weight, the same for every shower."""
    images = keras.Input(records.IMAGE_SHAPE)
    flat = keras.layers.Flatten()(images)
    heads = {n: keras.layers.Dense(1, name=n) for n in records.TARGETS}
    model = keras.Model(images, {n: head(flat) for n, head in heads.items()})
    found = saliency(model, shards)
    for name, head in heads.items():
        weights = np.abs(keras.ops.convert_to_numpy(head.kernel))
        expected = weights.reshape(records.IMAGE_SHAPE).sum((0, 1))
        np.testing.assert_allclose(found[name], [expected, expected], rtol=1e-5)
    counts, truth = next(scoring.evaluation_batches(shards).as_numpy_iterator())
    for kind in (0, 1):
        mean = counts[truth["kind"][:, 0] == kind].sum((1, 2)).mean(0)
        np.testing.assert_allclose(found["deposit"][kind], mean, rtol=1e-5)


def test_steepness_is_that_of_finite_differences(shards):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = build_network("gru", SMALL)
    finally:
        keras.config.set_dtype_policy(policy)
    rng = np.random.default_rng(3)  # off zero, where empty cells sit on ReLU's kink
    model.set_weights([rng.normal(0, 0.2, w.shape) for w in model.get_weights()])
    images, _ = next(scoring.evaluation_batches(shards).as_numpy_iterator())
    found = steepness(model, keras.ops.convert_to_tensor(images[:1]))
    step = 1 / 4096
    for cell in ((0, 7, 8, 5), (0, 8, 7, 12)):
        less, more = images[:1].copy(), images[:1].copy()
        less[cell] -= step
        more[cell] += step
        for name in ("energy", "x", "kind"):
            low, high = (float(model(x)[name][0, 0]) for x in (less, more))
            exact = float(found[name][cell])
            assert exact == pytest.approx(abs(high - low) / (2 * step), rel=1e-3)
