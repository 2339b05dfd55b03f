"""Cells of the package by name, with what some need besides their width."""

from custom_lstm import cells

NEEDED = {"projected": {"projection_units": 3}}


def make(name, units, **options):
    """Return a cell of this name."""
    return cells.get(name)(units, **NEEDED.get(name, {}), **options)
