"""Whole models of Keras's layers, made again of this package's."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm.convert import from_keras_model
from custom_lstm.walk import layers_in

RNG = np.random.default_rng(0)
OF_KERAS = {layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN}
OF_KERAS |= {layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell}
OF_KERAS |= {layers.Bidirectional}


class Doubling(layers.Layer):
    """A user's own, which nothing registers."""

    def call(self, inputs):
        return 2 * inputs


def sequential():
    return keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.LSTM(4, return_sequences=True, name="first"),
            layers.Dropout(0.3),
            layers.BatchNormalization(),
            layers.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid"),
            layers.Dense(2),
        ]
    )


def functional():
    """Two inputs, one layer called twice, both ways, a model in the model."""
    one, two = keras.Input((6, 3)), keras.Input((6, 3))
    shared = layers.Bidirectional(layers.LSTM(4, return_sequences=True))
    inner = keras.Sequential([keras.Input((6, 8)), layers.SimpleRNN(3), Doubling()])
    both = layers.Bidirectional(
        layers.GRU(3), backward_layer=layers.LSTM(2, go_backwards=True)
    )
    merged = layers.Add()([shared(one), shared(two)])
    return keras.Model([one, two], [inner(merged), both(merged)])


def of_cells():
    stack = [layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)]
    return keras.Sequential([keras.Input((6, 3)), layers.RNN(stack)])


@pytest.mark.parametrize("make", [sequential, functional, of_cells])
def test_the_copy_answers_as_the_model_does(make):
    model = make()
    model.set_weights([RNG.uniform(0.1, 0.6, w.shape) for w in model.get_weights()])
    model.compile("adam", "mse")
    before = model.get_weights()
    ours = from_keras_model(model)
    x = [RNG.normal(size=(2, 6, 3)).astype("float32") for _ in model.inputs]
    x = x if len(x) > 1 else x[0]
    found, expected = ours.predict(x, verbose=0), model.predict(x, verbose=0)
    for mine, theirs in zip(
        keras.tree.flatten(found), keras.tree.flatten(expected), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert [x.name for x in ours.layers] == [x.name for x in model.layers]
    assert OF_KERAS & {type(layer) for layer in layers_in(model)}
    assert not OF_KERAS & {type(layer) for layer in layers_in(ours)}
    ours.set_weights([np.zeros_like(array) for array in before])
    for array, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, same)


def test_the_copy_shows_its_gates_and_is_saved(tmp_path):
    ours = from_keras_model(sequential())
    x = RNG.normal(size=(2, 6, 3)).astype("float32")
    assert set(custom_lstm.trace(ours, x)) == {"first", ours.layers[3].name}
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert type(loaded.layers[0]) is custom_lstm.LSTM
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), ours.predict(x, verbose=0), atol=1e-6
    )


def test_models_without_such_layers_or_weights_are_refused():
    with pytest.raises(ValueError, match="must have a recurrent layer of Keras.*dense"):
        from_keras_model(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    ours = keras.Sequential([keras.Input((None, 3)), custom_lstm.LSTM(2)])
    with pytest.raises(ValueError, match="must have a recurrent layer of Keras"):
        from_keras_model(ours)
    with pytest.raises(ValueError, match="`model` must be built"):
        from_keras_model(keras.Sequential([layers.LSTM(2)]))
