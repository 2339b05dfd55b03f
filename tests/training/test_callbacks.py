"""TensorBoard's floats; the progress bar and the time left."""

import re
import sys

import keras
import pytest

from custom_lstm.training.callbacks import Progress, TensorBoard, verbosity


def test_tensorboard_makes_no_tensor_of_a_float_at_a_step(tmp_path, monkeypatch):
    """TensorFlow would remember each for ever."""
    board, written = TensorBoard(tmp_path), []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    board.set_model(model)
    monkeypatch.setattr(
        board.summary, "scalar", lambda name, value, step: written.append((name, value))
    )
    board.on_train_begin()
    for step in range(3):
        board.on_train_batch_end(step, {"loss": 0.5})
    assert written == []
    board.on_epoch_end(4, {"loss": 0.25, "val_loss": 0.75})
    losses = [value for name, value in written if name == "epoch_loss"]
    assert losses == [0.25, 0.75]
    assert not any(isinstance(value, float) for value in losses)


@pytest.mark.parametrize(
    ("terminal", "columns", "environment", "expected"),
    [
        (True, 120, {}, 1),
        (True, 80, {}, 1),
        (True, 40, {}, 2),
        (True, 120, {"NO_COLOR": "1"}, 2),
        (True, 120, {"TERM": "dumb"}, 2),
        (False, 120, {}, 2),
    ],
)
def test_bars_move_only_where_they_can(
    monkeypatch, terminal, columns, environment, expected
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in {"COLUMNS": str(columns), **environment}.items():
        monkeypatch.setenv(name, value)
    assert verbosity() == expected


def _shown(progress, capsys, epochs, steps, logs):
    """Return what is printed of whole epochs."""
    progress.set_params({"steps": steps, "epochs": epochs})
    for epoch in range(epochs):
        progress.on_epoch_begin(epoch)
        for step in range(steps):
            progress.on_train_batch_end(step, logs)
        validation = {f"val_{name}": value for name, value in logs.items()}
        progress.on_epoch_end(epoch, logs | validation)
    return capsys.readouterr().out


LOGS = {"exact": 0.5, "loss": 12.25, "mae": 1.125}


@pytest.mark.parametrize("columns", [50, 80, 120])
@pytest.mark.parametrize("metrics", [1, 3, 9])
def test_the_bar_fits_the_terminal(capsys, monkeypatch, columns, metrics):
    """At 80 columns there was none."""
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["loss", "exact", "mae", *"abcdef"][:metrics]
    logs = dict.fromkeys(names, 1.2345)
    text = _shown(Progress(1, 250, verbose=1), capsys, 1, 250, logs)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = re.split(r"[\b\r\n]+", plain)
    assert max(map(len, lines)) <= columns
    bars = [line for line in lines if "━" in line]
    assert bars
    assert all(" - loss: 1.2345" in line for line in bars)
    for name in names:
        assert f" - {name}: 1.2345" in plain or f"{name}: 1.234" in plain
        assert re.search(f"val_{name}: 1.23", plain.split("250/250")[-1])


def test_the_time_left_of_the_whole_run_is_said(capsys, monkeypatch):
    clock = iter(range(0, 10**6, 30))  # half a minute from step to step
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = Progress(3, 10, verbose=2)
    text = _shown(progress, capsys, 3, 10, LOGS)
    heads = [line for line in text.splitlines() if line.startswith("Epoch")]
    assert heads[0] == "Epoch 1/3"
    assert re.fullmatch(r"Epoch 2/3, about \d+ (s|min) left", heads[1])
    assert re.fullmatch(r"Epoch 3/3, about \d+ (s|min) left", heads[2])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (119, "2 min"), (7000, "117 min"), (9000, "2 h 30")],
)
def test_the_time_left_is_rounded(monkeypatch, seconds, said):
    progress = Progress(2, 1, verbose=2)
    progress._began, progress._done = 0.0, 1
    monkeypatch.setattr("time.monotonic", lambda: seconds)
    assert progress._time_left(1).startswith(f", about {said}")


def test_without_a_terminal_an_epoch_is_one_line(capsys):
    text = _shown(Progress(2, 4, verbose=2), capsys, 2, 4, LOGS)
    assert not set(text) & set("\b\r\x1b")
    assert text.count("4/4 - ") == 2
    assert "val_loss: 12.2500" in text


def test_quiet_is_quiet(capsys):
    assert _shown(Progress(2, 4, verbose=0), capsys, 2, 4, LOGS) == ""
