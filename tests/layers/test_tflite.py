"""Models convert to TensorFlow Lite where Keras's do, into files as small."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm

if keras.backend.backend() != "tensorflow":
    pytest.skip("TensorFlow Lite converts TensorFlow's models", allow_module_level=True)

import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
FEATURES, UNITS = 8, 32


def stacked(recurrent):
    first = recurrent(FEATURES, return_sequences=True)
    return [first, recurrent(FEATURES, return_sequences=True), recurrent(FEATURES)]


def peephole(runner):
    return [runner(custom_lstm.PeepholeLSTMCell(UNITS), return_sequences=True)]


MAKE = {
    "LSTM": (lambda: [layers.LSTM(UNITS)], lambda: [custom_lstm.LSTM(UNITS)]),
    "GRU": (lambda: [layers.GRU(UNITS)], lambda: [custom_lstm.GRU(UNITS)]),
    "SimpleRNN": (
        lambda: [layers.SimpleRNN(UNITS)],
        lambda: [custom_lstm.SimpleRNN(UNITS)],
    ),
    "peephole": (
        lambda: peephole(layers.RNN),
        lambda: peephole(custom_lstm.RNN),
    ),
    "bidirectional": (
        lambda: [layers.Bidirectional(layers.LSTM(16))],
        lambda: [layers.Bidirectional(custom_lstm.LSTM(16))],
    ),
    "masked": (
        lambda: [layers.Masking(), layers.LSTM(UNITS)],
        lambda: [layers.Masking(), custom_lstm.LSTM(UNITS)],
    ),
    "stacked": (lambda: stacked(layers.LSTM), lambda: stacked(custom_lstm.LSTM)),
}


def converter(model, route, folder):
    if route == "keras":
        return tf.lite.TFLiteConverter.from_keras_model(model)
    module = tf.Module()
    module.variables_ = [variable.value for variable in model.variables]
    spec = tf.TensorSpec(model.input_shape)
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    function = function.get_concrete_function(spec)
    if route == "concrete function":
        return tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    tf.saved_model.save(module, str(folder), signatures=function)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder))


def run(content, x):
    """Return what a converted model answers, resized to these inputs."""
    interpreter = tf.lite.Interpreter(model_content=content)
    (given,), (made,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(made["index"])


@pytest.mark.parametrize(
    ("name", "time", "route"),
    [
        *((name, None, "keras") for name in MAKE),
        ("LSTM", 20, "keras"),
        ("LSTM", 5, "keras"),
        ("GRU", 20, "keras"),
        ("bidirectional", 20, "keras"),
        ("stacked", 20, "keras"),
        ("LSTM", None, "concrete function"),
        ("LSTM", 20, "saved model"),
        ("GRU", None, "saved model"),
    ],
)
def test_a_converted_model_answers_as_keras_and_is_as_small(
    name, time, route, tmp_path
):
    theirs, ours = (
        keras.Sequential([keras.Input(batch_shape=(1, time, FEATURES)), *make()])
        for make in MAKE[name]
    )
    ours.set_weights(theirs.get_weights())
    kept, found = (
        converter(model, route, tmp_path / folder).convert()
        for model, folder in ((theirs, "theirs"), (ours, "ours"))
    )
    assert len(found) <= 1.2 * len(kept)
    for length in [time] if time else [1, 2, 7, 30]:
        x = np.random.default_rng(length).normal(size=(1, length, FEATURES))
        x = x.astype("float32")
        np.testing.assert_allclose(run(found, x), np.array(theirs(x)), atol=1e-5)


def test_a_batch_of_known_size_and_unknown_length_converts(tmp_path):
    model = keras.Sequential(
        [keras.Input(batch_shape=(3, None, FEATURES)), custom_lstm.LSTM(UNITS)]
    )
    content = converter(model, "keras", tmp_path).convert()
    x = np.random.default_rng(0).normal(size=(3, 9, FEATURES)).astype("float32")
    np.testing.assert_allclose(run(content, x), np.array(model(x)), atol=1e-5)
