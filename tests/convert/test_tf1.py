"""Weights to and from TensorFlow 1's BasicLSTMCell, by its published equations."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
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
        ({**random_variables(), "w_f_diag": 0}, "Unexpected: w_f_diag"),
        (variables_of((7, 12), (16,)), r"4·units.*\(7, 12\), \(16,\)"),
        (variables_of((4, 16), (16,)), r"features \+ units.*\(4, 16\), \(16,\)"),
        (variables_of((7, 15), (15,)), r"4·units.*\(7, 15\), \(15,\)"),
        (variables_of((16,), (16,)), r"4·units.*\(16,\), \(16,\)"),
    ],
)
def test_variables_that_do_not_fit_are_refused(variables, message):
    with pytest.raises(ValueError, match=message):
        from_tf1(variables)


def test_weights_that_the_cell_cannot_hold_are_refused():
    with pytest.raises(ValueError, match=r"one LSTM.*\(3, 6\)"):
        to_tf1([np.ones((3, 6)), np.ones((2, 6))])
