"""Whole runs of `train.py showers`, small enough for a test."""

import csv
import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from custom_lstm.command import main
from custom_lstm.training.runs import RunFolder

from custom_lstm.errors import UsageError
from custom_lstm.options import flat, to_json
from custom_lstm.tasks.showers import records, scoring
from custom_lstm.tasks.showers.options import Options, from_json, parse
from custom_lstm.training.callbacks import Recorder

MODELS = ("simple", "cnn")
TRAIN = Path(__file__).parents[2] / "train.py"
SMALL = shlex.split(
    "showers --showers 128 --test-showers 100 --epochs 2 --batch-size 32 "
    "--hidden-sizes 4 --output-sizes 2 --features 3"
)
FILES = {
    ".lock",
    "config.json",
    "scores.json",
    "results.npz",
    "showers.png",
    "saliency.png",
    *MODELS,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def _run(runs, data, *words, code=0):
    words = [*SMALL, "--runs", str(runs), "--data-dir", str(data), *words]
    assert main(words) == code
    (folder,) = runs.iterdir()
    return RunFolder(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    runs = tmp_path_factory.mktemp("runs")
    return _run(runs, data, "--models", *MODELS)


def _weights(part):
    with np.load(part.checkpoints()[0]) as arrays:
        return [arrays[name] for name in arrays.files if name.startswith("model/")]


def _rows(part):
    with part.history.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_every_file(finished):
    assert {path.name for path in finished.path.iterdir()} == FILES
    for name in MODELS:
        part = finished.part(name)
        assert part.checkpoints()
        assert part.model.is_file()
        assert part.picture("curves").is_file()
        assert len(_rows(part)) == 2
    content = json.loads(finished.config.read_text())
    assert content["task"] == "showers"
    assert content["options"]["hidden_sizes"] == [4]


def test_scores_are_those_of_the_saved_models(finished, data):
    scores = json.loads(finished.scores.read_text())
    assert list(scores) == [*MODELS, "sum, kind known", "blind"]
    shards = records.shards_of("test", 100, 0, data)
    images, truths = zip(
        *scoring.evaluation_batches(shards).as_numpy_iterator(), strict=True
    )
    energy = np.concatenate([truth["energy"] for truth in truths])
    kind = np.concatenate([truth["kind"] for truth in truths])
    for name in MODELS:
        model = keras.saving.load_model(finished.part(name).model)
        said = model.predict(np.concatenate(images), verbose=0)
        error = 100 * np.abs(said["energy"] / energy - 1).mean()
        assert scores[name]["energy"] == pytest.approx(error, rel=1e-4)
        right = 100 * ((said["kind"] > 0.5) == kind).mean()
        assert scores[name]["kind"] == pytest.approx(right)


def test_results_hold_answers_and_saliency(finished):
    with np.load(finished.path / "results.npz") as results:
        arrays = dict(results)
    assert arrays["truth/energy"].shape == arrays["simple/energy"].shape == (100,)
    assert arrays["saliency_simple/x"].shape == (2, 40)
    said = {key: arrays[f"cnn/{key}"] for key in records.TARGETS}
    truth = {key: arrays[f"truth/{key}"] for key in records.TARGETS}
    scores = json.loads(finished.scores.read_text())
    assert scoring.score(said, truth) == pytest.approx(scores["cnn"])


def test_resume_scores_without_training_and_brings_lost_showers_back(
    tmp_path, finished, data, capsys
):
    shutil.copytree(data, tmp_path / "data")
    path = records.shards_of("test", 100, 0, tmp_path / "data")[0].path
    content = path.read_bytes()
    path.unlink()
    before = [_weights(finished.part(name)) for name in MODELS]
    scores = finished.scores.read_text()
    words = ["--resume", str(finished.path), "--data-dir", str(tmp_path / "data")]
    assert main(["showers", *words]) == 0
    after = [_weights(finished.part(name)) for name in MODELS]
    for old, new in zip(before, after, strict=True):
        for ours, theirs in zip(old, new, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert finished.scores.read_text() == scores
    assert path.read_bytes() == content
    said = capsys.readouterr().out
    assert "Making 100 showers in" in said
    assert "Epoch" not in said


def test_ctrl_c_saves_scores_and_can_go_on(
    tmp_path, data, finished, monkeypatch, capsys
):
    """Ctrl-C in the second epoch, after its second step of four."""
    batch_end = Recorder.on_train_batch_end

    def pressed(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 6:
            signal.raise_signal(signal.SIGINT)
        batch_end(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_end", pressed)
        cut = _run(tmp_path, data, "--models", "simple", code=130)
    assert f"train.py showers --resume {cut.path}" in capsys.readouterr().out
    assert "simple" in json.loads(cut.scores.read_text())
    assert len(_rows(cut.part("simple"))) == 1
    assert main(["showers", "--resume", str(cut.path)]) == 0
    assert len(_rows(cut.part("simple"))) == 2
    ours, theirs = (_weights(run.part("simple")) for run in (cut, finished))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def _one_line(capsys, *parts):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    for part in parts:
        assert part in error


def test_damaged_checkpoints_are_refused(tmp_path, finished, capsys):
    shutil.copytree(finished.path, tmp_path / "run")
    for path in RunFolder(tmp_path / "run").part("simple").checkpoints():
        path.write_bytes(path.read_bytes()[:500])
    assert main(["showers", "--resume", str(tmp_path / "run")]) == 1
    _one_line(capsys, "checkpoints are damaged")


def test_damaged_showers_are_refused_before_a_run_is_made(tmp_path, data, capsys):
    shutil.copytree(data, tmp_path / "data")
    path = records.shards_of("train", 128, 0, tmp_path / "data")[0].path
    path.write_bytes(path.read_bytes()[:1000])
    runs = tmp_path / "runs"
    words = [*SMALL, "--runs", str(runs), "--data-dir", str(tmp_path / "data")]
    assert main(words) == 1
    _one_line(capsys, str(path), "move it away")
    assert not runs.exists()


@pytest.mark.parametrize("option", ["--runs", "--data-dir"])
def test_unwritable_folders_are_one_line(tmp_path, data, capsys, option):
    (tmp_path / "file").write_text("")
    words = [*SMALL, "--data-dir", str(data), option, str(tmp_path / "file")]
    assert main(words) == 1
    _one_line(capsys, option)


def test_runs_of_other_tasks_are_refused(finished, tmp_path, capsys):
    assert main(["--resume", str(finished.path)]) == 2
    _one_line(capsys, "'showers', not 'digits'")
    content = json.loads(finished.config.read_text()) | {"task": "digits"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert main(["showers", "--resume", str(tmp_path)]) == 2
    _one_line(capsys, "'digits', not 'showers'")


def test_options_survive_json():
    words = (
        "--models gru peephole cnn --hidden-sizes 8 6 --output-sizes None 3 --no-mirror"
    )
    options = parse(words.split())
    assert from_json(json.loads(json.dumps(to_json(options)))) == options
    assert from_json(to_json(Options())) == Options()


def test_no_name_stands_in_two_groups():
    groups = [vars(group) for group in vars(Options()).values()]
    assert len(flat(Options())) == sum(map(len, groups))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--modles lstm", "did you mean --models?"),
        ("--models lsmt", "did you mean lstm?"),
        ("--models", "--models needs one name"),
        ("--models gru gru", "--models needs one name or several different ones"),
        ("--showers 99", "--showers must be 100 or more, not 99"),
        ("--batch-size 200 --showers 100", "--batch-size 200 is larger than"),
        ("--hidden-sizes 8 8", "--hidden-sizes and --output-sizes need a size for"),
        ("--output sequence", "--output"),
        ("--dropout 1", "--dropout must be 0 to 0.99, not 1.0"),
        ("--learning-rate nan", "--learning-rate must be"),
        ("--resume r --epochs 3", "--epochs cannot change on --resume"),
        ("stray", "unknown option stray"),
    ],
)
def test_mistakes_get_one_line_that_names_the_remedy(words, said):
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["--modles"], 2)])
def test_help_and_mistakes_answer_without_importing_keras(words, code):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", TRAIN, "showers", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    imported = {line.split()[-1] for line in done.stderr.splitlines() if "|" in line}
    assert not imported & {"keras", "tensorflow"}
