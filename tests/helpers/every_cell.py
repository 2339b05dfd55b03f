"""Cells of the package by name, with what some need, or are quicker with."""

from custom_lstm import cells

NEEDED = {
    "projected": {"projection_units": 3},
    "cfc": {"backbone_units": 6},
    "ltc": {"unfolds": 2},
    "ntm": {"slots": 4, "memory_units": 3},
    "phased": {"open_ratio": 0.5, "max_period": 4.0},
}


def make(name, units, **options):
    """Return a cell of this name."""
    return cells.get(name)(units, **NEEDED.get(name, {}), **options)
