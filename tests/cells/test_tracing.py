"""custom_lstm.trace against NumPy in float64."""

from functools import partial

import keras
import numpy as np
import pytest
from helpers import cell_oracles as oracle
from keras import layers, ops

import custom_lstm
from custom_lstm import trace

X = np.random.default_rng(1).normal(size=(3, 6, 4)).astype("float32")
MASKS = {
    "none": None,
    "right": np.arange(6) < np.array([[6], [4], [1]]),
    "left": np.arange(6) >= np.array([[0], [2], [5]]),
    "interior": np.random.default_rng(2).random((3, 6)) < 0.5,
}
LAYERS = {
    "LSTM": (custom_lstm.LSTM, oracle.lstm_step, 2),
    "GRU": (custom_lstm.GRU, oracle.gru_step, 1),
    "GRU, reset before": (
        partial(custom_lstm.GRU, reset_after=False),
        partial(oracle.gru_step, reset_after=False),
        1,
    ),
    "SimpleRNN": (custom_lstm.SimpleRNN, oracle.simple_step, 1),
    "RNN": (
        lambda n, **flags: custom_lstm.RNN(custom_lstm.LSTMCell(n), **flags),
        oracle.lstm_step,
        2,
    ),
    "keras RNN": (
        lambda n, **flags: layers.RNN(custom_lstm.LSTMCell(n), **flags),
        oracle.lstm_step,
        2,
    ),
}


def assert_traces_agree(ours, expected):
    assert ours.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(
            ours[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", LAYERS)
def test_every_state_and_gate_matches_numpy(kind, mask, backwards, set_random_weights):
    make, step, states = LAYERS[kind]
    layer = make(5, go_backwards=backwards)
    layer.build(X.shape)
    step = partial(step, weights=set_random_weights(layer))
    expected = oracle.run(step, X, [np.zeros((3, 5))] * states, MASKS[mask], backwards)
    assert_traces_agree(trace(layer, X, MASKS[mask]), expected)


def lstm_in_the_middle():
    return keras.Sequential(
        [
            layers.Dense(4, activation="tanh"),
            custom_lstm.LSTM(5, return_sequences=True, name="core"),
            layers.Dense(2),
        ]
    )


class Subclassed(keras.Model):
    """A model without a graph, the layer two levels down."""

    def __init__(self):
        super().__init__()
        self.parts = {"inner": [lstm_in_the_middle()]}

    def call(self, inputs):
        return self.parts["inner"][0](inputs)


def functional():
    inputs = keras.Input((None, 4))
    return keras.Model(inputs, lstm_in_the_middle()(inputs))


@pytest.mark.parametrize("make", [lstm_in_the_middle, functional, Subclassed])
def test_any_model_that_holds_a_layer_is_traced(make, set_random_weights):
    model = make()
    model(X)
    set_random_weights(model)
    W, b, *weights, _, _ = [np.float64(w) for w in model.get_weights()]
    step = partial(oracle.lstm_step, weights=weights)
    expected = oracle.run(step, np.tanh(X @ W + b), [np.zeros((3, 5))] * 2)
    assert_traces_agree(trace(model, X), expected)


def test_a_mask_made_inside_the_model_counts():
    tokens = np.array([[3, 1, 0, 0], [1, 2, 2, 1]])
    lstm = custom_lstm.LSTM(5)
    model = keras.Sequential([layers.Embedding(4, 3, mask_zero=True), lstm])
    inside = trace(model, tokens)
    embedded = ops.convert_to_numpy(model.layers[0](tokens))
    assert_traces_agree(inside, trace(lstm, embedded, tokens != 0))
    assert np.isnan(inside["forget"][0, 2:]).all()


def test_last_state_is_what_the_layer_returns():
    layer = custom_lstm.LSTM(5, return_state=True)
    states = trace(layer, X)
    _, h, c = map(ops.convert_to_numpy, layer(X))
    np.testing.assert_allclose(states["h"][:, -1], h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(states["c"][:, -1], c, rtol=1e-5, atol=1e-6)


def test_several_layers_are_told_apart():
    model = keras.Sequential(
        [
            layers.Bidirectional(custom_lstm.LSTM(2, return_sequences=True)),
            custom_lstm.GRU(3, name="gru"),
        ]
    )
    traces = trace(model, X)
    assert sorted(traces) == ["backward_lstm", "forward_lstm", "gru"]
    assert traces["gru"]["h"].shape == (3, 6, 3)
    for chosen in ("gru", model.layers[1]):
        assert_traces_agree(trace(model, X, layer=chosen), traces["gru"])


def test_every_call_of_a_shared_layer_is_traced():
    shared = custom_lstm.LSTM(2, return_sequences=True, name="shared")
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, shared(shared(inputs)))
    traces = trace(model, X[..., :2])
    assert list(traces) == ["shared:0", "shared:1"]
    once = trace(shared, traces["shared:0"]["h"])
    assert_traces_agree(once, traces["shared:1"])


def test_a_trace_inside_time_distributed_has_both_times():
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 4)).astype("float32")
    inner = custom_lstm.LSTM(5)
    found = trace(custom_lstm.TimeDistributed(inner), x)
    assert {name: array.shape for name, array in found.items()} == dict.fromkeys(
        ("input", "forget", "candidate", "output", "h", "c"), (2, 3, 6, 5)
    )
    for t in range(3):
        for name, array in trace(inner, x[:, t]).items():
            np.testing.assert_allclose(found[name][:, t], array, atol=1e-6)


def test_time_distributed_says_what_shape_it_was_given():
    layer = custom_lstm.TimeDistributed(custom_lstm.LSTM(5, name="memory"))
    with pytest.raises(ValueError, match="axes") as caught:
        trace(layer, np.ones((2, 6, 4)))
    (note,) = caught.value.__notes__
    assert "shape (2, 6, 4) give 'memory' steps of the shape (None, 4)" in note


def test_stacked_cells_are_numbered():
    cells = [custom_lstm.LSTMCell(2), layers.GRUCell(3), custom_lstm.GRUCell(4)]
    traces = trace(layers.RNN(cells), X)
    assert {name: array.shape[-1] for name, array in traces.items()} == {
        **{f"0/{name}": 2 for name in ("input", "forget", "candidate", "output")},
        **{"0/h": 2, "0/c": 2, "1/h": 3},
        **{f"2/{name}": 4 for name in ("update", "reset", "candidate", "h")},
    }


def test_a_cell_that_overrides_call_can_observe_too():
    class Doubling(custom_lstm.AbstractRNNCell):
        state_size = 4

        def call(self, inputs, states):
            self.observe(twice=2 * inputs)
            return inputs + states[0], [inputs + states[0]]

    states = trace(layers.RNN(Doubling()), X)
    np.testing.assert_allclose(states["twice"], 2 * X)
    np.testing.assert_allclose(states["h"], X.cumsum(axis=1), rtol=1e-5, atol=1e-5)


def test_tracing_does_not_move_a_stateful_layer_on():
    layer = custom_lstm.LSTM(5, stateful=True)
    first = trace(layer, X)
    np.testing.assert_array_equal(layer.states[0].numpy(), 0)
    layer(X)
    stood = [state.numpy() for state in layer.states]
    second = trace(layer, X)
    for before, now in zip(stood, layer.states, strict=True):
        np.testing.assert_array_equal(before, now.numpy())
    expected = trace(layer, np.concatenate([X, X], axis=1), initial_state=None)
    assert not np.allclose(first["h"], second["h"])
    assert expected["h"].shape == (3, 12, 5)


def test_initial_state_counts():
    layer = custom_lstm.GRU(5)
    whole = trace(layer, X)
    rest = trace(layer, X[:, 2:], initial_state=[whole["h"][:, 1]])
    np.testing.assert_allclose(rest["h"], whole["h"][:, 2:], rtol=1e-5, atol=1e-6)


def test_dropout_is_off_in_a_trace():
    layer = custom_lstm.LSTM(5, dropout=0.5, recurrent_dropout=0.5, seed=1)
    assert_traces_agree(trace(layer, X), trace(layer, X))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trace(layers.LSTM(2), X), "custom_lstm.LSTM"),
        (lambda: trace(custom_lstm.LSTM(2), X, layer="other"), "'other'.*'lstm'"),
    ],
)
def test_a_layer_that_is_not_there_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
