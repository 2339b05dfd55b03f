"""What is peculiar to gated and minimal cells; what all cells share: test_cells."""

from functools import partial

import keras
import numpy as np
import pytest
from helpers import gated_oracles as gated
from helpers.layer_gradients import run
from keras import ops

from custom_lstm import RNN, GRUCell, SimpleRNNCell, cells
from custom_lstm.cells import Chrono

UNITS = 4


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


@pytest.mark.parametrize(
    ("cell", "step"),
    [
        (
            partial(cells.MUT1Cell, direct_input=True),
            partial(gated.mut_step, kind=1, direct=True),
        ),
        (
            partial(cells.MUT2Cell, direct_input=True),
            partial(gated.mut_step, kind=2, direct=True),
        ),
        (cells.NASCell, gated.nas_step),
        (
            partial(cells.NASCell, projection_units=2),
            gated.nas_step,
        ),
        (
            partial(cells.MultiplicativeLSTMCell, squash_after=True),
            partial(gated.multiplicative_step, squash_after=True),
        ),
        (
            partial(cells.IndRNNCell, activation="tanh"),
            partial(gated.indrnn_step, outer=np.tanh),
        ),
    ],
)
def test_the_other_form_of_a_cell_matches_numpy(cell, step, rng, set_random_weights):
    cell = cell(UNITS)
    cell.build((None, UNITS))
    weights = set_random_weights(cell)
    widths = [UNITS, *keras.tree.flatten(cell.state_size)]
    x, *states = [rng.normal(size=(3, width)).astype("float32") for width in widths]
    _, new = numpy(cell(x, states))
    _, expected = step(np.float64(x), [np.float64(s) for s in states], weights)
    for ours, theirs in zip(new, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_mut2_is_a_gru_whose_update_gate_is_turned(rng, set_random_weights):
    mutated, gru = cells.MUT2Cell(UNITS), GRUCell(UNITS, reset_after=False)
    for cell in (mutated, gru):
        cell.build((None, 3))
    sign = np.repeat([-1.0, 1.0, 1.0], UNITS)
    gru.set_weights([sign * w for w in set_random_weights(mutated)])
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, UNITS))
    ours, theirs = (numpy(cell(x, [h])[0]) for cell in (mutated, gru))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_an_irnn_begins_as_a_sum_and_is_a_simple_cell():
    cell = cells.IRNNCell(UNITS)
    cell.build((None, 3))
    W, U, b = cell.get_weights()
    np.testing.assert_array_equal(U, np.eye(UNITS))
    assert not b.any() and 0 < abs(W).max() < 0.01
    simple = SimpleRNNCell(UNITS, activation="relu")
    x, h = np.ones((2, 3)), np.ones((2, UNITS))
    simple.build((None, 3))
    simple.set_weights([W, U, b])
    np.testing.assert_array_equal(numpy(cell(x, [h])[0]), numpy(simple(x, [h])[0]))


def test_chrono_biases_of_a_janet_are_those_of_an_lstms_forget_gate():
    cell = cells.JANETCell(UNITS, bias_initializer=Chrono(100, seed=1, cell="janet"))
    cell.build((None, 3))
    b_f, b_g = np.split(numpy(cell.bias), 2)
    lstm_bias = numpy(Chrono(100, seed=1)((4 * UNITS,)))
    np.testing.assert_array_equal(b_f, lstm_bias[UNITS : 2 * UNITS])
    assert not b_g.any()


def test_a_large_input_stays_large_in_the_1997_lstm_for_ever():
    cell = cells.OriginalLSTMCell(1)
    _, (_, c) = cell(np.zeros((1, 1)), [np.zeros((1, 1)), np.full((1, 1), 1e3)])
    assert numpy(c).item() == 1e3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(cells.MGUCell, variant=4), "`variant` must be one of .0, 1, 2, 3"),
        (partial(cells.MGUCell, variant=3, use_bias=False), "has a bias.*False"),
        (partial(cells.JANETCell, beta="1"), "`beta` must be a finite number"),
        (partial(cells.RHNCell, depth=0), "`depth` must be a positive integer"),
        (partial(cells.RHNCell, coupled=2), "`coupled` must be True or False"),
        (partial(cells.NASCell, additive=None), "`additive` must be True or False"),
        (partial(cells.NASCell, projection_units=0), "`projection_units` must be a po"),
        (partial(cells.IndRNNCell, recurrent_limit=-1), "`recurrent_limit` must be a"),
        (
            partial(cells.SCRNCell, alpha=1),
            "`alpha` must be a number of at least 0 and",
        ),
        (partial(cells.SCRNCell, context_units=1.5), "`context_units` must be a posit"),
        (partial(cells.FastRNNCell, initial_beta=None), "`initial_beta` must be a fin"),
        (partial(cells.MUT1Cell, direct_input=3), "`direct_input` must be True or Fa"),
        (partial(cells.LayerNormGRUCell, epsilon=0), "`epsilon` must be a positive"),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    owner = make.func.__name__
    with pytest.raises(ValueError, match=f"{owner}: .*{message[:40]}"):
        make(UNITS)


@pytest.mark.parametrize(
    "cell",
    [cells.LayerNormLSTMCell, cells.LayerNormGRUCell, cells.LayerNormSimpleRNNCell],
)
def test_layer_norm_of_a_string_that_begins_with_nothing_can_be_learned(cell):
    """At 0 it is 1/√ε steep, once or twice a step: finite squares over six steps."""
    keras.utils.set_random_seed(0)
    layer = RNN(cell(24), return_sequences=True)
    x = np.zeros((4, 14, 1), "float32")
    x[:, 6:] = 1
    layer.build(x.shape)
    _, gradients = run(layer, x)
    with np.errstate(over="raise"):
        squares = [np.sum(np.square(np.float32(each))) for each in gradients]
    assert np.isfinite(squares).all()


def test_a_direct_input_must_be_as_wide_as_h():
    with pytest.raises(ValueError, match=r"MUT2Cell: with `direct_input`.*4.*\(2, 3\)"):
        cells.MUT2Cell(4, direct_input=True)(np.ones((2, 3)), [np.ones((2, 4))])
