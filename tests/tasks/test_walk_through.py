"""The walk-through: the notebook's numbers, whole small runs."""

import json
import signal

import numpy as np
import pytest

from custom_lstm.cli import main
from custom_lstm.errors import UsageError
from custom_lstm.tasks.walk_through import task
from custom_lstm.tasks.walk_through.options import Options
from custom_lstm.training.callbacks import RunCallback
from custom_lstm.training.run_folder import RunFolder

FILES = {"config.json", "history.csv", "scores.json", "model.keras"}
FILES |= {"curves.png", "predictions.png", "checkpoints", ".lock", "times.json"}


def test_the_numbers_are_the_notebooks():
    x = [
        [[1, 2], [2, 2], [5, 2], [6, 2]],
        [[5, 2], [7, 2], [7, 2], [8, 2]],
        [[3, 2], [4, 2], [5, 2], [7, 2]],
    ]
    y = [[1, 3, 7, 11], [5, 12, 14, 15], [3, 7, 9, 12]]
    np.testing.assert_array_equal(task.inputs(task.TRAINING, 2), x)
    np.testing.assert_array_equal(task.inputs(task.TRAINING, 1)[..., 0].shape, (3, 4))
    np.testing.assert_array_equal(task.targets(task.TRAINING), y)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("features", [1, 2])
def test_outputs_are_projected_hidden_states(batch, features):
    """Also a batch of one keeps its axis."""
    options = Options.parse(["--features", str(features), "--scale", "4"])
    model = task.build(options)
    x = task.inputs(task.TRAINING, features)[:batch]
    recurrent = next(x for x in model.layers if "lstm" in x.name)
    h = np.asarray(recurrent(x / 4), np.float64)
    W_out, b_out = map(np.float64, model.get_layer("W_out").get_weights())
    said = model.predict_on_batch(x)
    assert said.shape == (batch, 4)
    np.testing.assert_allclose(said, 4 * (h @ W_out + b_out)[..., 0], atol=1e-5)


def test_scores_are_those_of_the_answers():
    model = task.build(Options())
    scores = task.score(model, 2)
    x = [[[v, 2] for v in row] for row in ([1, 2, 3, 4], [4, 5, 6, 7])]
    error = model.predict(np.float32(x), verbose=0) - [[1, 3, 5, 7], [4, 9, 11, 13]]
    assert scores["test"]["mse"] == pytest.approx(np.square(error).mean(), rel=1e-5)
    worst = np.abs(error).max()
    assert scores["test"]["largest_error"] == pytest.approx(worst, rel=1e-5)
    assert scores["chunk_difference"] < 1e-5


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert main(["walk-through", "--steps", "200", "--runs", str(runs)]) == 0
    (path,) = runs.iterdir()
    return RunFolder(path)


def test_a_run_leaves_every_file_and_learns(finished):
    assert {path.name for path in finished.path.iterdir()} == FILES
    scores = json.loads(finished.scores.read_text())
    assert scores["test"]["mse"] < 3  # 68 where nothing is said
    assert scores["chunk_difference"] < 1e-5
    assert len(finished.history.read_text().splitlines()) == 3


def test_a_finished_run_is_scored_again(finished, capsys):
    before = json.loads(finished.scores.read_text())
    assert main(["walk-through", "--resume", str(finished.path)]) == 0
    assert json.loads(finished.scores.read_text()) == before
    assert "test MSE" in capsys.readouterr().out


def test_a_cut_run_goes_on_to_the_same_weights(finished, tmp_path, monkeypatch):
    batch_end = RunCallback.on_train_batch_end

    def cut(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 50:
            signal.raise_signal(signal.SIGTERM)
        batch_end(self, batch, logs)

    words = ["walk-through", "--steps", "200", "--runs", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "on_train_batch_end", cut)
        assert main(words) == 143
    (path,) = tmp_path.iterdir()
    assert main(["walk-through", "--resume", str(path)]) == 0
    ours, theirs = (
        folder.checkpoints()[0].read_bytes() for folder in (RunFolder(path), finished)
    )
    assert ours == theirs


def test_options_survive_json():
    options = Options.parse(["--features", "1", "--steps", "7", "--scale", "3"])
    assert Options.from_json(json.loads(json.dumps(options.to_json()))) == options


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--features 3", "--features"),
        ("--steps 0", "--steps must be 1 or more, not 0"),
        ("--scale 0", "--scale must be 0.001 or more, not 0"),
        ("--unit 3", "did you mean --units?"),
        ("--resume r --steps 3", "--steps cannot change on --resume"),
    ],
)
def test_mistakes_get_one_line_that_names_the_remedy(words, said):
    with pytest.raises(UsageError) as caught:
        Options.parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
