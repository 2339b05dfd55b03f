"""What is peculiar to each variant of the LSTM; what all cells share: test_cells."""

import keras
import numpy as np
import pytest
from helpers import cell_oracles as oracle
from keras import layers, ops

import custom_lstm
from custom_lstm import (
    CoupledLSTMCell,
    LayerNormLSTMCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ZoneoutLSTMCell,
)
from custom_lstm.cells import Chrono

UNITS, FEATURES = 5, 4
X = np.random.default_rng(1).normal(size=(3, 6, FEATURES)).astype("float32")


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def assert_close(ours, theirs):
    for a, b in zip(*map(keras.tree.flatten, (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def plain(cell):
    """Return a step of an LSTMCell with the common weights of `cell`."""
    lstm = LSTMCell(cell.units)
    lstm.build((None, FEATURES))
    lstm.set_weights(cell.get_weights()[:3])
    return step_of(lstm)


def step_of(cell):
    states = np.random.default_rng(5).normal(size=(2, 3, UNITS)).astype("float32")
    return numpy(cell(X[:, 0], list(states)))


def test_peepholes_start_closed():
    cell = PeepholeLSTMCell(UNITS)
    assert_close(step_of(cell), plain(cell))


def test_a_projection_by_the_identity_is_none():
    cell = ProjectedLSTMCell(UNITS, UNITS, projection_initializer="identity")
    assert_close(step_of(cell), plain(cell))


def test_no_zoneout_is_an_lstm():
    cell = ZoneoutLSTMCell(UNITS, zoneout_cell=0, zoneout_hidden=0)
    assert_close(step_of(cell), plain(cell))


def test_layer_norm_does_not_see_the_scale_of_its_matrices():
    cell = LayerNormLSTMCell(UNITS, epsilon=1e-12)
    before = step_of(cell)
    W, U, *others = cell.get_weights()
    cell.set_weights([7 * W, 0.3 * U, *others])
    assert_close(step_of(cell), before)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [-1, 0, 0]),
        ({"unit_forget_bias": False}, [0, 0, 0]),
        ({"bias_initializer": "ones"}, [-1, 1, 1]),
        ({"bias_initializer": "ones", "unit_forget_bias": False}, [1, 1, 1]),
    ],
)
def test_a_coupled_cell_starts_by_remembering(options, expected):
    cell = CoupledLSTMCell(UNITS, **options)
    cell.build((None, FEATURES))
    np.testing.assert_array_equal(numpy(cell.bias), np.repeat(expected, UNITS))


def test_chrono_biases_reach_the_coupled_gate():
    cell = CoupledLSTMCell(UNITS, bias_initializer=Chrono(100, seed=1))
    cell.build((None, FEATURES))
    b_i, b_g, b_o = np.split(numpy(cell.bias), 3)
    lstm_bias = numpy(Chrono(100, seed=1)((4 * UNITS,)))
    np.testing.assert_array_equal(b_i, -lstm_bias[UNITS : 2 * UNITS])
    assert not b_g.any() and not b_o.any()


class InTraining(keras.Model):
    """A model whose layer is always in training."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs, training=True)


def held_steps(layer_class, seed=1):
    """Which units of h held at each step but the first, in two runs of a graph."""
    cell = ZoneoutLSTMCell(40, zoneout_cell=0, zoneout_hidden=0.5, seed=seed)
    model = InTraining(layer_class(cell, return_sequences=True))
    outputs = [model.predict(X, verbose=0) for _ in range(2)]
    return [h[:, 1:] == h[:, :-1] for h in outputs]


@pytest.mark.parametrize("layer_class", [custom_lstm.RNN, layers.RNN])
def test_zoneout_draws_a_mask_for_every_step(layer_class):
    held, held_next = held_steps(layer_class)
    assert 0.4 < held.mean() < 0.6
    assert (held != held_next).any()
    draws_in_loops = keras.backend.backend() != "jax"
    one_mask = (held == held[:, :1]).all()
    assert one_mask == (layer_class is layers.RNN and not draws_in_loops)


def test_equal_seeds_hold_the_same_units():
    held, again, other = (held_steps(custom_lstm.RNN, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(held, again)
    assert (held != other).any()


def test_a_training_step_matches_numpy_with_the_masks_it_drew(rng, set_random_weights):
    cell = ZoneoutLSTMCell(UNITS, zoneout_hidden=0.5, seed=1)
    cell.build((None, FEATURES))
    weights = set_random_weights(cell)
    states = [rng.normal(size=(3, UNITS)).astype("float32") for _ in range(2)]
    projected = cell.project(X[:, 0], training=True)
    d_h, d_c = np.split(numpy(projected[1]), 2, axis=-1)
    assert {*d_h.flat} == {*d_c.flat} == {0.0, 1.0}
    _, new_states = cell.step(projected, list(map(ops.convert_to_tensor, states)), True)
    _, expected = oracle.zoneout_step(X[:, 0], states, weights, d_c, d_h)
    for ours, theirs in zip(numpy(new_states), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_zoneout_is_at_inference_what_it_is_on_average_in_training():
    cell = ZoneoutLSTMCell(2, zoneout_cell=0.3, zoneout_hidden=0.6, seed=1)
    x = np.repeat(X[:1, 0], 20_000, axis=0)
    states = [np.full((20_000, 2), value, "float32") for value in (0.7, -0.9)]
    _, drawn = numpy(cell(x, states, training=True))
    _, expected = numpy(cell(x, states, training=False))
    for ours, mean in zip(drawn, expected, strict=True):
        standard_error = ours.std(axis=0) / np.sqrt(len(x))
        assert (standard_error > 0).all()
        assert (abs(ours.mean(axis=0) - mean[0]) < 5 * standard_error).all()
