"""The two tasks of TMVA's tests, learned by the reference kernels."""

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from custom_lstm.kernels.reference.learning import (
    KINDS,
    Adam,
    Network,
    area_under_curve,
    class_means,
    learn_class_means,
    learn_identity,
)

learners = pytest.mark.parametrize("kind", KINDS)
SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@learners
def test_the_identity_is_learned_in_50_steps(kind, seed):
    losses = learn_identity(kind, seed)
    assert len(losses) == 51
    assert losses[-1] <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
@learners
def test_the_courses_of_two_means_are_told_apart(kind, seed):
    assert learn_class_means(kind, seed) > 0.95


@learners
def test_a_seed_fixes_what_is_learned(kind):
    assert learn_identity(kind, 3) == learn_identity(kind, 3)
    assert learn_identity(kind, 3) != learn_identity(kind, 4)


@learners
def test_gradients_of_the_network_match_central_differences(kind):
    rng = np.random.default_rng(0)
    network = Network(kind, (3, 2), 4, [3, 2], rng)
    x, d_outputs = rng.normal(size=(5, 3, 2)), rng.normal(size=(5, 2))
    network.forward(x)
    gradients = network.backward(d_outputs)
    for w, gradient in zip(network.weights, gradients, strict=True):
        place = tuple(rng.integers(size) for size in w.shape)
        value, sides = w[place], []
        for moved in (value + 1e-5, value - 1e-5):
            w[place] = moved
            sides.append((d_outputs * network.forward(x)).sum())
        w[place] = value
        assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-7)


def test_neither_class_can_be_told_by_its_mean_over_time():
    x, classes = class_means(20_000, np.random.default_rng(0))
    means = [x[classes == k].mean(axis=(0, 1)) for k in (0, 1)]
    np.testing.assert_allclose(means[0], means[1], atol=0.05)
    np.testing.assert_allclose(means[0], 4 + np.array([0, 1, 3, 6, 10]), atol=0.05)


def test_the_area_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, classes = rng.integers(10, size=200), rng.integers(2, size=200)
    expected = roc_auc_score(classes, scores)
    assert area_under_curve(scores, classes) == pytest.approx(expected, abs=1e-12)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs float64 variables"
)
def test_adam_matches_keras():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 4))
    variable = keras.Variable(w, dtype="float64")
    theirs = keras.optimizers.Adam(0.02, epsilon=1e-8)
    ours = Adam([w], rate=0.02)
    for _ in range(5):
        gradient = rng.normal(size=w.shape)
        theirs.apply([keras.ops.convert_to_tensor(gradient, "float64")], [variable])
        ours.step([gradient])
    expected = keras.ops.convert_to_numpy(variable)  # its powers of β are float32
    np.testing.assert_allclose(w, expected, rtol=0, atol=5e-6)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'simple', 'lstm', 'gru'.*'elman'"):
        learn_identity("elman", 0)
