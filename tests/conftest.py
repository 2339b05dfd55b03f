"""What all tests share: TensorFlow's kernels, and the same random numbers."""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as train.py does

import keras  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    """Weights that a test draws do not depend on the tests before it."""
    keras.utils.set_random_seed(0)
