"""Counting ones: a counter made by hand scores as it should; whole small runs."""

import json
import shlex
import shutil
import signal

import keras
import numpy as np
import pytest
from custom_lstm.command import main
from custom_lstm.training.history import read_history
from custom_lstm.training.runs import RunFolder

from custom_lstm.tasks.counting.model import build, head_of
from custom_lstm.tasks.counting.options import parse
from custom_lstm.tasks.counting.scoring import (
    Tally,
    answers_of,
    score_lengths,
    score_others,
)
from custom_lstm.tasks.counting.strings import (
    bits_of,
    random_batches,
    training_codes,
)
from custom_lstm.training.callbacks import Recorder

SMALL = shlex.split(
    "count-ones --length 8 --strings 60 --batch-size 10 --epochs 4 --units 6 "
    "--lengths 8 13"
)
FILES = {"config.json", "history.csv", "scores.json", "model.keras", "counts.png"}
FILES |= {"checkpoints", ".lock", "times.json", "curves.png"}


def hand_made(leak=0.0):
    """A model whose one unit adds 1/2 to c for every one: i = f = 1, g = x/2."""
    size = shlex.split("--length 10 --strings 50 --batch-size 50 --units 1")
    options = parse(size).of_cell("lstm")
    model = build(options, any_length=True)
    wide = 40.0
    kept = wide if not leak else np.log(1 / leak - 1)
    weights = {
        "kernel": [[0, 0, np.arctanh(0.5), 0]],
        "recurrent_kernel": [[0, 0, 0, 0]],
        "bias": [wide, kept, 0, wide],
    }
    *recurrent, head = model.weights
    for weight in recurrent:
        weight.assign(np.array(weights[weight.name], np.float32))
    head.assign([[2.0]])
    return options, model


def test_a_counter_made_by_hand_leaves_nothing_wrong():
    options, model = hand_made()
    codes = training_codes(10, 50, seed=0)
    scores = score_others(model, head_of(options), 10, codes, seed=0)
    assert scores["all"]
    assert scores["strings"] == 2**10 - 50
    assert scores["wrong"] == 0
    assert scores["largest_error"] < 1e-5
    expected = np.bincount(bits_of(np.delete(np.arange(1024), codes), 10).sum((1, 2))
                           .astype(int))  # fmt: skip
    assert scores["per_count"]["strings"] == expected.tolist()


def test_a_counter_that_forgets_is_wrong_where_arithmetic_says():
    """With f = 0.9, answer = Σ 0.9^(T−t) x_t."""
    options, model = hand_made(leak=0.1)
    scores = score_others(model, head_of(options), 10, np.array([0]), seed=0)
    bits = bits_of(np.arange(1, 1024), 10)[..., 0].astype(np.float64)
    error = bits @ 0.9 ** np.arange(9, -1, -1) - bits.sum(1)
    assert scores["wrong"] == (np.abs(error) > 0.5).sum()
    assert scores["largest_error"] == pytest.approx(np.abs(error).max(), abs=1e-4)


def test_answers_hold_at_any_length():
    options, model = hand_made()
    [bits] = random_batches(77, 300, seed=1, even_counts=True)
    answers = answers_of(model, head_of(options), bits)
    np.testing.assert_allclose(answers, bits.sum((1, 2)), atol=1e-4)


def test_a_model_reads_a_bounded_number_of_bits_at_a_time(monkeypatch):
    monkeypatch.setattr("custom_lstm.tasks.counting.scoring.READ_AT_ONCE", 500)
    options, model = hand_made()
    predict, sizes = model.predict_on_batch, []

    def counting(batch):
        sizes.append(batch.size)
        return predict(batch)

    monkeypatch.setattr(model, "predict_on_batch", counting)
    for length, expected in ((100, [500, 500, 200]), (501, [501] * 12)):
        [bits] = random_batches(length, 12, seed=1, even_counts=True)
        answers = answers_of(model, head_of(options), bits)
        np.testing.assert_allclose(answers, bits.sum((1, 2)), atol=1e-3)
        assert sizes == expected
        sizes.clear()


def test_of_very_long_strings_fewer_are_scored(monkeypatch):
    """So that time and memory stay bounded at any length."""
    monkeypatch.setattr("custom_lstm.tasks.counting.scoring.RANDOM", 50)
    monkeypatch.setattr("custom_lstm.tasks.counting.scoring.MOST_BITS", 6000)
    options, model = hand_made()
    scores = score_lengths(model, head_of(options), [60, 200], seed=0)
    for parts in (scores["60"], scores["200"]):
        assert parts["random"]["wrong"] == parts["even"]["wrong"] == 0
    strings = [parts["even"]["strings"] for parts in scores.values()]
    assert strings == [50, 30]


def test_a_tally_says_what_numpy_says():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 5, size=500)
    answers = counts + rng.normal(0, 0.4, size=500)
    tally = Tally(length=6)
    for part in (slice(0, 123), slice(123, 500)):
        tally.add(answers[part], counts[part])
    scores = tally.to_json()
    wrong = np.rint(answers) != counts
    error = answers - counts
    assert scores["wrong"] == wrong.sum()
    assert scores["right"] == pytest.approx(1 - wrong.mean())
    assert scores["largest_error"] == pytest.approx(np.abs(error).max())
    per_count = scores["per_count"]
    for count in range(7):
        chosen = counts == count
        assert per_count["strings"][count] == chosen.sum()
        assert per_count["wrong"][count] == wrong[chosen].sum()
        for name, function in (
            ("mean_error", np.mean),
            ("lowest_error", np.min),
            ("highest_error", np.max),
        ):
            value = per_count[name][count]
            if not chosen.any():
                assert value is None
            else:
                assert value == pytest.approx(function(error[chosen]))


@pytest.mark.parametrize("cell", ["peephole", "layer_norm", "projected", "zoneout"])
def test_the_head_reads_the_memory(cell):
    """The head's weights are as many as c is wide, and not h."""
    words = ["--cell", cell, "--units", "6"]
    memory = build(parse(words).of_cell(cell))
    output = build(parse([*words, "--read", "output"]).of_cell(cell))
    narrow = 3 if cell == "projected" else 6
    assert memory.get_layer("value").kernel.shape == (6, 1)
    assert output.get_layer("value").kernel.shape == (narrow, 1)


def test_the_guides_weights_are_drawn_as_it_says():
    options = parse(["--preset", "original"]).of_cell("lstm")
    keras.utils.set_random_seed(0)
    kernel, recurrent, bias, head, shift = build(options).get_weights()
    limit = np.sqrt(6 / (25 + 96))
    for drawn in (kernel, recurrent):
        assert 0.9 * limit < np.abs(drawn).max() <= limit
    np.testing.assert_array_equal(bias.reshape(4, 24).mean(1), [0, 1, 0, 0])
    assert 0.8 < head.std() < 1
    np.testing.assert_allclose(shift, 0.1)


def run(runs, *words):
    assert main([*SMALL, "--runs", str(runs), *words]) == 0
    return [RunFolder(path) for path in sorted(runs.iterdir())]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    (folder,) = run(tmp_path_factory.mktemp("finished"))
    return folder


def weights(folder):
    with np.load(folder.checkpoints()[0]) as arrays:
        return [arrays[name] for name in arrays.files if name.startswith("model/")]


def test_a_run_leaves_every_file(finished):
    assert {path.name for path in finished.path.iterdir()} == {
        *FILES,
        "checkpoints",
        ".lock",
    }
    config = json.loads(finished.config.read_text())
    assert config["task"] == "count-ones"
    assert config["options"]["forget_bias"] == 10
    assert len(finished.history.read_text().splitlines()) == 5
    scores = json.loads(finished.scores.read_text())
    assert scores["test"]["strings"] == 2**8 - 60
    assert list(scores["longer"]) == ["8", "13"]


def test_scores_are_those_of_the_saved_model(finished):
    model = keras.saving.load_model(finished.model)
    codes = np.delete(np.arange(256), training_codes(8, 60, seed=0))
    said = model.predict(bits_of(codes, 8), verbose=0)[:, 0]
    ones = np.array([f"{code:b}".count("1") for code in codes])
    scores = json.loads(finished.scores.read_text())["test"]
    assert scores["wrong"] == (np.rint(said) != ones).sum()
    worst = np.abs(said - ones).max()
    assert scores["largest_error"] == pytest.approx(worst, abs=1e-4)


def test_a_finished_run_counts_strings_of_any_length(finished, capsys):
    strings = ["10110010", "1", "0" * 33]
    words = ["count-ones", "--resume", str(finished.path), "--predict", *strings]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == strings
    assert all(line.split()[1].lstrip("-").isdigit() for line in lines)
    bits = np.array([[[float(b)] for b in strings[0]]])
    said = keras.saving.load_model(finished.model).predict(bits, verbose=0)
    assert int(lines[0].split()[1]) == np.rint(said[0, 0])
    assert float(lines[0].split()[2].strip("()")) == pytest.approx(said[0, 0], abs=1e-3)


def test_strings_can_be_counted_by_the_run_that_trains(tmp_path, capsys):
    string = "10011011101001101110"
    (folder,) = run(tmp_path, "--epochs", "1", "--predict", string)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if string in x[:20]]
    assert main(["count-ones", "--resume", str(folder.path), "--predict", string]) == 0
    assert capsys.readouterr().out.splitlines() == [line]


def test_an_unfinished_run_counts_nothing(tmp_path, finished, capsys):
    path = tmp_path / "run"
    shutil.copytree(finished.path, path)
    (path / "model.keras").unlink()
    assert main(["count-ones", "--resume", str(path), "--predict", "1"]) == 1
    error = capsys.readouterr().err
    assert "has no model yet; train it with `python train.py count-ones" in error
    assert error.count("\n") == 1


def test_a_finished_run_is_scored_at_other_lengths_without_training(finished):
    before = weights(finished)
    words = ["count-ones", "--resume", str(finished.path), "--lengths", "5"]
    assert main(words) == 0
    for ours, expected in zip(weights(finished), before, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert list(json.loads(finished.scores.read_text())["longer"]) == ["5"]


def test_ctrl_c_saves_scores_and_can_go_on(tmp_path, monkeypatch, finished):
    epoch_end = Recorder.on_epoch_end

    def pressed(self, epoch, logs=None):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        epoch_end(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_epoch_end", pressed)
        assert main([*SMALL, "--runs", str(tmp_path)]) == 130
    (path,) = tmp_path.iterdir()
    folder = RunFolder(path)
    assert folder.scores.is_file()
    assert len(folder.history.read_text().splitlines()) < 5
    assert main(["count-ones", "--resume", str(path)]) == 0
    for ours, expected in zip(weights(folder), weights(finished), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_cells_are_compared_in_one_table(tmp_path, capsys):
    folders = run(tmp_path, "--cells", "gru", "coupled", "--epochs", "1")
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0].startswith("wrong of 196 strings of length 8")
    assert [line.split()[0] for line in table[2:]] == ["gru", "coupled"]
    cells = [json.loads(f.config.read_text())["options"]["cell"] for f in folders]
    assert sorted(cells) == ["coupled", "gru"]
    for line, cell in zip(table[2:], ["gru", "coupled"], strict=True):
        folder = folders[cells.index(cell)]
        wrong = json.loads(folder.scores.read_text())["test"]["wrong"]
        assert line.split()[2] == str(wrong)


def test_the_original_recipe_runs(tmp_path):
    (folder,) = run(tmp_path, "--preset", "original", "--epochs", "1")
    model = keras.saving.load_model(folder.model)
    assert model.output_shape == (None, 9)
    assert read_history(folder)["learning_rate"] == pytest.approx([0.001])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--length", "5"], 2, "--strings 60 leaves none of the 32"),
        (["--cell", "lstn"], 2, "did you mean lstm?"),
    ],
)
def test_mistakes_leave_nothing_behind(tmp_path, capsys, words, code, said):
    assert main([*SMALL, "--runs", str(tmp_path / "runs"), *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_go_on_are_refused(finished, tmp_path, capsys):
    assert main(["count-ones", "--resume", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    assert main(["walk-through", "--resume", str(finished.path)]) == 2
    assert "a run of the task 'count-ones'" in capsys.readouterr().err
