"""Models of this package, exported by Keras's own `export` and by PyTorch's."""

import keras
import numpy as np
import pytest
from helpers.exported_models import MADE, answer, model_of, onnx_runner, sequences

import custom_lstm
from custom_lstm.tasks.digits.model import build
from custom_lstm.tasks.digits.options import Config

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    pytest.skip("Keras exports JAX's models by other ways", allow_module_level=True)
pytest.importorskip("onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of Keras's exporter, tf2onnx and PyTorch
    pytest.mark.usefixtures("quiet"),
]
NAMES = ["LSTM", "GRU before", "zoneout", "a user's own", "masked", "stacked"]
LONG = 100
"""Steps that are not written out."""


@pytest.fixture
def quiet(caplog):
    """Keep what exporters log from the report."""
    caplog.set_level("CRITICAL")


def exported(model, x, folder):
    """Return the exported model as a function."""
    model(x)
    if BACKEND == "torch":
        model.eval()
    path = folder / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    run, (name,) = onnx_runner(path), [t.name for t in model.inputs]

    def answered(data):
        (made,) = run(**{name: data}).values()
        return made

    return answered


def assert_alike(run, model, x):
    np.testing.assert_allclose(run(x), answer(model, x), atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras's exporter traces one length")
@pytest.mark.parametrize("name", NAMES)
def test_keras_exports_any_batch_and_length(name, tmp_path):
    model = model_of(MADE[name][0]())
    run = exported(model, sequences(2, 6), tmp_path)
    for batch, time in ((1, 1), (3, 6), (2, 2 * LONG)):
        assert_alike(run, model, sequences(batch, time))


@pytest.mark.skipif(BACKEND == "torch", reason="Keras's exporter traces one length")
@pytest.mark.parametrize("size", [(None, LONG), (None, 7), (1, None)], ids=str)
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_keras_exports_sizes_that_are_known(name, size, tmp_path):
    batch, time = size
    model = model_of(MADE[name][0](), *size)
    x = sequences(batch or 2, time or 6)
    assert_alike(exported(model, x, tmp_path), model, x)


@pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch's exporters")
@pytest.mark.parametrize("name", NAMES)
def test_pytorch_exports_a_known_length(name, tmp_path):
    import torch

    model = model_of(MADE[name][0](), None, 7)
    x = torch.tensor(sequences(2, 7))
    assert_alike(exported(model, x.numpy(), tmp_path), model, x.numpy())
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x))


def digits_model(views):
    core = "layer" if BACKEND == "torch" else "cell"
    given = {"recurrent": core, "views": views, "units": 16}
    config = Config().replace(**given).resolve_defaults("digits")
    model = build(config, any_length=True)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(2, 4, 28, 28, 1)).astype(model.inputs[0].dtype)
    return model, x


def test_keras_exports_the_finished_digits_model_of_any_length(tmp_path):
    model, x = digits_model(views=5)
    run = exported(model, x, tmp_path)
    assert_alike(run, model, x)
    assert_alike(run, model, x[:1, :3])


@pytest.mark.parametrize("suffix", ["onnx", "xml"])
def test_the_finished_digits_model_of_any_length(suffix, tmp_path):
    pytest.importorskip("openvino")
    model, _ = digits_model(views=9)
    made = custom_lstm.export(model, tmp_path / f"model.{suffix}")
    assert made.difference < 1e-5
