"""Every exported cell keeps the whole contract, by the package's own checker.

`benchmarks/reliability/every_cell.py` runs it as users do, each check for each cell.
"""

import functools

import keras
import pytest
from helpers import every_cell

from custom_lstm import cells
from custom_lstm.checking import cell_checks, check_cell

ELSEWHERE = {"saving", "training"}
"""Below, all in one process; and in test_cells, in a model of both layers."""
CHECKS = [check.name for check in cell_checks() if check.name not in ELSEWHERE]


SEEDS = {"irnn": 2, "mc_lstm": 2}
"""Where no central difference in float32, as on PyTorch, has a kink of relu in it, or
a sum of masses near 0, by which MC-LSTM divides."""


@pytest.mark.parametrize("name", cells.names())
def test_every_clause_is_kept(name):
    cell, seed = functools.partial(every_cell.make, name, 4), SEEDS.get(name, 0)
    report = check_cell(cell, checks=CHECKS, seed=seed, verbose=False)
    assert [result.verdict for result in report.results] == ["passed"] * len(CHECKS)


def test_all_are_loaded_in_a_fresh_process():
    def stack():
        all_cells = [every_cell.make(name, 4) for name in cells.names()]
        return keras.layers.StackedRNNCells(all_cells)

    seen = check_cell(stack, checks=["saving"], verbose=False)["saving"].seen
    assert "in a fresh process" in seen
