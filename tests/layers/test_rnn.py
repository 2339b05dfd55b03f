"""RNN, LSTM, GRU and SimpleRNN: what they have beyond Keras's, and their errors."""

import inspect

import keras
import numpy as np
import pytest
from helpers import layer_gradients
from keras import layers, ops

import custom_lstm
from custom_lstm import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell

X = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
PAIRS = [
    (LSTM, layers.LSTM),
    (GRU, layers.GRU),
    (SimpleRNN, layers.SimpleRNN),
    (LSTMCell, layers.LSTMCell),
    (GRUCell, layers.GRUCell),
    (SimpleRNNCell, layers.SimpleRNNCell),
    (RNN, layers.RNN),
]
NAMES = [ours.__name__ for ours, _ in PAIRS]


def numpy(x):
    return keras.tree.map_structure(ops.convert_to_numpy, x)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=NAMES)
def test_signature_begins_with_that_of_keras(ours, theirs):
    def arguments(cls):
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [(p.name, p.default) for p in parameters if p.kind is not p.VAR_KEYWORD]

    expected = arguments(theirs)
    assert arguments(ours)[: len(expected)] == expected


def other_value(name, default):
    """Return a value for an argument that is not its default."""
    by_kind = {
        "activation": "relu",
        "initializer": keras.initializers.RandomNormal(seed=1),
        "regularizer": keras.regularizers.L2(0.1),
        "constraint": keras.constraints.MaxNorm(2.0),
        "dropout": 0.25,
        "seed": 7,
        "implementation": 1,
        "cudnn": False,
        "kernel": "reference",
        "units": 5,
        "name": "called",
    }
    return by_kind.get(name.rpartition("_")[2], not default)


def with_every_argument(cls):
    """All arguments of `cls`, none at its default, but those that exclude others."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    arguments = {
        p.name: other_value(p.name, p.default)
        for p in parameters
        if p.name not in ("self", "kwargs", "stateful")
    }
    if cls is RNN:
        arguments |= {"cell": LSTMCell(5), "kernel": "loop"}
    if not issubclass(cls, custom_lstm.AbstractRNNCell):
        arguments["zero_output_for_mask"] = True
    return {**arguments, "name": "called", "dtype": "float64", "trainable": False}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=NAMES)
def test_every_argument_survives_get_config(ours, theirs):
    arguments = with_every_argument(ours)
    layer = ours(**arguments)
    config = layer.get_config()
    assert set(arguments) <= set(config)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert type(again) is ours
    assert again.get_config() == config
    default = ours(LSTMCell(5) if ours is RNN else 4).get_config()
    same = [name for name in arguments if config[name] == default[name]]
    assert not same


@pytest.mark.parametrize(("ours", "theirs"), PAIRS[:3], ids=NAMES[:3])
def test_config_of_keras_makes_our_layer(ours, theirs):
    config = theirs(4, activation="relu", dropout=0.5, go_backwards=True).get_config()
    layer = ours.from_config(config)
    assert {**layer.get_config(), **config} == layer.get_config()
    assert (layer.units, layer.dropout, layer.go_backwards) == (4, 0.5, True)
    assert layer.activation is keras.activations.relu


@pytest.mark.parametrize(("ours", "theirs"), PAIRS[:3], ids=NAMES[:3])
def test_weights_have_the_paths_of_keras(ours, theirs):
    found = []
    for make in (theirs, ours):
        layer = make(2, name="recurrent")
        layer.build(X.shape)
        found.append([weight.path for weight in layer.weights])
    assert found[0] == found[1]


def test_stateful_survives_get_config():
    assert RNN.from_config(RNN(LSTMCell(2), stateful=True).get_config()).stateful


def learned(layer, value):
    layer.build(X.shape)
    weights = layer.get_weights()
    for index in range(len(layer.learned_state)):
        weights[index] = np.full(weights[index].shape, value * (index + 1))
    layer.set_weights(weights)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_learned_initial_state_is_a_state_given(make):
    layer = make(5, learn_initial_state=True, return_sequences=True)
    learned(layer, 0.5)
    given = [
        np.full((3, 5), 0.5 * (index + 1), "float32")
        for index in range(len(layer.learned_state))
    ]
    np.testing.assert_allclose(
        numpy(layer(X)), numpy(layer(X, initial_state=given)), rtol=1e-6, atol=1e-7
    )


def test_learned_initial_state_gets_the_gradient_of_all_sequences():
    layer = LSTM(5, learn_initial_state=True)
    learned(layer, 0.0)
    outputs, (_, by_h, by_c, *_) = layer_gradients.run(layer, X)
    zeros = [np.zeros((3, 5), "float32")] * 2
    expected, (_, by_given_h, by_given_c, *_) = layer_gradients.run(layer, X, zeros)
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)
    np.testing.assert_allclose(by_h, by_given_h.sum(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_c, by_given_c.sum(axis=0), rtol=1e-5, atol=1e-6)


def test_learned_initial_state_starts_from_what_the_cell_says():
    class Ones(LSTMCell):
        def get_initial_state(self, batch_size=None):
            return [ops.ones_like(s) for s in super().get_initial_state(batch_size)]

    layer = RNN(Ones(2), learn_initial_state=True)
    learned(layer, 0.5)
    h, c = numpy(layer.get_initial_state(3))
    assert (h == 1.5).all()
    assert (c == 2.0).all()


def test_learned_initial_state_of_stacked_cells():
    layer = RNN([LSTMCell(2), GRUCell(3)], learn_initial_state=True)
    layer.build(X.shape)
    names = [weight.name for weight in layer.learned_state]
    assert names == ["initial_state_0", "initial_state_1", "initial_state_2"]
    assert tuple(layer(X).shape) == (3, 3)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_runs_bidirectional_as_keras_does(make):
    theirs = getattr(layers, make.__name__)
    mask = np.arange(6) < np.array([[6], [2], [4]])
    pair = [
        layers.Bidirectional(kind(5, return_sequences=True)) for kind in (make, theirs)
    ]
    for layer in pair:
        layer.build(X.shape)
    pair[0].set_weights(pair[1].get_weights())
    ours, expected = (numpy(layer(X, mask=mask)) for layer in pair)
    np.testing.assert_allclose(ours, expected, rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("runner", [RNN, layers.RNN])
def test_stacked_cells_equal_those_of_keras(runner):
    ours = runner([LSTMCell(5), GRUCell(3), SimpleRNNCell(2)])
    theirs = layers.RNN(
        [layers.LSTMCell(5), layers.GRUCell(3), layers.SimpleRNNCell(2)]
    )
    ours.build(X.shape), theirs.build(X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(numpy(ours(X)), numpy(theirs(X)), rtol=1.3e-6, atol=1e-5)


def test_stacked_cells_drop_out_also_from_a_given_state():
    layer = RNN([LSTMCell(2, dropout=0.5, seed=1), GRUCell(3, recurrent_dropout=0.5)])
    states = [[np.ones((3, 2)), np.ones((3, 2))], np.ones((3, 3))]
    drawn = [numpy(layer(X, initial_state=states, training=True)) for _ in range(2)]
    assert not np.allclose(*drawn)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_batch_and_time_may_be_dynamic(make):
    inputs = keras.Input((None, 4))
    layer = make(5, return_sequences=True, dropout=0.5, recurrent_dropout=0.5)
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(
        model.predict(X, verbose=0), numpy(layer(X)), rtol=1e-5, atol=1e-6
    )
    assert model.predict(X[:2, :3], verbose=0).shape == (2, 3, 5)


@pytest.mark.parametrize(
    "options",
    [{}, {"unroll": True}, {"learn_initial_state": True}, {"stateful": True}],
    ids=str,
)
def test_fit_with_dropout_lowers_the_loss(options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(batch_shape=(8, 6, 4))
    lstm = LSTM(8, dropout=0.1, recurrent_dropout=0.1, seed=2, **options)
    model = keras.Model(inputs, layers.Dense(1)(lstm(inputs)))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = np.random.default_rng(1).normal(size=(64, 6, 4)).astype("float32")
    y = x.mean(axis=(1, 2))[:, None]
    losses = model.fit(x, y, batch_size=8, epochs=8, shuffle=False, verbose=0)
    assert losses.history["loss"][-1] < 0.5 * losses.history["loss"][0]


def test_mask_goes_on_to_the_outputs_of_all_steps_only():
    mask = np.ones((3, 6), bool)
    every = LSTM(2, return_sequences=True, return_state=True)
    assert every.compute_mask(X, mask)[1:] == [None, None]
    assert every.compute_mask(X, mask)[0] is mask
    assert LSTM(2).compute_mask(X, mask) is None
    assert LSTM(2).supports_masking
