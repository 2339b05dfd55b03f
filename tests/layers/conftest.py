"""What the tests of layers share."""

import keras
import numpy as np
import pytest

WORST = pytest.StashKey[dict]()


def pytest_configure(config):
    config.stash[WORST] = {}


def pytest_terminal_summary(terminalreporter, config):
    for name, errors in config.stash[WORST].items():
        terminalreporter.write_line(
            f"parity, {name}: {len(errors)} configurations, worst error "
            f"{max(errors):.2g} on {keras.backend.backend()}"
        )


@pytest.fixture
def note_error(request):
    """Add an error to those whose worst is printed at the end."""

    def note(name, error):
        request.config.stash[WORST].setdefault(name, []).append(error)

    return note


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session(free_memory=False)
