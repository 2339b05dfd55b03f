"""What is peculiar to each variant of the LSTM; what all cells share: test_cells."""

import keras
import numpy as np
import pytest
from helpers import cell_oracles as oracle
from keras import layers, ops

import custom_lstm
from custom_lstm import (
    RNN,
    CarouselLSTMCell,
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


def test_a_carousels_step_matches_numpy(rng, set_random_weights):
    cell = CarouselLSTMCell(UNITS, carousels=2)
    cell.build((None, FEATURES))
    weights = set_random_weights(cell)
    states = [rng.normal(size=(3, UNITS)).astype("float32") for _ in range(2)]
    output, new = cell(X[:, 0], list(map(ops.convert_to_tensor, states)))
    _, expected = oracle.carousel_step(X[:, 0], states, weights)
    for ours, theirs in zip(numpy(new), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(numpy(output), numpy(new[1])[:, :2])


def test_carousels_neither_forget_nor_show_over_10_000_steps():
    """f = 1, o = 0, and a sum that steps with a shut input gate leave as it is."""
    cell = CarouselLSTMCell(4, carousels=3)
    cell.build((None, 2))
    cell.bias.assign(numpy(cell.bias) - np.repeat([20.0, 0.0, 0.0, 0.0], 4))  # i = 0
    begun = np.array([[0.1, -2.0, 1e4, 0.5]], "float32")
    x = np.random.default_rng(0).normal(size=(1, 10_000, 2)).astype("float32")
    layer = RNN(cell, return_sequences=True, return_state=True)
    states = [ops.zeros((1, 4)), ops.convert_to_tensor(begun)]
    sums, h, c = layer(x, initial_state=states)
    assert (numpy(sums) == begun[:, :3]).all()
    assert (numpy(h)[:, :3] == 0).all()
    assert abs(numpy(c)[0, 3]) < 1e-6, "the other unit forgets"


def test_training_leaves_the_gates_of_carousels_as_they_were(rng):
    layer = RNN(CarouselLSTMCell(6, carousels=4), return_sequences=True)
    model = keras.Sequential([keras.Input((5, 2)), layer, keras.layers.Dense(1)])
    before = list(map(np.array, numpy(model.weights[:3])))
    x = rng.normal(size=(64, 5, 2)).astype("float32")
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(x, np.cumsum(x[..., :1], axis=1), epochs=5, verbose=0)
    shut = np.isin(np.arange(24), [6, 7, 8, 9, 18, 19, 20, 21])
    for old, new in zip(before, numpy(model.weights[:3]), strict=True):
        np.testing.assert_array_equal(old[..., shut], new[..., shut])
        assert (old[..., ~shut] != new[..., ~shut]).any()


def test_the_units_that_forget_begin_by_swinging():
    cell = CarouselLSTMCell(8, carousels=4, recurrent_initializer="zeros")
    cell.build((None, 1))
    x = ops.ones((1, 12, 1))
    h = numpy(custom_lstm.trace(RNN(cell, return_sequences=True), x)["h"])[0, :, 4:]
    turns = np.diff(h, axis=0)
    assert (turns[1:] * turns[:-1] < 0).all(), "up after down, at every step"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"carousels": 0}, "`carousels` must be a positive integer.*carousels=0"),
        ({"carousels": 5}, "`carousels` must be at most `units`, 4.*carousels=5"),
        ({"carousels": 1.5}, "`carousels` must be a positive integer"),
        ({"use_bias": False}, "carousels need a bias.*use_bias=False"),
    ],
)
def test_carousels_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CarouselLSTMCell(4, **options)


def test_carousels_are_half_of_the_units_and_stay_so_in_the_config():
    cell = CarouselLSTMCell(5)
    assert cell.output_size == cell.carousels == 2
    again = CarouselLSTMCell.from_config(CarouselLSTMCell(8, 3).get_config())
    assert (again.carousels, again.units) == (3, 8)
