"""The sub-command `export`."""

import keras
import pytest

from custom_lstm.cli import main
from custom_lstm.tasks.digits.model import build
from custom_lstm.tasks.digits.options import Config

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run folder with a digits model, views included."""
    keras.utils.set_random_seed(0)
    config = Config().resolve_defaults("digits").replace(views=9, units=8)
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.json").write_text("{}")
    build(config, any_length=True).save(folder / "model.keras")
    return folder


def test_the_digits_model_and_one_step_of_it_are_exported(run, capsys):
    for words, name, count in (([], "model", 1), (["--step"], "step", 5)):
        assert main(["export", str(run), "--to", "onnx", *words]) == 0
        said = capsys.readouterr().out
        assert f"{name}.onnx: onnx, largest difference" in said
        session = onnxruntime.InferenceSession(run / f"{name}.onnx")
        assert len(session.get_inputs()) == count
        assert session.get_inputs()[0].type == "tensor(uint8)"


def test_what_is_missing_is_said_in_a_line(run, tmp_path, capsys):
    assert main(["export"]) == 2
    assert "the folder of a run" in capsys.readouterr().err
    assert main(["export", str(tmp_path)]) == 1
    (tmp_path / "config.json").write_text("{}")
    assert main(["export", str(tmp_path)]) == 1
    assert "no finished model" in capsys.readouterr().err
