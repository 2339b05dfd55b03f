"""The table of what works in docs/how-to/export.md, row by row, on this backend."""

import importlib
from pathlib import Path

import keras
import pytest
from helpers.exported_models import ALL, MADE, Apart, model_of
from keras import layers

import custom_lstm
from custom_lstm import LSTM, RNN, SLSTMCell

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters
BACKENDS = ["tensorflow", "jax", "torch"]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "export.md"
BACKEND = keras.backend.backend()
WRITER = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}[BACKEND]
NEEDS = {
    "onnx": ["onnx", "onnxruntime", WRITER],
    "openvino": ["onnx", "openvino", WRITER],
    "litert": ["ai_edge_litert"],
}
OTHERS = {
    "strides": lambda: [layers.Conv1D(4, 3, strides=2, padding="same"), LSTM(4, **ALL)],
    "SLSTM": lambda: [RNN(SLSTMCell(4))],
    "output apart": lambda: [RNN(Apart(4))],
}
CASES = {  # beginnings of rows: models, format, options
    "ONNX: `LSTM`": (["LSTM", "bidirectional"], "onnx", {}),
    "ONNX: masked": (["masked", "a user's own", "other activation"], "onnx", {}),
    "ONNX: `SLSTM`": (["SLSTM"], "onnx", {}),
    "ONNX: after a": (["strides"], "onnx", {}),
    "ONNX: one step": (["output apart"], "onnx", {"step": True}),
    "OpenVINO: `LSTM`": (["LSTM"], "openvino", {}),
    "OpenVINO: masked": (["masked", "a user's own"], "openvino", {}),
    "OpenVINO: one step": (["a user's own"], "openvino", {"step": True}),
    "SavedModel": (["LSTM", "masked"], "saved-model", {}),
    "LiteRT": (["LSTM", "a user's own"], "litert", {}),
    "StableHLO": (["LSTM", "masked"], "stablehlo", {}),
    "torch.export": (["LSTM", "a user's own"], "torch-export", {}),
}


def rows():
    """Return the cells of the table by the beginnings of its rows."""
    lines = PAGE.read_text("utf-8").partition("## What works")[2].splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    found = {}
    for first, *said in cells[1:]:
        (key,) = (key for key in CASES if first.startswith(key))
        found[key] = dict(zip(BACKENDS, said, strict=True))
    return found


ROWS = rows()


def test_every_row_is_tried():
    assert list(ROWS) == list(CASES)


@pytest.mark.parametrize("key", CASES)
def test_a_row_says_what_happens(key, tmp_path):
    models, to, options = CASES[key]
    for name in NEEDS.get(to, ()):
        pytest.importorskip(name)
    said = ROWS[key][BACKEND]
    for number, name in enumerate(models):
        model = model_of(OTHERS[name]() if name in OTHERS else MADE[name][0]())
        path = tmp_path / f"{number}{'.xml' if to == 'openvino' else ''}"
        if said == "no":
            with pytest.raises(ValueError, match="export: "):
                custom_lstm.export(model, path, to, **options)
            assert not path.exists()
            continue
        assert custom_lstm.export(model, path, to, **options).difference < 1e-5
        if to == "onnx" and not options:
            assert _loops(path) <= {word.strip("`,") for word in said.split()}


def _loops(path):
    onnx = importlib.import_module("onnx")
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    return kinds & {"LSTM", "GRU", "RNN", "Scan", "Loop"}
