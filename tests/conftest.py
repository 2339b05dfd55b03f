"""What all tests share: the same random numbers at every run."""

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded():
    """Weights that a test draws do not depend on the tests before it."""
    keras.utils.set_random_seed(0)
