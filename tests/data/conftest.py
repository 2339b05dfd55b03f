"""What the tests of data share: the embedded digits, and a host out of reach."""

import pytest

from custom_lstm.data import load_pools


@pytest.fixture(scope="session")
def pools():
    """Return the embedded digits."""
    return load_pools("digits")


@pytest.fixture
def off_line(monkeypatch):
    """Let no host answer: requests go to a proxy that does not exist."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
