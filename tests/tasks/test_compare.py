"""Comparing runs: the table, the chart, and folders that are no finished runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from custom_lstm.cli import TASKS, main
from custom_lstm.tasks.compare.task import read_all
from custom_lstm.tasks.digits.options import Config
from custom_lstm.training.run_folder import RunFolder

TRAIN = Path(__file__).parents[2] / "train.py"
HISTORY = "epoch,loss,val_exact\n1,3.5,0.25\n2,1.5,\n3,0.75,0.875\n"
DIGITS = {"4": {"exact": 0.9375, "mae": 0.135, "digit_accuracy": 0.995}}
WALK = {"test": {"mse": 0.00896, "largest_error": 0.161}}
COUNTING = {
    "test": {"wrong": 7, "strings": 1038576, "largest_error": 0.5078},
    "longer": {"40": {"even": {"right": 0.875}}},
}


def _run(path, task, options, scores, history=HISTORY, seconds=(70.0, 21.4)):
    """Make a run folder as a finished run leaves it, but for its model."""
    path.mkdir(parents=True)
    content = {"task": task, "options": options}
    (path / "config.json").write_text(json.dumps(content))
    (path / "scores.json").write_text(json.dumps(scores))
    (path / "history.csv").write_text(history)
    times = {"training_seconds": list(seconds)}
    (path / "times.json").write_text(json.dumps(times))
    return path


def _digits(runs, name, **options):
    config = Config().resolve_defaults("digits").replace(epochs=3).to_json()
    return _run(runs / name, "digits", config | options, DIGITS)


@pytest.fixture
def compare(capsys, monkeypatch):
    """Run the command and return what it prints, in so many columns."""

    def run(*words, columns=80, code=0):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["compare", *map(str, words)]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return run


def _table(text):
    """Return the first table's cells, a row of dicts by the column's name."""
    head, *lines = text.split("\n\n")[1].splitlines()
    names, *cells = (re.split("  +", line.strip()) for line in [head, *lines])
    return [dict(zip(names, row, strict=True)) for row in cells]


def test_the_table_shows_options_that_differ_and_scores(tmp_path, compare):
    _digits(tmp_path, "a", seed=1, tensorboard=False)
    _digits(tmp_path, "b", seed=2, filters=[8, 8], resume="a")
    text = compare(tmp_path, columns=100)
    same = {"exact %": "93.75", "MAE": "0.135", "one digit %": "99.50"}
    same |= {"epochs": "3", "training time": "0:01:31"}
    assert _table(text) == [
        {"#": "1", "filters": "16 48 64 96", "seed": "1", **same},
        {"#": "2", "filters": "8 8", "seed": "2", **same},
    ]
    assert f"1  {tmp_path / 'a'}\n2  {tmp_path / 'b'}\n" in text


def test_options_of_an_older_run_go_by_todays_names(tmp_path, compare):
    _digits(tmp_path, "new", ensemble_size=2)
    path = _digits(tmp_path, "old") / "config.json"
    content = json.loads(path.read_text())
    del content["options"]["ensemble_size"], content["options"]["augment_decay"]
    content["options"]["members"] = 2
    path.write_text(json.dumps(content))
    assert "2 runs, all with the same options" in compare(tmp_path)


def test_each_task_has_its_table_and_its_chart(tmp_path, compare):
    _digits(tmp_path, "a")
    _run(tmp_path / "b", "walk-through", TASKS["walk-through"]().to_json(), WALK)
    _run(tmp_path / "c", "count-ones", TASKS["count-ones"]().to_json(), COUNTING)
    networks = {"models": ["lstm", "cnn"], "epochs": 3, "seed": 0}
    part = {"energy": 2.64, "kind": 99.9, "x": 1.08, "y": 1.0, "z": 0.404}
    scores = {"lstm": part, "cnn": part, "blind": part}
    run = _run(tmp_path / "d", "showers", networks, scores)
    for model in networks["models"]:
        (run / model).mkdir()
        (run / model / "history.csv").write_text("epoch,val_loss\n1,9\n2,4\n")
    text = compare(tmp_path, columns=100)
    for said in (
        "digits, one run",
        "7 of 1,038,576          0.508           87.5  3 of 20        0:01:31",
        "1   lstm            2.64   99.90       1.08       1.00       0.40  2 of 3",
        f"2  {tmp_path / 'd' / 'cnn'}",
        "0.0090          0.161",
    ):
        assert said in text
    for task in ("digits", "walk-through", "count-ones", "showers"):
        chart = tmp_path / f"compare-{task}.png"
        assert f"Learning curves: {chart}\n" in text
        assert np.ptp(np.asarray(Image.open(chart).convert("L"))) > 200


@pytest.mark.parametrize("columns", [60, 40])
def test_a_narrow_terminal_gets_the_columns_below_each_other(
    tmp_path, compare, columns
):
    for seed in (1, 2):
        _digits(tmp_path, f"run{seed}", seed=seed, head="value" if seed > 1 else "x")
    text = compare(tmp_path, columns=columns)
    lines = [line for line in text.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= columns
    assert text.count("\n#  ") > 1
    for column in ("head", "seed", "exact %", "MAE", "epochs", "training time"):
        assert f"  {column}" in text


def test_folders_that_are_no_finished_runs_are_listed(tmp_path, compare):
    good = _digits(tmp_path, "good")
    (tmp_path / "notes").mkdir()
    (_digits(tmp_path, "unfinished") / "scores.json").unlink()
    (_digits(tmp_path, "torn") / "config.json").write_text('{"task": ')
    (_digits(tmp_path, "short") / "history.csv").write_text("epoch,loss\n1,2\n2\n")
    (_digits(tmp_path, "words") / "history.csv").write_text("epoch,loss\n1,much\n")
    (_digits(tmp_path, "empty") / "history.csv").write_text("")
    (_digits(tmp_path, "bytes") / "history.csv").write_bytes(b"\xff\xfe\x00")
    (_digits(tmp_path, "gone") / "history.csv").unlink()
    (_digits(tmp_path, "odd") / "scores.json").write_text('{"4": []}')
    (_digits(tmp_path, "none") / "scores.json").write_text("{}")
    (_digits(tmp_path, "time") / "times.json").write_text('{"training_seconds": 3}')
    _run(tmp_path / "other", "juggling", {}, {})
    _run(tmp_path / "listed", "digits", [], {})
    text = compare(tmp_path)
    assert "digits, one run" in text
    assert f"1  {good}\n" in text
    refused = text.split("Not compared:\n")[1].splitlines()
    resume = "custom-lstm --resume"
    said = {
        "notes": "no config.json",
        "unfinished": f"resume it with `{resume} {tmp_path}/unfinished`",
        "torn": "cannot be read",
        "short": "no table of numbers",
        "words": "no table of numbers",
        "empty": "no table of numbers",
        "bytes": "no table of numbers",
        "gone": f"in its first epoch; resume it with `{resume} {tmp_path}/gone`",
        "odd": "does not hold scores of digits",
        "none": "does not hold scores of digits",
        "time": "holds no list of training_seconds",
        "other": "names no task known here: 'juggling'",
        "listed": "holds no options",
    }
    assert len(refused) == len(said)
    for name, reason in said.items():
        (line,) = (line for line in refused if f"{tmp_path / name}" in line)
        assert reason in line


def test_a_chart_leaves_out_runs_without_the_quantity(tmp_path, compare):
    _digits(tmp_path, "a")
    bare = _digits(tmp_path, "b")
    (bare / "history.csv").write_text("epoch,mae\n1,2\n")
    assert "Learning curves" in compare(tmp_path, "--quantity", "mae")
    said = compare(bare, "--quantity", "val_loss")
    assert "No chart: no run has a val_loss, only mae\n" in said
    said = compare(bare, "--quantity", "mea")
    assert "No chart: no run has a mea, only mae; did you mean mae?" in said


def test_an_impossible_history_is_said(tmp_path, compare):
    run = _digits(tmp_path, "a")
    (run / "history.csv").write_text("epoch,val_exact\n1,98\n")
    assert "must lie between 0 and 1" in compare(run, code=1)


def test_charts_go_where_they_are_asked_to(tmp_path, compare):
    run = _digits(tmp_path / "runs", "a")
    compare(run, run, tmp_path / "runs")
    assert (tmp_path / "runs" / "compare-digits.png").is_file()
    compare(run, "--charts", tmp_path)
    assert (tmp_path / "compare-digits.png").is_file()
    said = compare(run, "--charts", tmp_path / "nowhere", code=1)
    assert "cannot write" in said


def test_a_run_named_twice_is_compared_once(tmp_path):
    run = _digits(tmp_path, "a")
    entries, refused = read_all([run, tmp_path, run], TASKS)
    assert (len(entries), refused) == (1, [])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no folder"),
        (lambda path: path.mkdir(), "is no run and holds none"),
        (lambda path: (path / "notes").mkdir(parents=True), "holds none"),
        (lambda path: (_digits(path, "a") / "scores.json").unlink(), "no finished run"),
    ],
)
def test_nothing_to_compare_is_one_line(tmp_path, compare, make, said):
    make(tmp_path / "runs")
    error = compare(tmp_path / "runs", code=1)
    assert said in error
    assert error.count("\n") == 1


def test_values_cannot_write_to_the_terminal(tmp_path, compare):
    _digits(tmp_path, "a", data="\x1b[2J$\\frac$")
    _digits(tmp_path, "b", data="x" * 1000)
    text = compare(tmp_path)
    assert "\x1b" not in text
    assert "x" * 23 + "…" in text


def test_a_real_run_is_compared(tmp_path, compare, capsys):
    for seed in ("0", "1"):
        words = ["walk-through", "--steps", "4", "--units", "2", "--seed", seed]
        assert main([*words, "--runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"Try next:\n  custom-lstm compare --runs {tmp_path}\n")
    rows = _table(compare("--runs", tmp_path))
    assert [row["seed"] for row in rows] == ["0", "1"]
    runs = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    for row, path in zip(rows, runs, strict=True):
        scores = json.loads((path / "scores.json").read_text())
        assert float(row["MSE"]) == pytest.approx(scores["test"]["mse"], abs=1e-4)
        assert int(row["epochs"]) == len(RunFolder(path).read_history()["loss"])
        assert row["training time"].startswith("0:0")


def test_answers_without_keras(tmp_path):
    _digits(tmp_path, "a")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", TRAIN, "compare", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = {line.split()[-1] for line in done.stderr.splitlines()}
    assert not imported & {"keras", "tensorflow"}
