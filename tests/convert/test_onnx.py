"""Weights to and from ONNX's operators, by an evaluator after their description."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm import cells
from custom_lstm.convert import from_onnx, to_onnx

FEATURES, UNITS = 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, FEATURES)).astype("float32")
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def evaluate(kind, initializers, linear_before_reset=False):
    """Return Y, (time, directions, batch, units), in float64."""
    count = len(initializers["W"])
    ways = []
    for k in range(count):
        own = {name: np.float64(array[k]) for name, array in initializers.items()}
        steps = X.transpose(1, 0, 2)[:: -1 if k else 1]
        outputs = list(one_direction(kind, own, steps, linear_before_reset))
        ways.append(outputs[:: -1 if k else 1])
    return np.stack(ways, axis=1)


def one_direction(kind, v, steps, linear_before_reset):
    """Yield the outputs of each step."""
    gates = GATES[kind]
    W, R = (np.split(v[name], gates) for name in ("W", "R"))
    b = np.split(v.get("B", np.zeros(2 * gates * UNITS)), 2 * gates)
    P = np.split(v.get("P", np.zeros(3 * UNITS)), 3)
    h = c = np.zeros((len(X), UNITS))
    for x in steps:

        def z(k, x=x, h=h):
            return x @ W[k].T + b[k] + h @ R[k].T + b[gates + k]

        if kind == "RNN":
            h = np.tanh(z(0))
        elif kind == "LSTM":
            i, f = sigmoid(z(0) + P[0] * c), sigmoid(z(2) + P[2] * c)
            c = f * c + i * np.tanh(z(3))
            h = sigmoid(z(1) + P[1] * c) * np.tanh(c)
        else:
            u, r = sigmoid(z(0)), sigmoid(z(1))
            if linear_before_reset:
                recalled = r * (h @ R[2].T + b[5])
            else:
                recalled = (r * h) @ R[2].T + b[5]
            h = (1 - u) * np.tanh(x @ W[2].T + b[2] + recalled) + u * h
        yield h


def draw(kind, directions=1, bias=True, peepholes=False):
    width = GATES[kind] * UNITS
    shapes = {"W": (width, FEATURES), "R": (width, UNITS)}
    shapes |= {"B": (2 * width,)} if bias else {}
    shapes |= {"P": (3 * UNITS,)} if peepholes else {}
    return {
        name: 0.5 * RNG.normal(size=(directions, *shape)).astype("float32")
        for name, shape in shapes.items()
    }


CASES = {  # operator, its cell, and arguments of `draw`
    "LSTM": ("LSTM", cells.LSTMCell, {}),
    "LSTM without bias": ("LSTM", cells.LSTMCell, {"bias": False}),
    "LSTM with peepholes": ("LSTM", cells.PeepholeLSTMCell, {"peepholes": True}),
    "GRU": ("GRU", layers.GRUCell, {}),
    "GRU without bias": ("GRU", cells.GRUCell, {"bias": False}),
    "RNN": ("RNN", layers.SimpleRNNCell, {}),
}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_onnx_and_the_layer_compute_the_same(case, reset_after, directions):
    kind, cell_class, arguments = CASES[case]
    initializers = draw(kind, directions, **arguments)
    options = {"reset_after": reset_after} if kind == "GRU" else {}
    cell = cell_class(UNITS, use_bias="B" in initializers, **options)
    layer = custom_lstm.RNN(cell, return_sequences=True)
    layer = layers.Bidirectional(layer) if directions == 2 else layer
    layer.build(X.shape)
    layer.set_weights(from_onnx(initializers, linear_before_reset=reset_after))
    ours = keras.ops.convert_to_numpy(layer(X))
    for given in (initializers, to_onnx(layer)):
        outputs = evaluate(kind, given, reset_after)
        theirs = outputs.transpose(2, 0, 1, 3).reshape(ours.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_way_there_and_back_changes_nothing(case, directions):
    kind, _, arguments = CASES[case]
    after = True
    weights = from_onnx(draw(kind, directions, **arguments), "", after)
    back = from_onnx(to_onnx(weights, "a.", reset_after=True), "a.", after)
    for array, original in zip(back, weights, strict=True):
        assert array.dtype == original.dtype
        np.testing.assert_array_equal(array, original)


W, R = np.ones((1, 8, 3)), np.ones((1, 8, 2))


@pytest.mark.parametrize(
    ("initializers", "message"),
    [
        ({}, "must hold W, R. Missing: W, R"),
        ([W, R], "arrays by name. Received: list"),
        ({"W": W, "R": R, "h": R}, "Unexpected: h"),
        ({"W": W[0], "R": R[0]}, "one or two directions"),
        ({"W": W, "R": np.ones((2, 8, 2))}, r"one or two directions.*\(2, 8, 2\)"),
        ({"W": np.ones((1, 6, 3)), "R": R}, r"`W` must have .*\(8, 3\).*\(6, 3\)"),
        ({"W": W, "R": np.ones((1, 7, 2))}, r"must have shape"),
        ({"W": W, "R": R, "B": np.ones((1, 8))}, r"`B`.*\(16,\).*\(8,\)"),
        ({"W": W, "R": R, "P": np.ones((1, 8))}, r"`P`.*\(6,\).*\(8,\)"),
        ({"W": np.ones(()), "R": R}, "one or two directions"),
    ],
)
def test_initializers_that_do_not_fit_are_refused(initializers, message):
    with pytest.raises(ValueError, match=message):
        from_onnx(initializers)


def test_directions_that_differ_are_refused():
    layer = custom_lstm.Bidirectional(
        custom_lstm.LSTM(4), backward_layer=custom_lstm.LSTM(5, go_backwards=True)
    )
    layer.build(X.shape)
    with pytest.raises(ValueError, match="equal in kind and shapes in both"):
        to_onnx(layer)


def test_one_direction_that_runs_backwards_is_refused():
    layer = layers.LSTM(4, go_backwards=True)
    layer.build(X.shape)
    with pytest.raises(ValueError, match="`go_backwards=True`"):
        to_onnx(layer)


def test_activations_are_attributes_of_the_operator():
    options = {"activation": "relu", "output_activation": "tanh"}
    cell = cells.LSTMCell(UNITS, **options)
    cell.build((None, FEATURES))
    np.testing.assert_equal(to_onnx(cell), to_onnx(cell.get_weights()))
