"""Weights to and from TensorFlow 1's BasicLSTMCell, by its published equations."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm import cells
from custom_lstm.convert import from_tf1, to_tf1

FEATURES, UNITS = 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, FEATURES)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def basic_lstm(variables, forget_bias):
    """Return outputs of all steps in float64."""
    kernel, bias = (np.float64(variables[name]) for name in ("kernel", "bias"))
    h = c = np.zeros((len(X), UNITS))
    outputs = []
    for t in range(X.shape[1]):
        gates = np.concatenate([X[:, t], h], axis=1) @ kernel + bias
        i, j, f, o = np.split(gates, 4, axis=1)
        c = c * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
        h = np.tanh(c) * sigmoid(o)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def random_variables():
    return {
        "kernel": 0.5
        * RNG.normal(size=(FEATURES + UNITS, 4 * UNITS)).astype("float32"),
        "bias": 0.5 * RNG.normal(size=4 * UNITS).astype("float32"),
    }


@pytest.mark.parametrize("library", [layers, custom_lstm])
@pytest.mark.parametrize("forget_bias", [1.0, 0.0, 2.5])
def test_the_layer_computes_what_the_cell_did(forget_bias, library):
    variables = random_variables()
    layer = library.LSTM(UNITS, return_sequences=True)
    layer.build(X.shape)
    layer.set_weights(from_tf1(variables, forget_bias))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(X)),
        basic_lstm(variables, forget_bias),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("forget_bias", [1.0, 0.0])
def test_the_cell_computes_what_the_layer_does(forget_bias):
    layer = custom_lstm.LSTM(UNITS, return_sequences=True)
    layer.build(X.shape)
    np.testing.assert_allclose(
        basic_lstm(to_tf1(layer.get_weights(), forget_bias), forget_bias),
        keras.ops.convert_to_numpy(layer(X)),
        rtol=1e-5,
        atol=1e-5,
    )


def forget_biases(low, high):
    weights = from_tf1(random_variables(), 0.0)
    weights[2] = RNG.uniform(low, high, size=4 * UNITS).astype("float32")
    return weights


@pytest.mark.parametrize(
    ("weights", "forget_bias"),
    [(forget_biases(-2, 2), 0.0), (forget_biases(0.5, 2), 1.0)],
)
def test_the_way_there_and_back_changes_nothing(weights, forget_bias):
    back = from_tf1(to_tf1(weights, forget_bias), forget_bias)
    for array, original in zip(back, weights, strict=True):
        assert array.dtype == original.dtype
        np.testing.assert_array_equal(array, original)


def test_a_forget_bias_rounds_by_half_a_unit_in_its_last_place_at_most():
    weights = forget_biases(-0.5, 0.5)
    kernel, recurrent_kernel, bias = from_tf1(to_tf1(weights))
    np.testing.assert_array_equal(kernel, weights[0])
    np.testing.assert_array_equal(recurrent_kernel, weights[1])
    assert np.abs(bias - weights[2]).max() <= np.spacing(np.float32(1)) / 2
    others = np.arange(4 * UNITS) // UNITS != 1
    np.testing.assert_array_equal(bias[others], weights[2][others])


def test_a_missing_bias_counts_as_zeros():
    weights = forget_biases(0, 1)
    bias = np.split(to_tf1(weights[:2])["bias"], 4)
    np.testing.assert_array_equal(bias, [[0] * 4, [0] * 4, [-1] * 4, [0] * 4])


def variables_of(kernel, bias):
    return {"kernel": np.ones(kernel), "bias": np.ones(bias)}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"kernel": np.ones((7, 16))}, "Missing: bias"),
        ({**random_variables(), "w_f_diag": 0}, "Missing: w_i_diag, w_o_diag"),
        ({**random_variables(), "gain": 0}, "Unexpected: gain"),
        (variables_of((7, 12), (16,)), r"`bias` must have shape \(12,\).*\(16,\)"),
        (variables_of((4, 16), (16,)), r"features \+ outputs.*\(4, 16\), \(16,\)"),
        (variables_of((7, 15), (15,)), r"`kernel` must have .*\(7, 12\).*\(7, 15\)"),
        (variables_of((16,), (16,)), r"4·units.*\(16,\), \(16,\)"),
    ],
)
def test_variables_that_do_not_fit_are_refused(variables, message):
    with pytest.raises(ValueError, match=message):
        from_tf1(variables)


def test_weights_that_the_cell_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="or say `reset_after`"):
        to_tf1([np.ones((3, 6)), np.ones((2, 6))])


def scaled(*shape):
    return 0.5 * RNG.normal(size=shape).astype("float32")


def lstm_variables(peepholes, projection):
    """Variables of an `LSTMCell`."""
    width = projection or UNITS
    variables = {"kernel": scaled(FEATURES + width, 4 * UNITS)}
    variables["bias"] = scaled(4 * UNITS)
    if peepholes:
        variables |= {f"w_{gate}_diag": scaled(UNITS) for gate in "ifo"}
    if projection:
        variables["projection/kernel"] = scaled(UNITS, projection)
    return variables


def gru_variables():
    return {
        "gates/kernel": scaled(FEATURES + UNITS, 2 * UNITS),
        "gates/bias": scaled(2 * UNITS),
        "candidate/kernel": scaled(FEATURES + UNITS, UNITS),
        "candidate/bias": scaled(UNITS),
    }


def rnn_variables():
    return {"kernel": scaled(FEATURES + UNITS, UNITS), "bias": scaled(UNITS)}


def step_lstm(v, x, h, c):
    """One step of `LSTMCell`, with forget_bias=1."""
    z = np.concatenate([x, h], axis=1) @ v["kernel"] + v["bias"]
    i, j, f, o = np.split(z, 4, axis=1)
    p_i, p_f, p_o = (v.get(f"w_{gate}_diag", 0) for gate in "ifo")
    new = sigmoid(f + 1 + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(j)
    m = sigmoid(o + p_o * new) * np.tanh(new)
    return (m @ v["projection/kernel"] if "projection/kernel" in v else m), new


def step_gru(v, x, h, c):
    z = np.concatenate([x, h], axis=1) @ v["gates/kernel"] + v["gates/bias"]
    r, u = np.split(sigmoid(z), 2, axis=1)
    xh = np.concatenate([x, r * h], axis=1)
    g = np.tanh(xh @ v["candidate/kernel"] + v["candidate/bias"])
    return u * h + (1 - u) * g, c


def step_rnn(v, x, h, c):
    return np.tanh(np.concatenate([x, h], axis=1) @ v["kernel"] + v["bias"]), c


def run(step, variables, width=UNITS):
    """Return outputs of all steps in float64."""
    v = {name: np.float64(array) for name, array in variables.items()}
    h, c = np.zeros((len(X), width)), np.zeros((len(X), UNITS))
    outputs = []
    for t in range(X.shape[1]):
        h, c = step(v, X[:, t], h, c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


CELLS = {  # variables, a step, the cell here, and the width of h
    "LSTMCell": (lstm_variables(False, 0), step_lstm, lambda: cells.LSTMCell(4), 4),
    "with peepholes": (
        lstm_variables(True, 0),
        step_lstm,
        lambda: cells.PeepholeLSTMCell(4),
        4,
    ),
    "with projection": (
        lstm_variables(False, 2),
        step_lstm,
        lambda: cells.ProjectedLSTMCell(4, 2),
        2,
    ),
    "GRUCell": (
        gru_variables(),
        step_gru,
        lambda: layers.GRUCell(4, reset_after=False),
        4,
    ),
    "BasicRNNCell": (rnn_variables(), step_rnn, lambda: cells.SimpleRNNCell(4), 4),
}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_computed_here_and_there(name):
    variables, step, make, width = CELLS[name]
    layer = custom_lstm.RNN(make(), return_sequences=True)
    layer.build(X.shape)
    kind = "SimpleRNN" if name == "BasicRNNCell" else None
    layer.set_weights(from_tf1(variables, kind=kind))
    ours = keras.ops.convert_to_numpy(layer(X))
    np.testing.assert_allclose(ours, run(step, variables, width), rtol=1e-6, atol=1e-6)
    back = to_tf1(layer, prefix="rnn/")
    assert list(back) == [f"rnn/{name}" for name in variables]
    for key, array in variables.items():
        received = back[f"rnn/{key}"]
        assert received.dtype == array.dtype
        if key == "bias":
            np.testing.assert_allclose(received, array, rtol=0, atol=1e-7)
        else:
            np.testing.assert_array_equal(received, array)


def test_full_names_and_slots_of_optimizers():
    plain = random_variables()
    full = {f"rnn/basic_lstm_cell/{name}:0": array for name, array in plain.items()}
    slots = {f"rnn/basic_lstm_cell/{n}/Adam_1": array for n, array in plain.items()}
    np.testing.assert_equal(from_tf1({**full, **slots}), from_tf1(plain))
    model = {**full, **slots, "dense/kernel:0": np.ones((4, 1)), "global_step": 7}
    with pytest.raises(ValueError, match="under 'rnn/basic_lstm_cell/', 'dense/'"):
        from_tf1(model)
    received = from_tf1(model, prefix="rnn/basic_lstm_cell/")
    np.testing.assert_equal(received, from_tf1(plain))
    with pytest.raises(ValueError, match="under 'rnn/cell/'.*'rnn/basic_lstm_cell/'"):
        from_tf1(model, prefix="rnn/cell/")


def test_a_basic_rnn_cell_is_known_by_its_full_name():
    full = {f"rnn/basic_rnn_cell/{n}": array for n, array in rnn_variables().items()}
    assert [array.shape for array in from_tf1(full)] == [(3, 4), (4, 4), (4,)]
    with pytest.raises(ValueError, match="`kind` must be one of"):
        from_tf1(full, kind="RNN")


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("kernel", ["float32", "float64", "int32"])
def test_a_bias_of_whole_numbers_takes_the_kernels_type(dtype, kernel):
    variables = {"kernel": np.ones((5, 8), kernel), "bias": np.ones(8, dtype)}
    bias = from_tf1(variables, forget_bias=0.5)[2]
    assert bias.dtype == ("float64" if kernel == "int32" else kernel)
    np.testing.assert_array_equal(bias, [1, 1, 1.5, 1.5, 1, 1, 1, 1])
    weights = [np.ones((3, 8), kernel), np.ones((2, 8), kernel), np.ones(8, dtype)]
    back = to_tf1(weights, forget_bias=0.5)["bias"]
    np.testing.assert_array_equal(back, [1, 1, 1, 1, 0.5, 0.5, 1, 1])


def test_peepholes_with_a_projection_have_no_cell_here():
    with pytest.raises(ValueError, match="both peepholes and a projection"):
        from_tf1(lstm_variables(True, 2))
