"""Cells that are right pass every check: Keras's own, and this package's."""

import keras
import pytest
from helpers.wrong_cells import Leaky

import custom_lstm
from custom_lstm import AbstractRNNCell
from custom_lstm.checking import cell_checks, check_cell

QUICK = [check.name for check in cell_checks() if check.name != "saving"]


class OfSublayers(AbstractRNNCell):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.inward = keras.layers.Dense(units)
        self.onward = keras.layers.Dense(units, use_bias=False)

    def call(self, inputs, states):
        h = keras.ops.tanh(self.inward(inputs) + self.onward(states[0]))
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def stacked():
    cells = [custom_lstm.LSTMCell(4), keras.layers.GRUCell(2)]
    return keras.layers.StackedRNNCells(cells)


CELLS = {
    "keras.LSTMCell": keras.layers.LSTMCell,
    "keras.GRUCell": keras.layers.GRUCell(4),
    "keras.SimpleRNNCell": lambda: keras.layers.SimpleRNNCell(4, dropout=0.2),
    "LSTMCell": custom_lstm.LSTMCell,
    "GRUCell": custom_lstm.GRUCell(4, reset_after=False, use_bias=False),
    "SimpleRNNCell": lambda: custom_lstm.SimpleRNNCell(4, activation="relu"),
    "a stack": stacked,
    "of sub-layers": OfSublayers,
}
REFERENCES = {
    "LSTMCell": (custom_lstm.LSTMCell, keras.layers.LSTM),
    "GRUCell": (custom_lstm.GRUCell(6), keras.layers.GRU(6)),
    "SimpleRNNCell": (custom_lstm.SimpleRNNCell, keras.layers.SimpleRNNCell),
}


@pytest.mark.parametrize("check", cell_checks(checks=QUICK), ids=str)
def test_a_right_cell_keeps_the_clause(check):
    assert check(Leaky).verdict == "passed"


@pytest.mark.parametrize("cell", CELLS)
def test_a_right_cell_keeps_every_clause(cell):
    report = check_cell(CELLS[cell], checks=QUICK, verbose=False)
    assert [result.verdict for result in report.results] == ["passed"] * len(QUICK)


def test_right_cells_are_loaded_in_a_fresh_process():
    """Keras's, custom_lstm's and an unregistered one, stacked: a process is slow."""
    kinds = keras.layers.LSTMCell, custom_lstm.LSTMCell, OfSublayers

    def stack():
        return keras.layers.StackedRNNCells([kind(4) for kind in kinds])

    seen = check_cell(stack, checks=["saving"], verbose=False)["saving"].seen
    assert "in a fresh process" in seen
    assert "as OfSublayers is not registered" in seen


@pytest.mark.parametrize("module", [__name__, "__main__"])
def test_a_cell_that_no_module_holds_is_loaded_in_this_process_and_it_says_so(module):
    class Local(Leaky):
        __module__ = module

    seen = check_cell(Local, checks=["saving"], verbose=False)["saving"].seen
    assert "in this process only: Local" in seen


@pytest.mark.parametrize("kind", REFERENCES)
def test_our_cells_equal_those_of_keras(kind):
    cell, reference = REFERENCES[kind]
    names = ["reference_weights", "reference_outputs", "reference_gradients"]
    report = check_cell(cell, reference=reference, checks=names, verbose=False)
    assert [result.verdict for result in report.results] == ["passed"] * 3


@pytest.mark.parametrize("size", [4, (4,), [4]])
def test_sizes_may_be_written_in_any_way(size):
    def make():
        cell = Leaky(4)
        cell.state_size = size
        return cell

    assert check_cell(make, checks=["states", "initial_state", "masks"], verbose=False)
