"""Forked processes begin with everything imported."""

import processes
import pytest


@pytest.fixture(scope="session", autouse=True)
def imported():
    """Import what runs need, once."""
    processes.ready()
