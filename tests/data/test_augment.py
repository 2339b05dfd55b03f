import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.digit_oracles import warp_by_scipy

from custom_lstm.data import Augment, DataError, augment_images

STILL = {"shift": 0.0, "rotate": 0.0, "zoom": 0.0, "shear": 0.0, "elastic": 0.0}
SEED = (3, 4)


@pytest.fixture(scope="module")
def images(pools):
    return pools.validation.images[:40, ..., None]


@pytest.mark.parametrize(
    "bounds",
    [
        {"shift": 3.0},
        {"rotate": 40.0},
        {"zoom": 0.4},
        {"shear": 0.5},
        {"shift": 2.0, "rotate": 10.0, "zoom": 0.1, "shear": 0.1},
        {"elastic": 3.0},
        {"shift": 2.0, "rotate": 10.0, "zoom": 0.1, "shear": 0.1, "elastic": 2.0},
    ],
    ids=lambda bounds: "+".join(bounds),
)
def test_matches_scipy(images, bounds):
    augment = Augment(**STILL | bounds)
    expected = np.floor(warp_by_scipy(images, augment, SEED) + 1e-3)
    found = augment_images(images, augment, SEED).numpy()
    assert np.abs(found - images.astype(float)).mean() > 1
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01


def test_strength_shrinks_all_bounds(images):
    bounds = {"shift": 4, "rotate": 20, "zoom": 0.2, "shear": 0.2}
    halved = Augment(**{name: bound / 2 for name, bound in bounds.items()})
    for half in [0.5, tf.constant(0.5), tf.constant(0.5, tf.float64)]:
        found = augment_images(images, Augment(**bounds), SEED, strength=half)
        np.testing.assert_array_equal(found, augment_images(images, halved, SEED))


def test_strength_shrinks_the_smooth_field(images):
    bent = augment_images(images, Augment(elastic=4.0), SEED, strength=0.5).numpy()
    halved = augment_images(images, Augment(1, 5, 0.05, 0.05, 2.0), SEED).numpy()
    assert np.abs(bent.astype(int) - halved).max() <= 1
    still = augment_images(images, Augment(elastic=4.0), SEED, strength=0.0)
    np.testing.assert_array_equal(still, images)


def test_no_warp_changes_nothing(images):
    np.testing.assert_array_equal(
        augment_images(images, Augment(**STILL), SEED), images
    )


def test_depends_on_seed_and_index_alone(images):
    whole = augment_images(images, Augment(), SEED).numpy()
    np.testing.assert_array_equal(whole, augment_images(images, Augment(), SEED))
    np.testing.assert_array_equal(
        whole[:7], augment_images(images[:7], Augment(), SEED)
    )
    for seed in [(3, 5), (4, 4), (3, -4)]:
        other = augment_images(images, Augment(), seed).numpy()
        assert (whole != other).any()


def test_part_of_a_batch_is_warped_as_in_the_whole(images):
    augment = Augment(elastic=2.0)
    whole = augment_images(images, augment, SEED).numpy()
    part = augment_images(images[25:], augment, SEED, first=25)
    np.testing.assert_array_equal(whole[25:], part)


def test_each_image_has_its_own_warp(images):
    same = np.repeat(images[:1], 20, axis=0)
    warped = augment_images(same, Augment(), SEED).numpy().reshape(20, -1)
    assert len(np.unique(warped, axis=0)) == 20


def test_runs_in_a_graph_of_unknown_batch(images):
    specs = [tf.TensorSpec((None, 28, 28, 1), tf.uint8), tf.TensorSpec((2,), tf.int64)]
    traced = tf.function(lambda x, s: augment_images(x, Augment(), s), specs)
    expected = augment_images(images, Augment(), SEED)
    seed = tf.constant(SEED, tf.int64)
    np.testing.assert_array_equal(traced(images, seed), expected)


@pytest.mark.parametrize("name", list(STILL))
@pytest.mark.parametrize("value", [-0.1, 200, math.nan, math.inf, "1", None])
def test_refuses_wrong_bounds(name, value):
    with pytest.raises(DataError, match=f"{name} must be a number from 0 to"):
        Augment(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((2, 28, 28, 1))}, "images must be uint8 .* not float64"),
        ({"images": np.zeros((2, 28, 28), np.uint8)}, r"not uint8 \(2, 28, 28\)"),
        ({"images": np.zeros((2, 9, 9, 1), np.uint8)}, r"not uint8 \(2, 9, 9, 1\)"),
        ({"augment": None}, "augment must be an Augment, not NoneType"),
        ({"seed": (1.0, 2.0)}, "seed must be integers .* not float32"),
        ({"strength": 1.1}, "strength must be a number from 0 to 1, not 1.1"),
        ({"strength": None}, "strength must be a number .* not None"),
        ({"strength": tf.ones(2)}, r"strength must be a scalar, not \(2,\)"),
        ({"seed": 7}, r"seed must be integers \(2,\), not int32 \(\)"),
    ],
)
def test_refuses_wrong_arguments(images, changes, message):
    arguments = {"images": images, "augment": Augment(), "seed": SEED} | changes
    with pytest.raises(DataError, match=message):
        augment_images(**arguments)
