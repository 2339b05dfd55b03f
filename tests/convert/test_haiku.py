"""Weights to and from haiku's modules, by their published equations."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm.convert import from_haiku, to_haiku

FEATURES, UNITS = 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, FEATURES)).astype("float32")


def scaled(*shape):
    return 0.5 * RNG.normal(size=shape).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step_lstm(p, x, h, c):
    (linear,) = p.values()
    z = np.concatenate([x, h], axis=1) @ linear["w"] + linear["b"]
    i, g, f, o = np.split(z, 4, axis=1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def step_gru(p, x, h, c):
    (gru,) = p.values()
    x_z, x_r, x_a = np.split(x @ gru["w_i"] + gru["b"], 3, axis=1)
    w_z, w_r, w_a = np.split(gru["w_h"], 3, axis=1)
    z, r = sigmoid(x_z + h @ w_z), sigmoid(x_r + h @ w_r)
    a = np.tanh(x_a + (r * h) @ w_a)
    return (1 - z) * h + z * a, c


def step_rnn(p, x, h, c):
    of_x, of_h = p.values()
    z = x @ of_x["w"] + of_x["b"] + h @ of_h["w"] + of_h.get("b", 0)
    return np.maximum(z, 0), c


LSTM = {
    "lstm/linear": {"w": scaled(FEATURES + UNITS, 4 * UNITS), "b": scaled(4 * UNITS)}
}
GRU = {
    "gru": {
        "w_i": scaled(FEATURES, 3 * UNITS),
        "w_h": scaled(UNITS, 3 * UNITS),
        "b": scaled(3 * UNITS),
    }
}
RNN = {
    "vanilla_rnn/linear": {"w": scaled(FEATURES, UNITS), "b": scaled(UNITS)},
    "vanilla_rnn/linear_1": {"w": scaled(UNITS, UNITS), "b": scaled(UNITS)},
}
ONE_BIAS = {**RNN, "vanilla_rnn/linear_1": {"w": scaled(UNITS, UNITS)}}
MODULES = {  # parameters, a step, the layer's class and arguments
    "LSTM": (LSTM, step_lstm, "LSTM", {}),
    "GRU": (GRU, step_gru, "GRU", {"reset_after": False}),
    "VanillaRNN": (RNN, step_rnn, "SimpleRNN", {"activation": "relu"}),
    "with one bias": (ONE_BIAS, step_rnn, "SimpleRNN", {"activation": "relu"}),
}


def run(step, params):
    """Return outputs of all steps in float64."""
    p = {m: {n: np.float64(a) for n, a in own.items()} for m, own in params.items()}
    h = c = np.zeros((len(X), UNITS))
    outputs = []
    for t in range(X.shape[1]):
        h, c = step(p, X[:, t], h, c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("library", [layers, custom_lstm])
@pytest.mark.parametrize("name", MODULES)
def test_haiku_and_the_layer_compute_the_same(name, library):
    params, step, kind, options = MODULES[name]
    layer = getattr(library, kind)(UNITS, return_sequences=True, **options)
    layer.build(X.shape)
    layer.set_weights(from_haiku(params))
    ours = keras.ops.convert_to_numpy(layer(X))
    np.testing.assert_allclose(ours, run(step, params), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours, run(step, to_haiku(layer)), rtol=1e-6, atol=1e-6)
    assert list(to_haiku(layer)) == list(params)


@pytest.mark.parametrize("name", MODULES)
def test_the_way_there_and_back_changes_nothing(name):
    weights = from_haiku(MODULES[name][0])
    back = from_haiku(to_haiku(weights, "a/b/", reset_after=False))
    for k, (array, original) in enumerate(zip(back, weights, strict=True)):
        assert array.dtype == original.dtype
        rounds = 1.2e-7 if name == "LSTM" and k == 2 else 0
        np.testing.assert_allclose(array, original, rtol=0, atol=rounds)


def test_a_module_of_several_needs_its_path():
    params = {"encoder/lstm/linear": LSTM["lstm/linear"], "gru": GRU["gru"]}
    with pytest.raises(ValueError, match="are under 'encoder/lstm/', 'gru/'"):
        from_haiku(params)
    np.testing.assert_equal(from_haiku(params, "gru/"), from_haiku(GRU))
    np.testing.assert_equal(from_haiku(params, "encoder/lstm/"), from_haiku(LSTM))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Missing: linear/w, linear/b"),
        ([], "`params` must be arrays by name. Received: list"),
        ({"gru": {"w_i": np.ones((3, 6)), "w_h": np.ones((2, 6))}}, "Missing: b"),
        ({"linear": {"w": np.ones((3, 8)), "b": np.ones(4)}}, r"\(4,\).*\(8,\)|8"),
        ({"linear": {"w": np.ones((2, 8)), "b": np.ones(8)}}, "all at least 1"),
        (
            {"gru": {**GRU["gru"], "w_h": np.ones((4, 9))}},
            r"`w_h` must have shape \(4, 12\).*\(4, 9\)",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        from_haiku(params)


def test_what_haiku_lacks_is_refused():
    layer = layers.SimpleRNN(UNITS)
    layer.build(X.shape)
    with pytest.raises(ValueError, match="VanillaRNN has `activation` relu.*tanh"):
        to_haiku(layer)
