"""Variants of the LSTM: against NumPy in float64, and in all that runs cells."""

import inspect
import json
from functools import partial

import cell_oracles
import keras
import numpy as np
import pytest
import variant_oracles as oracle
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

VARIANTS = {
    "peephole": (PeepholeLSTMCell, oracle.peephole_step),
    "layer norm": (LayerNormLSTMCell, oracle.layer_norm_step),
    "layer norm, no bias": (
        partial(LayerNormLSTMCell, use_bias=False, epsilon=0.1),
        partial(oracle.layer_norm_step, epsilon=0.1),
    ),
    "projected": (
        partial(ProjectedLSTMCell, projection_units=3),
        oracle.projected_step,
    ),
    "zoneout": (
        partial(ZoneoutLSTMCell, zoneout_cell=0.3, zoneout_hidden=0.2),
        partial(oracle.zoneout_step, d_c=0.3, d_h=0.2),
    ),
    "coupled": (CoupledLSTMCell, oracle.coupled_step),
}
UNITS, FEATURES = 5, 4
X = np.random.default_rng(1).normal(size=(3, 6, FEATURES)).astype("float32")
MASKS = {
    "none": None,
    "right": np.arange(6) < np.array([[6], [4], [1]]),
    "interior": np.random.default_rng(2).random((3, 6)) < 0.5,
}
# On JAX and PyTorch, keras.ops.matmul computes in float32 whatever it is given.
DTYPES = ["float32", "float64"][: 2 if keras.backend.backend() == "tensorflow" else 1]
every_variant = pytest.mark.parametrize("kind", VARIANTS)


def make(kind, **options):
    return VARIANTS[kind][0](UNITS, **options)


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def assert_close(ours, theirs, rtol=1e-5, atol=1e-5):
    keras.tree.map_structure(
        partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs
    )


@pytest.mark.parametrize("dtype", DTYPES)
@every_variant
def test_step_matches_numpy(kind, dtype, rng, set_random_weights):
    cell = make(kind, dtype=dtype)
    cell.build((None, FEATURES))
    weights = set_random_weights(cell)
    widths = [FEATURES, *cell.state_size]
    x, *states = [rng.normal(size=(4, width)).astype(dtype) for width in widths]
    output, new_states = numpy(cell(x, states))
    states = [np.float64(state) for state in states]
    _, expected = VARIANTS[kind][1](np.float64(x), states, weights)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    assert_close([output, *new_states], [expected[0], *expected], rtol, rtol)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("layer_class", [custom_lstm.RNN, layers.RNN])
@every_variant
def test_every_state_and_gate_of_a_sequence_matches_numpy(
    kind, layer_class, mask, backwards, set_random_weights
):
    layer = layer_class(make(kind), go_backwards=backwards)
    layer.build(X.shape)
    step = partial(VARIANTS[kind][1], weights=set_random_weights(layer))
    states = [np.zeros((3, width)) for width in layer.cell.state_size]
    expected = cell_oracles.run(step, X, states, MASKS[mask], backwards)
    assert_close(custom_lstm.trace(layer, X, MASKS[mask]), expected)


@pytest.mark.parametrize("mask", ["none", "interior"])
@every_variant
def test_every_loop_computes_the_same(kind, mask, set_random_weights):
    mask = MASKS[mask]
    cell = make(kind)
    reference = layers.RNN(cell, return_sequences=True, return_state=True)
    reference.build(X.shape)
    weights = set_random_weights(reference)
    expected = numpy(reference(X, mask=mask))
    for layer_class in (layers.RNN, custom_lstm.RNN):
        for unroll in (False, True):
            layer = layer_class.from_config(
                {**reference.get_config(), "unroll": unroll}
            )
            layer.build(X.shape)
            layer.set_weights(weights)
            assert_close(numpy(layer(X, mask=mask)), expected)
    both = layers.Bidirectional(custom_lstm.RNN(cell))
    both.build(X.shape)
    both.forward_layer.set_weights(weights)
    assert_close(numpy(both(X, mask=mask))[:, : cell.output_size], expected[1])


@every_variant
def test_stacked_cells_compute_what_stacked_layers_do(kind):
    cells = [make(kind, name=f"cell_{k}") for k in range(2)]
    stacked = custom_lstm.RNN(layers.StackedRNNCells(cells))
    expected = numpy(stacked(X))
    first = custom_lstm.RNN(cells[0], return_sequences=True)
    assert_close(numpy(custom_lstm.RNN(cells[1])(first(X))), expected)


OTHER_ARGUMENTS = {
    "peephole": {"peephole_initializer": "ones", "peephole_regularizer": "l2"},
    "layer norm": {"gain_initializer": "zeros", "epsilon": 0.5},
    "layer norm, no bias": {},
    "projected": {"projection_units": 2, "projection_constraint": "non_neg"},
    "zoneout": {"zoneout_cell": 0.1, "zoneout_hidden": 0.0},
    "coupled": {"unit_forget_bias": False},
}


@every_variant
def test_config_gives_the_same_cell_again(kind):
    cell = make(kind, activation="relu", dropout=0.1, seed=3, **OTHER_ARGUMENTS[kind])
    config = json.loads(json.dumps(cell.get_config()))
    arguments = {
        name
        for owner in (type(cell), LSTMCell)
        for name in inspect.signature(owner.__init__).parameters
    }
    assert arguments - {"self", "kwargs"} <= config.keys()
    assert type(cell).from_config(config).get_config() == cell.get_config()


@every_variant
def test_a_saved_model_computes_the_same(kind, tmp_path):
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), custom_lstm.RNN(make(kind)), layers.Dense(1)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(numpy(loaded(X)), numpy(model(X)), rtol=0, atol=0)


@every_variant
@pytest.mark.parametrize("layer_class", [custom_lstm.RNN, layers.RNN])
def test_training_moves_every_weight(kind, layer_class):
    cell = make(kind, dropout=0.2, recurrent_dropout=0.2, seed=1)
    model = keras.Sequential([layer_class(cell), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.build(X.shape)
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(X, np.ones((3, 1), "float32"), epochs=2, verbose=0)
    for weight, old, new in zip(
        model.weights, before, model.get_weights(), strict=True
    ):
        assert np.isfinite(new).all() and (old != new).any(), weight.path


@every_variant
def test_bfloat16_is_near_float32(kind, set_random_weights):
    layer = custom_lstm.RNN(make(kind))
    layer.build(X.shape)
    weights = set_random_weights(layer)
    cell = make(kind, dtype="mixed_bfloat16")
    mixed = custom_lstm.RNN(cell, return_state=True, dtype="mixed_bfloat16")
    mixed.build(X.shape)
    mixed.set_weights(weights)
    output, *states = mixed(X)
    for tensor in (output, *states):
        assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    ours = numpy(ops.cast(output, "float32"))
    np.testing.assert_allclose(ours, numpy(layer(X)), atol=2e-2)
    assert np.isfinite(numpy(ops.cast(mixed(X, training=True)[0], "float32"))).all()


@every_variant
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_large_inputs_give_finite_outputs(kind, scale):
    assert np.isfinite(numpy(custom_lstm.RNN(make(kind))(scale * X))).all()


def plain(cell):
    """What an LSTMCell with the common weights of `cell` computes in one step."""
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


@every_variant
def test_what_does_not_fit_is_named_with_its_shape(kind):
    cell = make(kind)
    cell.build((None, FEATURES))
    h, c = cell.get_initial_state(3)
    owner = type(cell).__name__
    with pytest.raises(ValueError, match=rf"{owner}.*4 features.*\(3, 2\)"):
        cell(X[:, 0, :2], [h, c])
    with pytest.raises(ValueError, match=rf"{owner}.*2 tensor.*Received 1: \(3, "):
        cell(X[:, 0], [h])
    with pytest.raises(ValueError, match=rf"{owner}.*\(3, {UNITS}\).*\(3, 7\)"):
        cell(X[:, 0], [h, np.ones((3, 7))])
