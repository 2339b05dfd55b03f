"""Models are exported to ONNX, and onnxruntime computes what they compute."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm import AbstractRNNCell
from custom_lstm.tasks.digits.model import build
from custom_lstm.tasks.digits.options import Config

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    pytest.skip("Keras exports JAX's models by other ways", allow_module_level=True)
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of Keras's exporter, tf2onnx and PyTorch
    pytest.mark.usefixtures("quiet"),
]
FEATURES, UNITS = 3, 4
SEQUENCES = {"return_sequences": True}


class Own(AbstractRNNCell):
    """A cell as a user writes it, with `call` alone."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        z, h = keras.ops.matmul(inputs, self.kernel), states[0]
        return keras.ops.tanh(z + 0.5 * h), [keras.ops.tanh(z + 0.5 * h)]


MODELS = {
    "LSTM": lambda: [custom_lstm.LSTM(UNITS, **SEQUENCES)],
    "the last output": lambda: [custom_lstm.LSTM(UNITS)],
    "GRU": lambda: [custom_lstm.GRU(UNITS, **SEQUENCES)],
    "a published GRU": lambda: [custom_lstm.GRU(UNITS, reset_after=False, **SEQUENCES)],
    "SimpleRNN": lambda: [custom_lstm.SimpleRNN(UNITS, **SEQUENCES)],
    "peephole": lambda: [
        custom_lstm.RNN(custom_lstm.PeepholeLSTMCell(UNITS), **SEQUENCES)
    ],
    "zoneout": lambda: [
        custom_lstm.RNN(custom_lstm.ZoneoutLSTMCell(UNITS), **SEQUENCES)
    ],
    "a user's own": lambda: [custom_lstm.RNN(Own(UNITS), **SEQUENCES)],
    "bidirectional": lambda: [
        custom_lstm.Bidirectional(custom_lstm.LSTM(UNITS, **SEQUENCES))
    ],
    "masked": lambda: [layers.Masking(), custom_lstm.LSTM(UNITS, **SEQUENCES)],
    "stacked": lambda: [
        custom_lstm.LSTM(UNITS, **SEQUENCES),
        custom_lstm.GRU(FEATURES),
    ],
}
LONG = 100
"""Steps that are not written out."""
SIZES = [(None, LONG), (None, 7), (1, None), (1, 7)]


@pytest.fixture
def quiet(caplog):
    """Keep what exporters log from the report."""
    caplog.set_level("CRITICAL")


def sequences(batch, time):
    x = np.random.default_rng(0).normal(size=(batch, time, FEATURES)).astype("float32")
    x[:, time // 2 + 1 :] = 0  # what Masking masks
    return x


def exported(model, x, folder):
    """Return the exported model as a function."""
    model(x)
    if BACKEND == "torch":
        model.eval()
    path = folder / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    return lambda data: session.run(None, {session.get_inputs()[0].name: data})[0]


def assert_alike(run, model, x):
    expected = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(run(x), expected, atol=1e-5)


def of_size(name, batch, time):
    inputs = keras.Input((time, FEATURES), batch_size=batch)
    outputs = inputs
    for layer in MODELS[name]():
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras's exporter traces one length")
@pytest.mark.parametrize("name", MODELS)
def test_any_batch_and_length(name, tmp_path):
    model = of_size(name, None, None)
    run = exported(model, sequences(2, 6), tmp_path)
    for batch, time in ((1, 1), (3, 6), (2, 9), (2, 2 * LONG)):
        assert_alike(run, model, sequences(batch, time))


@pytest.mark.skipif(BACKEND == "torch", reason="Keras's exporter traces one length")
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_sizes_that_are_known(name, size, tmp_path):
    batch, time = size
    model = of_size(name, *size)
    x = sequences(batch or 2, time or 6)
    assert_alike(exported(model, x, tmp_path), model, x)


@pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch's exporters")
@pytest.mark.parametrize("name", MODELS)
def test_pytorch_exports_a_known_length(name, tmp_path):
    import torch

    model = of_size(name, None, 7)
    x = torch.tensor(sequences(2, 7))
    assert_alike(exported(model, x.numpy(), tmp_path), model, x.numpy())
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.parametrize("views", [1, 5, 9])
def test_the_finished_digits_model_of_any_length(views, tmp_path):
    core = "layer" if BACKEND == "torch" else "cell"
    given = {"recurrent": core, "views": views, "units": 16}
    config = Config().replace(**given).resolve_defaults("digits")
    model = build(config, any_length=True)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(2, 4, 28, 28, 1)).astype(model.inputs[0].dtype)
    run = exported(model, x, tmp_path)
    assert_alike(run, model, x)
    assert_alike(run, model, x[:1, :3])
