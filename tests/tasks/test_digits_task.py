"""Whole runs on the embedded digits, small enough for a test."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from custom_lstm.cli import main
from custom_lstm.data import load_pools
from custom_lstm.loading import load_model
from custom_lstm.tasks.digits import evaluate
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.digits.task import Digits
from custom_lstm.training.run_folder import RunFolder

TRAIN = Path(__file__).parents[2] / "train.py"
SMALL = shlex.split(
    "--data digits --epochs 4 --batch-size 32 --units 12 --filters 4 4 --features 8 "
    "--no-tensorboard"
)
FILES = {
    "config.json",
    "history.csv",
    "times.json",
    "scores.json",
    "model.keras",
    "curves.png",
    "predictions.png",
    "gates.png",
    "checkpoints",
    ".lock",
}


def _run(runs, *words):
    assert main([*SMALL, "--runs", str(runs), *words]) == 0
    (folder,) = runs.iterdir()
    return RunFolder(folder)


def _weights(folder):
    with np.load(folder.checkpoints()[0]) as arrays:
        return [arrays[name] for name in arrays.files if name.startswith("model/")]


def _rows(folder):
    with folder.history.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a run trained by `fit` with the default core."""
    return _run(tmp_path_factory.mktemp("fit"), "--lengths", "4", "3", "7")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return a run of an LSTM cell and a softmax over totals."""
    words = ["--recurrent", "cell", "--lengths", "4", "7"]
    return _run(tmp_path_factory.mktemp("cell"), *words)


def test_a_run_leaves_every_file(finished):
    assert {path.name for path in finished.path.iterdir()} == FILES
    assert 1 <= len(finished.checkpoints()) <= 2
    assert finished.best.is_file()
    config = json.loads(finished.config.read_text())
    assert config["options"]["units"] == 12
    assert config["data_used"] == "digits"
    assert config["versions"]["tensorflow"]


def test_scores_have_the_names_that_scripts_rely_on(finished):
    scores = json.loads(finished.scores.read_text())
    assert list(scores) == ["4", "3", "7"]
    for length, part in scores.items():
        assert {
            "exact", "exact_per_position", "exact_sequence", "mae", "rmse",
            "digit_accuracy", "ceiling_per_position", "baselines",
        } <= set(part)  # fmt: skip
        assert len(part["exact_per_position"]) == int(length)
        assert part["steps"] == len(load_pools("digits").test)
        assert set(part["baselines"]) == {"mean", "median", "mode"}


def test_a_totals_head_says_where_it_ends(classifier):
    scores = json.loads(classifier.scores.read_text())
    assert scores["4"]["note"] is None
    assert "-18 to 18" in scores["7"]["note"]


def test_scores_are_those_of_the_saved_model(finished):
    """Recompute length 4 from model.keras with NumPy alone."""
    model = keras.saving.load_model(finished.model)
    test = load_pools("digits").test
    images = test.images.reshape(-1, 4, 28, 28, 1)
    totals = np.cumsum(test.labels.reshape(-1, 4).astype(int) * [1, -1, 1, -1], axis=1)
    said = model.predict(images, verbose=0)[..., 0]
    exact = (said == totals).mean(axis=0)
    scores = json.loads(finished.scores.read_text())["4"]
    np.testing.assert_allclose(scores["exact_per_position"], exact, atol=0.011)
    np.testing.assert_allclose(scores["mae"], np.abs(said - totals).mean(), atol=0.05)


@pytest.mark.parametrize(
    "model",
    [
        [],
        ["--symbols", "4"],
        ["--ensemble-size", "2"],
        ["--recurrent", "cell"],
        ["--recurrent", "layer", "--head", "value"],
    ],
    ids=" ".join,
)
def test_both_loops_reach_the_same_weights(tmp_path, model):
    """Same data, same history, same weights after an epoch, to 1e-5."""
    fit, custom = (
        _run(tmp_path / loop, "--loop", loop, "--epochs", "1", *model)
        for loop in ("fit", "custom")
    )
    for ours, theirs in zip(_weights(custom), _weights(fit), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    (ours,), (theirs,) = _rows(custom), _rows(fit)
    assert list(ours) == list(theirs)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_rest_of_an_epoch_has_the_same_warps():
    """The decay of the warps is measured by the whole run, not by that epoch's end."""
    words = ["--augment-decay", "0.5", "--batch-size", "100"]
    task = Digits(Config.parse([*SMALL, *words]))
    task.prepare()
    whole = task.training_data(0, 0, task.epochs)
    (expected, _), *_ = whole.skip(task.steps_per_epoch + 1)
    (images, _), *_ = task.training_data(1, 1, 2)
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("recurrent", ["layer", "keras"])
def test_recurrent_layers_are_interchangeable(tmp_path, classifier, recurrent):
    other = _run(tmp_path, "--recurrent", recurrent)
    expected = [w.shape for w in _weights(classifier)]
    assert [w.shape for w in _weights(other)] == expected
    first, again = _rows(other)[0], _rows(classifier)[0]
    assert first["loss"] == pytest.approx(again["loss"], rel=1e-3)


@pytest.fixture(scope="module")
def other_seed(tmp_path_factory):
    """Return a run like the finished one, from another seed."""
    return _run(tmp_path_factory.mktemp("seed"), "--seed", "1", "--tensorboard")


def test_another_seed_makes_another_run(finished, other_seed):
    """That the same makes the same, `test_ctrl_c_saves_scores_and_can_go_on` shows."""
    ours, others = _rows(finished)[0]["loss"], _rows(other_seed)[0]["loss"]
    assert ours != pytest.approx(others)


def test_tensorboard_logs_are_written(other_seed):
    events = list(other_seed.tensorboard.rglob("events.out.tfevents.*"))
    assert {event.parent.name for event in events} == {"train", "validation"}
    for event in events:
        logged = EventAccumulator(str(event.parent)).Reload().Tensors("epoch_loss")
        values = [float(tensor_util.make_ndarray(one.tensor_proto)) for one in logged]
        name = "loss" if event.parent.name == "train" else "val_loss"
        expected = [row[name] for row in _rows(other_seed)]
        assert values == pytest.approx(expected, rel=1e-6)


def test_patience_stops_early(tmp_path):
    words = ["--epochs", "9", "--patience", "1", "--learning-rate", "1e-9"]
    assert len(_rows(_run(tmp_path, *words))) < 9


def test_a_finished_run_is_scored_without_training(finished, capsys):
    before = _weights(finished), _rows(finished)
    assert main(["--resume", str(finished.path), "--lengths", "2", "5"]) == 0
    after = _weights(finished), _rows(finished)
    assert before[1] == after[1]
    for old, new in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(old, new)
    assert "length 2, 400 test digits" in capsys.readouterr().out


def test_a_finished_run_reads_image_files(finished, tmp_path, capsys):
    paths = []
    for k, image in enumerate(load_pools("digits").test.images[:3]):
        paths.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(255 - image).resize((90, 90)).save(paths[-1])
    assert main(["--resume", str(finished.path), "--images", *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"[+-] .*\d\.png  total -?\d", line) for line in lines)
    assert [line[0] for line in lines] == ["+", "-", "+"]


def test_a_run_goes_on_adding_at_any_length(tmp_path, capsys):
    """Trained for seconds, it misreads digits: at step 200 no more than at step 4."""
    larger = "--filters 8 16 32 --features 32 --units 32 --batch-size 16 --epochs 20"
    folder = _run(tmp_path, *shlex.split(larger))
    assert (folder.path / "gates.png").exists()
    assert main(["--resume", str(folder.path), "--lengths", "200"]) == 0
    assert "head covers" not in capsys.readouterr().out

    images, totals, _ = evaluate.test_arrays(load_pools("digits"), length=200, start=1)
    answers = load_model(folder.model).predict(images, verbose=0)[..., 0]
    right = np.diff(answers, prepend=0) == np.diff(totals, prepend=0)
    scores = json.loads(folder.scores.read_text())["200"]
    assert np.mean(right[:, 4:]) > 0.8 * scores["digit_accuracy"] > 0.3


def test_ctrl_c_saves_scores_and_can_go_on(tmp_path, finished):
    """Interrupt a real process after its first epoch; go on to the same end."""
    with subprocess.Popen(
        [sys.executable, TRAIN, *SMALL, "--runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        said = ""
        while "Epoch 2/4" not in said:
            character = process.stdout.read(1)
            assert character, said
            said += character
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    (path,) = tmp_path.iterdir()
    cut = RunFolder(path)
    assert "--resume" in said
    assert cut.scores.is_file()
    assert len(_rows(cut)) < 4
    assert main(["--resume", str(path)]) == 0
    assert _rows(cut)[-1]["loss"] == pytest.approx(_rows(finished)[-1]["loss"])
    for ours, theirs in zip(_weights(cut), _weights(finished), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--length", "2000"], 2, "--length 2000 is longer than the 1,197 training"),
        (["--length", "201"], 2, "--length 201 is longer than the 200 validation"),
        (["--batch-size", "1000"], 2, "--batch-size"),
        (
            ["--ensemble-size", "5"],
            2,
            "--batch-size 32 cannot be shared equally by 5 networks",
        ),
        (["--lengths", "401"], 2, "--lengths 401 is longer than the 400 test digits"),
    ],
)
def test_sizes_that_do_not_fit_are_usage_errors(tmp_path, capsys, words, code, said):
    assert main([*SMALL, "--runs", str(tmp_path / "runs"), *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_unwritable_runs_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([*SMALL, "--runs", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(tmp_path, finished, capsys):
    shutil.copytree(finished.path, tmp_path / "run")
    for path in RunFolder(tmp_path / "run").checkpoints():
        path.write_bytes(path.read_bytes()[:-1])
    assert main(["--resume", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "checkpoints are damaged: this run cannot be resumed" in error
    assert error.count("\n") == 1


def test_a_second_process_is_refused(finished, capsys):
    with finished.claimed():
        assert main(["--resume", str(finished.path)]) == 1
    assert "another process is using" in capsys.readouterr().err


def test_image_files_that_are_none_are_refused(finished, tmp_path, capsys):
    (tmp_path / "a.png").write_text("no image")
    words = ["--resume", str(finished.path), "--images", str(tmp_path / "a.png")]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "a.png" in error
    assert error.count("\n") == 1
