"""`check_cell` itself: what it takes, what it says, what it leaves alone."""

import random

import keras
import numpy as np
import pytest
from helpers import wrong_cells as wrong

from custom_lstm import AbstractRNNCell, LSTMCell, checking
from custom_lstm.checking import CellCheckError, cell_checks, check_cell
from custom_lstm.checking.harness import ContractViolation, require_close


class TwoArguments(wrong.Leaky):
    def __init__(self, units, scale, **kwargs):
        super().__init__(units, scale, **kwargs)


class SizeOfFloats(wrong.Leaky):
    state_size = 4.0

    def __init__(self):
        super(AbstractRNNCell, self).__init__()


class NoSize(AbstractRNNCell):
    def call(self, inputs, states):
        return inputs, states


SHARED = wrong.Leaky()


def test_the_report_is_printed_and_returned(capsys):
    report = check_cell(wrong.Leaky(6), checks=["states", "masks"])
    text = capsys.readouterr().out
    assert str(report) in text
    assert "Leaky, 3 features, state_size=6" in text
    assert "(3, 6)" in text
    assert "largest difference" in text
    assert "2 checks: 2 passed, 0 failed." in text
    assert report
    assert report["states"].verdict == "passed"
    assert "\n" not in repr(report)


def test_results_keep_their_former_names():
    report = check_cell(wrong.Leaky, checks=["states"], verbose=False)
    assert isinstance(report.findings[0], checking.Finding)
    assert report.findings == report.results


def test_quiet_means_quiet(capsys):
    check_cell(wrong.Leaky, checks=["states"], verbose=False)
    assert not capsys.readouterr().out


def test_a_failure_names_check_expectation_and_what_was_seen():
    with pytest.raises(AssertionError) as caught:
        check_cell(wrong.OutputTooWide, checks=["states", "output_size"], verbose=False)
    error = caught.value
    assert isinstance(error, CellCheckError)
    finding = error.report["output_size"]
    assert (finding.verdict, error.report["states"].verdict) == ("FAILED", "passed")
    assert "(3, 4)" in finding.expected
    assert finding.seen == "(3, 8)"
    for part in ("OutputTooWide", "output_size", finding.seen):
        assert part in str(error)


def test_what_a_cell_raises_is_the_cause_of_the_failure():
    class Broken(wrong.Leaky):
        def step(self, projected, states):
            raise ZeroDivisionError("of all things")

    with pytest.raises(CellCheckError, match="ZeroDivisionError: .*of all") as caught:
        check_cell(Broken, checks=["batch_size", "loops"], verbose=False)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "with 1 sequence" in caught.value.report["batch_size"].seen


def test_a_single_check_raises_for_itself():
    (check,) = cell_checks(checks=["masks"])
    with pytest.raises(CellCheckError, match="1 check: 0 passed, 1 failed .masks."):
        check(wrong.MixesSequences(4))


def test_checks_have_names_and_clauses_of_one_line():
    checks = cell_checks(reference=keras.layers.LSTMCell)
    assert len({check.name for check in checks}) == len(checks) > 20
    assert [str(check) for check in checks] == [check.name for check in checks]
    for check in checks:
        assert check.clause.endswith(".")
        assert len(check.clause) <= 57, "wider than the report's column"


def test_checks_that_compare_wait_for_a_reference():
    without = [check.name for check in cell_checks()]
    assert not [name for name in without if name.startswith("reference")]


@pytest.mark.parametrize("built", [False, True])
def test_the_cell_that_is_given_stays_as_it_was(built):
    cell = LSTMCell(4)
    if built:
        cell.build((None, 7))
    before = [np.array(keras.ops.convert_to_numpy(w)) for w in cell.weights]
    check_cell(cell, checks=["loops", "training", "gradients"], verbose=False)
    assert cell.built is built
    for weight, value in zip(cell.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


def test_a_built_cell_is_checked_with_its_own_weights_and_width(capsys):
    reference, cell = keras.layers.SimpleRNNCell(4), wrong.StopsGradient(4)
    for each in (reference, cell):
        each.build((None, 7))
    cell.set_weights([np.zeros(weight.shape) for weight in cell.weights])
    check_cell(cell, checks=["states"])
    assert "7 features" in capsys.readouterr().out
    with pytest.raises(CellCheckError, match="states_used"):  # as its weights are 0
        check_cell(cell, checks=["states_used"], verbose=False)


@pytest.mark.parametrize("cell", [wrong.Leaky, wrong.StaysInFloat32])
def test_settings_and_chance_of_the_process_are_left_alone(cell):
    random.seed(5)
    before = random.getstate(), keras.config.dtype_policy(), keras.config.floatx()
    for check in cell_checks(checks=["mixed_precision", "gradients"]):
        try:
            check(cell)
        except CellCheckError:
            assert cell is wrong.StaysInFloat32
    after = random.getstate(), keras.config.dtype_policy(), keras.config.floatx()
    assert before == after


def test_a_seed_decides_everything():
    def seen(seed):
        (check,) = cell_checks(checks=["mixed_precision"], seed=seed)
        return check(LSTMCell).seen

    assert seen(1) == seen(1) != seen(2)


def test_the_policy_in_force_does_not_matter():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        cell = wrong.Leaky()
        assert check_cell(cell, checks=["loops", "mixed_precision"], verbose=False)
    finally:
        keras.config.set_dtype_policy("float32")


def test_known_failures_carry_their_reason(capsys):
    known = {"gradients": "straight through, on purpose"}
    report = check_cell(
        wrong.StopsGradient, checks=["gradients", "states"], known_failures=known
    )
    assert report
    assert report["gradients"].verdict == "known"
    text = capsys.readouterr().out
    assert "straight through, on purpose" in text
    assert "1 passed, 1 failed as known, 0 failed" in text


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        (keras.layers.Dense(3), TypeError, "must be a recurrent cell.*Dense"),
        (
            keras.layers.LSTM(3),
            TypeError,
            "the layer LSTM.*Give the cell: `layer.cell`",
        ),
        (None, TypeError, "must be a recurrent cell.*Received: None"),
        (dict, TypeError, "the class must be a recurrent cell.*dict"),
        (lambda: LSTMCell, TypeError, "what the given function returned.*LSTMCell"),
        (lambda: None, TypeError, "what the given function returned.*None"),
        (lambda: SHARED, ValueError, "a new cell from each call.*same Leaky twice"),
        (lambda units: LSTMCell(units), TypeError, "what to give .* for units"),
        (TwoArguments, TypeError, "what to give .*TwoArguments.* for units, scale"),
        (keras.layers.StackedRNNCells, TypeError, r"StackedRNNCells\(cells=4\)"),
        (SizeOfFloats, ValueError, "positive integer.*Received: state_size=4.0"),
        (NoSize, AttributeError, "NoSize.*(how large its states are|state_size)"),
    ],
)
def test_what_is_no_cell_is_refused(cell, error, message):
    with pytest.raises(error, match=message):
        check_cell(cell, checks=["states"], verbose=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checks": ["mask"]}, "no check 'mask'. Did you mean 'masks'?.*There are: "),
        ({"checks": "wholly other"}, "no check 'wholly other'. There are: config, "),
        ({"checks": 3}, "`checks` must be names of checks. Received: 3"),
        ({"checks": [3]}, "no check 3. There are: "),
        ({"checks": ["reference_outputs"]}, "'reference_outputs' needs a `reference`"),
        ({"known_failures": {"gradient": "?"}}, "Did you mean 'gradients'"),
        ({"features": 0}, "`features` must be a positive integer.*features=0"),
        ({"seed": -1}, "`seed` must be an integer of at least 0.*seed=-1"),
        ({"seed": "one"}, "`seed` must be an integer of at least 0.*seed='one'"),
        ({"features": 2.5}, "`features` must be a positive integer.*features=2.5"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_cell(wrong.Leaky, verbose=False, **options)


def test_a_reference_that_is_no_cell_is_refused_by_its_name():
    with pytest.raises(TypeError, match="`reference` must be a recurrent cell.*Dense"):
        check_cell(LSTMCell, reference=keras.layers.Dense(3), verbose=False)


def test_a_reference_of_another_width_is_said():
    with pytest.raises(CellCheckError) as caught:
        check_cell(
            LSTMCell(4),
            reference=keras.layers.LSTM(6),
            checks=["reference_outputs"],
            verbose=False,
        )
    finding = caught.value.report["reference_outputs"]
    assert finding.expected == "weights of shapes (3, 24), (6, 24), (24,)"
    assert finding.seen == "(3, 16), (4, 16), (16,)"


@pytest.mark.parametrize(
    ("actual", "expected", "seen"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"y of shape \(2, 3\), not \(3, 2\)"),
        (np.array([1.0, np.nan]), np.ones(2), r"y \(2,\): nan instead of 1 at \[1\]"),
        (np.array([1.0, 1.1]), np.ones(2), r"1.1 instead of 1 at \[1\], where"),
        (np.float64(2), np.float64(3), "y: 2 instead of 3"),
    ],
)
def test_arrays_that_differ_are_described(actual, expected, seen):
    with pytest.raises(ContractViolation, match=seen):
        require_close("equal", [("y", actual, expected)])
