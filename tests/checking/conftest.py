"""What the tests of checks share."""

import keras
import pytest


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session(free_memory=False)
