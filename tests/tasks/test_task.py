"""A new task is its folder and one line: a toy one lives the life of a run."""

import json
import re
import shlex
import signal
import sys
import types
from typing import Literal

import keras
import numpy as np
import pytest
import tensorflow as tf

from custom_lstm import cli, config
from custom_lstm.config import Positive, options
from custom_lstm.data.sequences import prefetched
from custom_lstm.tasks.task import Task
from custom_lstm.training.options import CheckpointOptions, RunOptions
from custom_lstm.training.run_folder import RunFolder

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5, 3)).astype("float32")
Y = X.sum(-1, keepdims=True)


@options
class Model:
    """What is trained."""

    rate: float = 0.01
    """Learning rate."""
    parts: tuple[Literal["small", "large"], ...] = ()
    """Models to train one after another."""


@options
class Optimisation:
    """How."""

    epochs: Positive = 3
    """Passes."""


@options
class Run(RunOptions):
    """The run folder."""

    ask: float | None = None
    """With --resume: a number to answer."""


@options
class Options(config.Options):
    """All options."""

    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()
    checkpoints: CheckpointOptions = CheckpointOptions()

    task = "toy"
    entry = "toy_task:Toy.main"
    summary = "fit a line"
    description = "Fit a line."
    may_change = ("ask",)

    @staticmethod
    def headline(scores, options):
        return {name: {"error": f"{part['mse']:.3f}"} for name, part in scores.items()}


class Toy(Task[Options]):
    name = "line"
    steps_per_epoch = len(X)

    def __init__(self, options):
        super().__init__(options)
        self.parts = options.model.parts or ("",)

    def build(self, part):
        width = 4 if part == "large" else 1
        layers = [keras.Input((3,)), keras.layers.Dense(width), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(self.options.model.rate), loss="mse")
        return model

    def training_data(self, epoch, step, last_epoch):
        data = tf.data.Dataset.from_tensor_slices((X, Y))
        return prefetched(data.repeat(last_epoch - epoch).skip(step))

    def evaluate(self, models):
        return {
            part: {"mse": float(model.evaluate(X[0], Y[0], verbose=0))}
            for part, model in models.items()
        }

    def report(self, scores):
        return f"scores of {len(scores)}"

    def use(self, folder):
        if self.options.run.ask is None:
            return False
        model = keras.saving.load_model(folder.model)
        x = np.full((1, 3), self.options.run.ask)
        print(f"answer {float(model.predict(x, verbose=0)[0, 0]):.3f}")
        return True


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Return the command with the toy among its tasks: words to an exit code."""
    module = types.ModuleType("toy_task")
    module.Toy = Toy
    monkeypatch.setitem(sys.modules, "toy_task", module)
    tasks = {**cli.TASKS, "toy": Options}

    def run(words, task="toy "):
        return cli.main(shlex.split(f"{task}{words}"), tasks=tasks)

    return run


def _only(runs):
    (path,) = (path for path in runs.iterdir() if path.is_dir())
    return RunFolder(path)


def test_a_run_leaves_every_file_and_says_where(toy, tmp_path, capsys):
    assert toy(f"--runs {tmp_path}") == 0
    folder = _only(tmp_path)
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        "config.json", "history.csv", "times.json", "scores.json", "model.keras",
        "curves.png", "checkpoints", ".lock",
    }  # fmt: skip
    assert folder.path.name.endswith("-line")
    assert json.loads(folder.config.read_text())["task"] == "toy"
    said = capsys.readouterr().out
    assert "scores of 1" in said
    assert f"is in {folder.path}. Try next:\n  custom-lstm compare" in said


def test_several_models_have_folders_of_their_own(toy, tmp_path, capsys):
    assert toy(f"--parts small large --runs {tmp_path}") == 0
    folder = _only(tmp_path)
    assert list(json.loads(folder.scores.read_text())) == ["small", "large"]
    for part in ("small", "large"):
        assert folder.part(part).model.is_file()
        assert len(folder.part(part).read_history()["loss"]) == 3
    capsys.readouterr()
    assert toy(f"compare --runs {tmp_path}", task="") == 0
    assert f"2  {folder.path / 'large'}\n" in capsys.readouterr().out


@pytest.mark.parametrize("parts", ["", "--parts small large"])
def test_a_stopped_run_resumes_to_the_same_end(toy, tmp_path, monkeypatch, parts):
    assert toy(f"{parts} --runs {tmp_path / 'whole'}") == 0
    data = Toy.training_data
    stopped = []

    def interrupted(self, epoch, step, last_epoch):
        for number, batch in enumerate(data(self, epoch, step, last_epoch)):
            if number == 8 and not stopped:
                stopped.append(signal.raise_signal(signal.SIGTERM))
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "training_data", interrupted)
        assert toy(f"{parts} --runs {tmp_path / 'cut'}") == 143
    cut, whole = _only(tmp_path / "cut"), _only(tmp_path / "whole")
    assert not cut.scores.exists()
    assert toy(f"--resume {cut.path}") == 0
    assert cut.scores.read_bytes() == whole.scores.read_bytes()
    for path in whole.path.rglob("step-*.npz"):
        twin = cut.path / path.relative_to(whole.path)
        assert twin.read_bytes() == path.read_bytes()


def test_ctrl_c_saves_scores_and_says_so_before_it_scores(
    toy, tmp_path, monkeypatch, capsys
):
    class Interrupting(Toy):
        def evaluate(self, models):
            print("evaluating")
            return super().evaluate(models)

        def training_data(self, *where):
            signal.raise_signal(signal.SIGINT)
            return super().training_data(*where)

    sys.modules["toy_task"].Toy = Interrupting
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert toy(f"--runs {tmp_path}") == 130
    finally:
        signal.signal(signal.SIGINT, former)
    said = capsys.readouterr().out
    assert said.index("Stopped after step 1, which is saved") < said.index("evaluating")
    assert f"resume with\n  custom-lstm toy --resume {_only(tmp_path).path}" in said
    assert _only(tmp_path).scores.is_file()


def test_a_finished_run_can_be_used(toy, tmp_path, capsys):
    assert toy(f"--runs {tmp_path}") == 0
    capsys.readouterr()
    assert toy(f"--resume {_only(tmp_path).path} --ask 0") == 0
    assert re.fullmatch(r"answer -?\d\.\d{3}\n", capsys.readouterr().out)


def test_the_learning_rate_reaches_the_optimizer(tmp_path):
    task = Toy(Options.parse(["--rate", "0.125"]))
    assert float(task.build("").optimizer.learning_rate) == 0.125


def test_the_toy_is_listed_with_the_others(toy, capsys):
    assert toy("help", task="") == 0
    assert "custom-lstm toy " in capsys.readouterr().out
    assert toy("tov", task="") == 2
    assert "did you mean toy? (tasks are digits," in capsys.readouterr().err
