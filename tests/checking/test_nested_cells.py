"""`check_cell` on cells with nests or images in place of vectors, or with constants."""

import keras
import pytest
from helpers import nested_cells as nested

from custom_lstm import ConvGRUCell, ConvLSTMCell
from custom_lstm.checking import CellCheckError, cell_checks, check_cell

QUICK = [check.name for check in cell_checks() if check.name != "saving"]


def conv_wrong():
    return nested.ConvWithoutMemory(2, 3, padding="same")


@pytest.mark.parametrize("cell", nested.RIGHT, ids=lambda cell: cell.__name__)
def test_a_right_cell_keeps_every_clause(cell):
    options = nested.RIGHT[cell]
    report = check_cell(cell, checks=QUICK, verbose=False, **options)
    assert [result.verdict for result in report.results] == ["passed"] * len(QUICK)


@pytest.mark.parametrize("cell", [ConvLSTMCell, ConvGRUCell])
def test_convolutional_cells_keep_every_clause(cell):
    cell = cell(2, 3, padding="same")
    report = check_cell(cell, features=(4, 3, 2), checks=QUICK, verbose=False)
    assert [result.verdict for result in report.results] == ["passed"] * len(QUICK)


@pytest.mark.parametrize("cell", nested.WRONG, ids=lambda cell: cell.__name__)
def test_a_wrong_cell_is_caught_by_the_check_that_should(cell):
    check, options = nested.WRONG[cell]
    with pytest.raises(CellCheckError) as caught:
        check_cell(cell, checks=[check], verbose=False, **options)
    assert [result.name for result in caught.value.report.failures] == [check]


def test_a_convolution_that_forgets_is_caught():
    with pytest.raises(CellCheckError, match="state 0 is never read"):
        check_cell(
            conv_wrong, features=(4, 3, 2), checks=["states_used"], verbose=False
        )


def test_a_wrong_output_size_is_said_with_both_shapes():
    with pytest.raises(CellCheckError) as caught:
        check_cell(
            nested.TwoOutputsOfOtherWidths, checks=["output_size"], verbose=False
        )
    result = caught.value.report["output_size"]
    assert result.expected == "output (3, 3), (3, 4), as output_size=[3, 4] says"
    assert result.seen == "(3, 3), (3, 2)"


def test_they_are_saved_with_nests_and_constants_and_loaded():
    cells = {nested.TwoInputs: {"features": nested.INPUTS}}
    cells[nested.Conditioned] = {"constants": [2]}
    for cell, options in cells.items():
        report = check_cell(cell, checks=["saving"], verbose=False, **options)
        seen = report["saving"].seen
        assert "in a fresh process" in seen
        line = '@keras.saving.register_keras_serializable(package="...")'
        assert f"{cell.__name__} is not registered" in seen
        assert line in seen


def test_the_report_says_what_the_inputs_are(capsys):
    check_cell(nested.TwoInputs, features=nested.INPUTS, checks=["one_step"])
    text = capsys.readouterr().out
    assert "inputs {'image': (4, 4, 2), 'move': (2,)}" in text


@pytest.mark.parametrize("features", [(8, 0), {"a": 2.5}, [], "3"])
def test_features_that_are_no_shapes_are_refused(features):
    with pytest.raises(ValueError, match="`features` must be a positive integer"):
        check_cell(keras.layers.GRUCell(2), features=features, verbose=False)
