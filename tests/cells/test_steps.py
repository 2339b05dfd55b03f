"""One time step of every cell against NumPy in float64."""

from functools import partial

import cell_oracles as oracle
import keras
import numpy as np
import pytest
from keras import ops

from custom_lstm import GRUCell, LSTMCell, SimpleRNNCell
from custom_lstm.cells.gru import gru_step
from custom_lstm.cells.lstm import lstm_step

STEPS = {
    "lstm": (LSTMCell, oracle.lstm_step),
    "lstm, no bias": (partial(LSTMCell, use_bias=False), oracle.lstm_step),
    "lstm, two activations": (
        partial(LSTMCell, activation="relu", output_activation="linear"),
        partial(oracle.lstm_step, inner=lambda x: np.maximum(x, 0), outer=lambda x: x),
    ),
    "gru": (GRUCell, oracle.gru_step),
    "gru, reset before": (
        partial(GRUCell, reset_after=False),
        partial(oracle.gru_step, reset_after=False),
    ),
    "simple": (SimpleRNNCell, oracle.simple_step),
}


# On JAX and PyTorch, keras.ops.matmul computes in float32 whatever it is given.
TOLERANCES = {"float32": {"rtol": 1.3e-6, "atol": 1e-6}, "float64": {"rtol": 1e-12}}
DTYPES = list(TOLERANCES)[: 2 if keras.backend.backend() == "tensorflow" else 1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", STEPS)
def test_step_matches_numpy(kind, dtype, rng, set_random_weights):
    make, step = STEPS[kind]
    cell = make(5, dtype=dtype)
    cell.build((None, 3))
    weights = set_random_weights(cell)
    widths = [3, *([5] * len(keras.tree.flatten(cell.state_size)))]
    x, *states = [rng.normal(size=(4, width)).astype(dtype) for width in widths]
    output, new_states = cell(x, states)
    _, expected = step(np.float64(x), [np.float64(s) for s in states], weights)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, [output, new_states[0]]))
    for ours, theirs in zip(new_states, expected, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), theirs, **TOLERANCES[dtype]
        )


def test_lstm_step_holds_the_equations_without_a_cell(rng):
    xW, hU = rng.normal(size=(2, 3, 8)).astype("float32")
    c = rng.normal(size=(3, 2)).astype("float32")
    h, c_new, gates = lstm_step(*map(ops.convert_to_tensor, (xW, hU, c)))
    eye = [np.eye(8), np.eye(8)]
    expected, (h_expected, c_expected) = oracle.lstm_step(
        xW.astype("float64"), [hU.astype("float64"), c], eye
    )
    np.testing.assert_allclose(ops.convert_to_numpy(h), h_expected, rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(c_new), c_expected, rtol=1e-5)
    assert list(gates._fields) == list(expected)


def test_gru_keeps_its_state_where_the_update_gate_is_open():
    xW = np.concatenate([np.full((1, 2), 50.0), np.zeros((1, 4))], axis=1)
    h = np.array([[0.3, -0.7]])
    new, _ = gru_step(
        *map(ops.convert_to_tensor, (xW, np.zeros((1, 4)), h)), lambda r: 0 * r
    )
    np.testing.assert_allclose(ops.convert_to_numpy(new), h, rtol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (LSTMCell, keras.layers.LSTMCell, {}),
        (LSTMCell, keras.layers.LSTMCell, {"unit_forget_bias": False}),
        (LSTMCell, keras.layers.LSTMCell, {"bias_initializer": "random_normal"}),
        (LSTMCell, keras.layers.LSTMCell, {"use_bias": False}),
        (GRUCell, keras.layers.GRUCell, {}),
        (GRUCell, keras.layers.GRUCell, {"reset_after": False}),
        (GRUCell, keras.layers.GRUCell, {"bias_initializer": "random_normal"}),
        (SimpleRNNCell, keras.layers.SimpleRNNCell, {}),
    ],
)
def test_equal_seeds_give_the_initial_weights_of_keras(ours, theirs, options):
    cells = []
    for cell_class in (ours, theirs):
        keras.utils.set_random_seed(1)
        cell = cell_class(4, **options)
        cell.build((None, 3))
        cells.append(cell)
    assert [w.name for w in cells[0].weights] == [w.name for w in cells[1].weights]
    for mine, other in zip(*(cell.get_weights() for cell in cells), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("cell_class", [GRUCell, SimpleRNNCell])
def test_a_bare_state_is_taken_and_given_back_bare(cell_class, rng):
    cell = cell_class(4)
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    _, bare = cell(x, ops.convert_to_tensor(h, "float32"))
    _, (listed,) = cell(x, [h])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(bare), ops.convert_to_numpy(listed)
    )
