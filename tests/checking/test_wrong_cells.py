"""Cells that are wrong are caught, each by the check that should catch it."""

import keras
import pytest
from helpers import wrong_cells as wrong

from custom_lstm.checking import CellCheckError, cell_checks, check_cell

SLOW = ("saving", "training")
QUICK = [check.name for check in cell_checks() if check.name not in SLOW]

CAUGHT = {
    wrong.SwapsStates: "state_order",
    wrong.TakesStatesSwapped: "state_order",
    wrong.NoRecurrentKernel: "states_used",
    wrong.SharedGateWeights: "weights_used",
    wrong.HardCodedBatch: "batch_size",
    wrong.InitialStateOfHardCodedBatch: "initial_state",
    wrong.BatchOfTheShape: "dynamic_shapes",
    wrong.StateBesideTheStates: "masks",
    wrong.StateLeftOver: "repeatable",
    wrong.MixesSequences: "batch_independence",
    wrong.MixesSteps: "hoisted",
    wrong.OutputTooWide: "output_size",
    wrong.OneStateTooFew: "states",
    wrong.NoPair: "one_step",
    wrong.DropsAtInference: "dropout",
    wrong.DropoutWithoutEffect: "dropout",
    wrong.StopsGradient: "gradients",
    wrong.StaysInFloat32: "mixed_precision",
    wrong.ConfigWithoutArgument: "config",
    wrong.ConfigWithoutUnits: "config",
    wrong.ConfigOfDefaults: "config",
    wrong.ConfigWithoutBase: "config",
}


NEEDS_AN_UNKNOWN_BATCH = (
    {wrong.BatchOfTheShape} if keras.backend.backend() == "torch" else set()
)
"""PyTorch always knows the batch size, so there these cells are right."""


ONLY = {
    wrong.SwapsStates: ["state_order"],
    wrong.MixesSequences: ["batch_independence", "masks"],
    wrong.DropsAtInference: ["dropout"],
    wrong.StopsGradient: ["gradients"],
    wrong.ConfigWithoutArgument: ["config"],
}
"""All that the quick checks have to say against a cell."""


def failures(cell, **options):
    with pytest.raises(CellCheckError) as caught:
        check_cell(cell, verbose=False, **options)
    return [finding.name for finding in caught.value.report.failures]


@pytest.mark.parametrize(
    "cell",
    [c for c in CAUGHT if c not in NEEDS_AN_UNKNOWN_BATCH],
    ids=lambda cell: cell.__name__,
)
def test_a_wrong_cell_is_caught_by_the_check_that_should(cell):
    assert failures(cell, checks=[CAUGHT[cell]]) == [CAUGHT[cell]]


@pytest.mark.parametrize("cell", ONLY, ids=lambda cell: cell.__name__)
def test_what_is_right_about_a_wrong_cell_is_not_held_against_it(cell):
    assert failures(cell, checks=QUICK) == ONLY[cell]


@pytest.mark.parametrize(
    ("cell", "check"),
    [
        (wrong.SharedGateWeights, "reference_outputs"),
        (wrong.GatesInAnotherOrder, "reference_outputs"),
        (wrong.GatesInAnotherOrder, "reference_gradients"),
        (wrong.ForgetBiasAtRunTimeToo, "reference_outputs"),
        (wrong.ForgetBiasInTheWrongGate, "reference_weights"),
        (wrong.OneKernelForAllGates, "reference_weights"),
        (wrong.SwapsStates, "reference_outputs"),
        (wrong.StopsGradient, "reference_gradients"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_wrong_equations_are_caught_by_comparison(cell, check):
    simple = issubclass(cell, keras.layers.SimpleRNNCell)
    reference = keras.layers.SimpleRNNCell if simple else keras.layers.LSTMCell
    assert failures(cell, reference=reference, checks=[check]) == [check]


def test_a_gradient_that_is_not_finite_is_caught_by_training_too():
    names = ["gradients", "training"]
    assert failures(wrong.NoGradientAtZero, checks=names) == names


def test_what_no_file_holds_is_caught_by_saving():
    assert failures(wrong.WeightsOutsideKeras, checks=["saving"]) == ["saving"]


def test_a_lost_argument_of_an_instance_shows_in_its_attributes():
    with pytest.raises(CellCheckError, match="attribute `scale` to be 0.5") as caught:
        check_cell(
            wrong.ConfigOfDefaults(4, scale=0.5), checks=["config"], verbose=False
        )
    assert "0.9" in caught.value.report["config"].seen


def test_an_instance_that_cannot_be_copied_fails_throughout_and_says_why_once():
    with pytest.raises(CellCheckError) as caught:
        check_cell(wrong.ConfigWithoutUnits(4), checks=QUICK, verbose=False)
    text = " ".join(str(caught.value).split())
    assert text.count("what is saved cannot be loaded. It lacks: units") == 1
    assert "the same as in `config`" in text
