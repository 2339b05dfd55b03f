"""Formats that TensorFlow writes, and the finished digits model."""

import keras
import numpy as np
import pytest

import custom_lstm
from custom_lstm import GRU, LSTM

if keras.backend.backend() != "tensorflow":
    pytest.skip("about TensorFlow's formats", allow_module_level=True)

import tensorflow as tf

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters


def model_of(*made, batch=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((None, 3), batch_size=batch), *made])


@pytest.mark.parametrize("step", [False, True])
def test_a_saved_model_has_named_inputs_and_outputs(step, tmp_path):
    model = model_of(LSTM(4, return_sequences=True))
    made = custom_lstm.export(model, tmp_path / "saved", "saved-model", step=step)
    assert made.difference < 1e-5
    signature = tf.saved_model.load(str(made.path)).signatures["serving_default"]
    assert set(signature.structured_outputs) == set(made.outputs)


def test_litert_is_as_small_as_of_keras_and_runs_any_length(tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    ours = model_of(LSTM(32), batch=1)
    theirs = model_of(keras.layers.LSTM(32), batch=1)
    theirs.set_weights(ours.get_weights())
    made = custom_lstm.export(ours, tmp_path / "model.tflite")
    kept = tf.lite.TFLiteConverter.from_keras_model(theirs).convert()
    assert made.path.stat().st_size <= 1.2 * len(kept)
    run = litert.Interpreter(model_path=str(made.path)).get_signature_runner()
    for time in (1, 9):
        x = np.random.default_rng(time).normal(size=(1, time, 3)).astype("float32")
        np.testing.assert_allclose(run(input=x)["output"], ours(x), atol=1e-5)


def test_litert_takes_one_step_of_one_sequence(tmp_path):
    pytest.importorskip("ai_edge_litert")
    made = custom_lstm.export(model_of(GRU(4)), tmp_path / "step.tflite", step=True)
    assert made.inputs == {"input": (1, 3), "h": (1, 4)}


def test_openvino_runs_what_onnx_holds(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("tf2onnx")
    made = custom_lstm.export(model_of(LSTM(4)), tmp_path / "model.xml")
    assert made.difference < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]
