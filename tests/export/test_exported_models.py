"""What is exported answers as the model, at sizes that were not exported."""

import importlib

import keras
import numpy as np
import pytest
from helpers.exported_models import (
    ALL,
    FEATURES,
    MADE,
    Own,
    answer,
    model_of,
    onnx_runner,
    openvino_runner,
    sequences,
)
from keras import layers

import custom_lstm
from custom_lstm import LSTM, RNN, Bidirectional

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
BACKEND = keras.backend.backend()
_WRITER = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}[BACKEND]
pytest.importorskip(_WRITER)
pytest.importorskip("openvino")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters
LOOPS = ("LSTM", "GRU", "RNN", "Scan", "Loop")
QUICK = ["LSTM", "a user's own", "masked, last", "bidirectional"]
RUNNERS = {"onnx": onnx_runner, "xml": openvino_runner}
NAMES = list(MADE) if BACKEND == "tensorflow" else QUICK


@pytest.mark.parametrize("name", NAMES)
def test_onnx_of_any_batch_and_length(name, tmp_path):
    make, operators = MADE[name]
    model = model_of(make())
    made = custom_lstm.export(model, tmp_path / "model.onnx")
    assert made.difference < 1e-5
    assert made.inputs == {"input": (None, None, FEATURES)}
    run = onnx_runner(made.path)
    for batch, time in ((1, 1), (4, 6), (2, 70)):
        x = sequences(batch, time)
        found = run(input=x)["output"]
        np.testing.assert_allclose(found, answer(model, x), atol=1e-5)
    nodes = [node.op_type for node in onnx.load(made.path).graph.node]
    assert [n for n in nodes if n in LOOPS] == operators


@pytest.mark.parametrize("name", NAMES)
def test_openvino_of_any_batch_and_length(name, tmp_path):
    model = model_of(MADE[name][0]())
    made = custom_lstm.export(model, tmp_path / "model.xml")
    assert made.difference < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    run = openvino_runner(made.path)
    for batch, time in ((1, 1), (4, 6), (2, 70)):
        x = sequences(batch, time)
        found = run(input=x)["output"]
        np.testing.assert_allclose(found, answer(model, x), atol=1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_the_file_holds_no_array_that_nothing_uses(last, tmp_path):
    """ONNX Runtime warns of them."""
    made = [LSTM(4, **ALL), layers.Dropout(0.2), LSTM(4, return_sequences=not last)]
    path = tmp_path / "model.onnx"
    custom_lstm.export(model_of(made), path)
    graph = onnx.load(path).graph
    used = {name for node in graph.node for name in node.input}
    assert not {tensor.name for tensor in graph.initializer} - used


@pytest.mark.parametrize("name", ["LSTM", "masked"])
@pytest.mark.parametrize("suffix", RUNNERS)
def test_sizes_that_are_known(suffix, name, tmp_path):
    model = model_of(MADE[name][0](), batch=2, time=6)
    made = custom_lstm.export(model, tmp_path / f"model.{suffix}")
    x = sequences(2, 6)
    found = RUNNERS[suffix](made.path)(input=x)["output"]
    np.testing.assert_allclose(found, answer(model, x), atol=1e-5)


@pytest.mark.parametrize("name", ["stacked", "a user's own", "masked"])
@pytest.mark.parametrize("suffix", RUNNERS)
def test_one_step_has_its_states_in_and_out(suffix, name, tmp_path):
    model = model_of(MADE[name][0]())
    made = custom_lstm.export(model, tmp_path / f"step.{suffix}", step=True)
    states = list(made.initial_states)
    assert list(made.inputs) == ["input", *states]
    assert made.outputs == ("output", *(f"next_{state}" for state in states))
    if suffix == "onnx":
        ops = {node.op_type for node in onnx.load(made.path).graph.node}
        assert not ops & set(LOOPS)
    run, x = RUNNERS[suffix](made.path), sequences(3, 5)
    carried = {n: np.repeat(s, 3, axis=0) for n, s in made.initial_states.items()}
    outputs = []
    for t in range(5):
        found = run(input=x[:, t], **carried)
        outputs.append(found["output"])
        carried = {state: found[f"next_{state}"] for state in states}
    expected = answer(model, x)
    found = np.stack(outputs, 1) if expected.ndim == 3 else outputs[-1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_lone_layer_is_exported_by_its_inputs(tmp_path):
    layer = RNN(Own(4))
    layer.build((None, None, FEATURES))
    made = custom_lstm.export(
        layer,
        tmp_path / "step.onnx",
        step=True,
        inputs=keras.KerasTensor((1, None, FEATURES)),
    )
    assert made.inputs == {"input": (1, FEATURES), "h": (1, 4)}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("suffix", RUNNERS)
def test_stateful_layers_have_their_states_in_and_out(suffix, masked, tmp_path):
    first = [layers.Masking()] if masked else []
    model = model_of([*first, LSTM(4, stateful=True, **ALL)], batch=2)
    made = custom_lstm.export(model, tmp_path / f"model.{suffix}")
    assert made.outputs == ("output", "next_h", "next_c")
    run, x = RUNNERS[suffix](made.path), sequences(2, 8)
    begun = run(input=x[:, :5], **made.initial_states)
    carried = {name: begun[f"next_{name}"] for name in made.initial_states}
    second = run(input=x[:, 5:], **carried)
    for found, chunk in ((begun, x[:, :5]), (second, x[:, 5:])):
        np.testing.assert_allclose(found["output"], answer(model, chunk), atol=1e-5)


def refused(match, model, path, *more, error=ValueError, **options):
    with pytest.raises(error, match=match):
        custom_lstm.export(model, path, *more, **options)
    assert not list(path.parent.iterdir())


def test_a_model_without_single_steps_is_refused_and_nothing_written(tmp_path):
    back = model_of([Bidirectional(LSTM(4, **ALL))])
    refused("goes backwards", back, tmp_path / "a.onnx", step=True)
    wide = model_of([layers.Conv1D(4, 3, padding="same"), LSTM(4, **ALL)])
    refused("looks at several steps", wide, tmp_path / "a.onnx", step=True)
    plain = model_of([layers.Dense(4)])
    refused("no recurrent layer", plain, tmp_path / "a.onnx", step=True)


def test_unknown_formats_and_inputs_are_named(tmp_path):
    model = model_of([LSTM(4)])
    refused(r"'onnx' \(.onnx\)", model, tmp_path / "a.bin")
    refused("nothing tells", RNN(Own(4)), tmp_path / "a.onnx")
    other = "stablehlo" if BACKEND != "jax" else "litert"
    refused(f"the backend is {BACKEND}", model, tmp_path / "a", other)


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "onnxruntime" else found(name, *more),
    )
    refused(
        r"onnxruntime is not installed.*custom_lstm\[export\]",
        model_of([LSTM(4)]),
        tmp_path / "a.onnx",
        error=ModuleNotFoundError,
    )


def test_what_answers_otherwise_is_not_written(tmp_path):
    """A model that counts its calls answers otherwise each time."""

    class Counts(keras.layers.Layer):
        calls = 0

        def call(self, inputs):
            type(self).calls += 1
            return inputs + float(self.calls)

        def compute_output_shape(self, shape):
            return shape

    refused("differs from the model", model_of([Counts()]), tmp_path / "a.onnx")
