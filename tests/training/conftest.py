"""What tests of the engine share."""

import pytest

from custom_lstm.training.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    """Return an empty run folder."""
    return RunFolder.create(tmp_path, "x")
