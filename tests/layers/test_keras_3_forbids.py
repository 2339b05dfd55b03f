"""What old cells meet in Keras 3: errors that say what to write, and what is mended."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from custom_lstm import RNN, AbstractRNNCell, LSTMCell
from custom_lstm.cells.old_arguments import initial_arguments, weight_arguments

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="of TensorFlow alone"
)


class Leaky(layers.Layer):
    state_size = 3

    def call(self, inputs, states):
        h = 0.5 * states[0] + inputs
        return h, [h]


class AsksInTheOldWay(Leaky):
    def __init__(self, **old):
        super().__init__()
        self.cell, self.old = layers.LSTMCell(3), old
        self.state_size = [3, 3]

    def get_initial_state(self, batch_size=None):
        return self.cell.get_initial_state(batch_size=batch_size, **self.old)


class AsksByPosition(AsksInTheOldWay):
    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return self.cell.get_initial_state(inputs, batch_size, dtype)


class OldDropoutMask(layers.GRUCell):
    def call(self, inputs, states, training=False):
        self.get_dropout_mask_for_cell(inputs, training, count=3)


class LearningPhase(Leaky):
    def call(self, inputs, states):
        if keras.backend.learning_phase():
            inputs = inputs * 2
        return super().call(inputs, states)


class OldBackend(Leaky):
    def call(self, inputs, states):
        return keras.backend.dot(inputs, states[0]), states


class Updates(Leaky):
    def call(self, inputs, states):
        self.add_update([])
        return super().call(inputs, states)


class ListOfWeights(Leaky):
    def build(self, input_shape):
        self._trainable_weights.append(1)


class PassesConstants(layers.StackedRNNCells):
    def call(self, inputs, states, constants=None, training=None):
        return super().call(inputs, states, constants=constants, training=training)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (AsksInTheOldWay(inputs=None), r"get_initial_state\(batch_size=batch_size\)"),
        (AsksByPosition(), r"get_initial_state\(batch_size=batch_size\)"),
        (OldDropoutMask(3), r"write `self.get_dropout_mask\(inputs\)`"),
        (LearningPhase(), "give `call` an argument `training`"),
        (OldBackend(), "no `dot`; write `keras.ops.matmul`"),
        (Updates(), r"write `variable.assign\(value\)`"),
        (ListOfWeights(), r"`self.add_weight\(...\)` alone"),
        (PassesConstants([layers.LSTMCell(3)]), "do not take `constants`; leave"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_error_of_keras_3_says_what_to_write(cell, message):
    with pytest.raises(ValueError, match=rf"RNN 'rnn\w*': .*{message}.* Keras said: "):
        RNN(cell)(X)


def test_other_errors_are_left_alone():
    class Broken(Leaky):
        def call(self, inputs, states):
            raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        RNN(Broken())(X)


@on_tensorflow
def test_a_tf_function_sees_the_weights_as_they_are():
    import tensorflow as tf

    class Traced(AbstractRNNCell):
        def __init__(self, units):
            super().__init__()
            self.state_size = units
            self.dense = layers.Dense(units)

        @tf.function
        def call(self, inputs, states):
            h = states[0]
            for _ in tf.range(2):
                h = self.helper(inputs, h)
            return h, [h]

        @tf.function
        def helper(self, inputs, h):
            return tf.tanh(self.dense(inputs) + h)

    layer = RNN(Traced(4), return_sequences=True)
    before = layer(X)
    model = keras.Sequential([keras.Input((5, 3)), layer])
    model.compile("sgd", "mse")
    model.fit(X, np.ones((2, 5, 4)), verbose=0)
    after = layer(X)
    assert np.abs(after - before).max() > 1e-4
    h, kernel, bias = np.zeros((2, 4)), *layer.get_weights()
    for t in range(5):
        for _ in range(2):
            h = np.tanh(X[:, t] @ kernel + bias + h)
        np.testing.assert_allclose(after[:, t], h, rtol=1e-5, atol=1e-6)


@on_tensorflow
def test_a_variable_that_keras_does_not_see_is_named():
    import tensorflow as tf

    class Foreign(Leaky):
        def build(self, input_shape):
            self.scale = tf.Variable(tf.ones(3))

    with pytest.warns(UserWarning, match=r"Foreign.scale is a tf.Variable.*add_weight"):
        RNN(Foreign())(X)


def test_cells_of_private_classes_run_in_models():
    class _Private(Leaky):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(3,), initializer="ones", name="s")

        def call(self, inputs, states):
            return super().call(self.scale * inputs, states)

    layer = RNN([_Private(), _Private()])
    model = keras.Sequential([keras.Input((5, 3)), layer])
    model.compile("sgd", "mse")
    model.fit(X, np.ones((2, 3)), verbose=0)
    assert model.output_shape == (None, 3)
    assert not any((weight == 1).all() for weight in layer.get_weights())


def test_states_may_be_complex():
    class Rotates(Leaky):
        def get_initial_state(self, batch_size=None):
            return [ops.zeros((batch_size, 3), "complex64")]

        def call(self, inputs, states):
            turn = ops.convert_to_tensor(np.complex64(0.8 + 0.6j))
            h = states[0] * turn + ops.cast(inputs, "complex64")
            return ops.real(h), [h]

    outputs = ops.convert_to_numpy(RNN(Rotates(), return_sequences=True)(X))
    h = np.zeros((2, 3), complex)
    for t in range(5):
        h = h * (0.8 + 0.6j) + X[:, t]
        np.testing.assert_allclose(outputs[:, t], h.real, rtol=1e-5, atol=1e-6)


def test_one_state_in_the_nest_of_a_cell_of_this_package_comes_by_position():
    cell = LSTMCell(3)
    for states in (
        cell.get_initial_state(2),
        cell.get_initial_state(None, 2, "float32"),
        cell.get_initial_state(ops.ones((2, 4)), None, None),
        cell.get_initial_state(inputs=ops.ones((2, 4))),
    ):
        assert [tuple(state.shape) for state in states] == [(2, 3)] * 2


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ((2, "float16", None), (2, "float16", None)),
        ((None, 2, "float16"), (2, "float16", None)),
        ((X, None, None), (None, None, X)),
        ((None, None, None), (None, None, None)),
    ],
)
def test_arguments_of_get_initial_state_are_told_apart(given, read):
    found = initial_arguments(*given)
    assert all(a is b for a, b in zip(found, read, strict=True))


def test_a_weight_with_its_name_first_is_keras_3s():
    args, options = weight_arguments(("in/w", [2, 3], None, "ones"), {"trainable": 0})
    assert args == ()
    assert options == {
        "name": "in_w",
        "shape": [2, 3],
        "initializer": "ones",
        "trainable": 0,
    }
    assert weight_arguments(((2, 3), "ones"), {}) == (((2, 3), "ones"), {})


def test_a_cell_of_another_process_is_loaded_with_custom_objects(tmp_path, monkeypatch):
    class Unknown(Leaky):
        pass

    model = keras.Sequential([keras.Input((5, 3)), RNN(Unknown())])
    with pytest.warns(UserWarning, match="Unknown, which another process can only"):
        model.save(tmp_path / "model.keras")
    monkeypatch.setattr("custom_lstm.layers.rnn.remembered_classes", dict)
    with pytest.raises(TypeError, match="Could not locate class 'Unknown'"):
        keras.models.load_model(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", {"Unknown": Unknown})
    outputs = (ops.convert_to_numpy(each(X)) for each in (loaded, model))
    np.testing.assert_allclose(*outputs)
