"""What the tests of cells share."""

import keras
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def set_random_weights(rng):
    """Give a built layer random weights, and return them in float64."""

    def set_random(layer):
        weights = [0.5 * rng.normal(size=w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        return [np.float64(w) for w in layer.get_weights()]

    return set_random


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session(free_memory=False)
