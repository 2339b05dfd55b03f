"""Counting ones: options, strings, scores of a counter made by hand, small runs."""

import contextlib
import io
import json
import shlex
import shutil
import signal

import keras
import numpy as np
import pytest

from custom_lstm import GRU, LSTM, RNN, AbstractRNNCell, SimpleRNN, cells
from custom_lstm.cli import main
from custom_lstm.errors import UsageError
from custom_lstm.tasks.count_ones.data import (
    bits_of,
    held_out_codes,
    random_batches,
    training_batches,
    training_codes,
)
from custom_lstm.tasks.count_ones.evaluate import (
    Tally,
    answers_of,
    score_held_out,
    score_lengths,
)
from custom_lstm.tasks.count_ones.model import (
    build,
    head_of,
    recurrent_layer,
)
from custom_lstm.tasks.count_ones.options import (
    ADDING,
    Options,
)
from custom_lstm.training.callbacks import RunCallback
from custom_lstm.training.run_folder import RunFolder

SMALL = shlex.split(
    "count-ones --length 8 --strings 60 --batch-size 10 --epochs 4 --units 6 "
    "--lengths 8 13"
)
STRING = "10011011101001101110"
BEFORE = """{
  "length": 20, "strings": 10000, "cell": "projected", "units": 24, "head": "value",
  "read": "memory", "forget_bias": 10.0, "sparsity": 0.01, "initial": "keras",
  "epochs": 20, "batch_size": 100, "learning_rate": 0.01, "schedule": "one-cycle",
  "shuffle": true, "preset": "default", "cells": [], "seed": 0, "runs": "runs",
  "name": null, "resume": null, "lengths": [], "predict": [], "save_minutes": 0.5,
  "save_steps": 0, "deterministic": false
}"""
"""Options in config.json as the first version of the task wrote them."""
FILES = {"config.json", "history.csv", "scores.json", "model.keras", "counts.png"}
FILES |= {"checkpoints", ".lock", "times.json", "curves.png"}


def test_no_words_give_the_defaults():
    assert Options.parse([]) == Options()


@pytest.mark.parametrize("preset", Options.presets)
def test_options_survive_json(preset):
    options = Options.parse(["--preset", preset, "--units", "7", "--lengths", "5", "9"])
    resolved = options.resolve_defaults("gru")
    assert Options.from_json(json.loads(json.dumps(resolved.to_json()))) == resolved


def test_longer_strings_are_scored_too():
    assert Options().lengths == (40, 100)
    assert Options.parse(["--length", "15", "--lengths", "7"]).lengths == (7,)


def test_the_guide_is_a_preset():
    options = Options.parse(["--preset", "original"])
    assert (options.data.length, options.data.strings) == (20, 10_000)
    assert (options.model.cell, options.model.units) == ("lstm", 24)
    assert (options.model.head, options.model.read) == ("totals", "output")
    assert options.optimisation.epochs == 5000
    assert options.optimisation.batch_size == 1000


@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru", "zoneout"])
def test_memories_that_add_hardly_forget(cell):
    model = Options().resolve_defaults(cell).model
    assert (model.forget_bias > 1, model.sparsity > 0) == 2 * (cell in ADDING,)
    given = Options.parse(["--forget-bias", "2", "--sparsity", "0"])
    model = given.resolve_defaults(cell).model
    assert (model.forget_bias, model.sparsity) == (2, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--length 0", "--length must be 1 or more, not 0"),
        ("--length 63", "--length must be 62 or less, not 63"),
        ("--length 10", "--strings 10000 leaves none of the 1,024 strings of --length"),
        ("--strings 0", "--strings must be 1 or more"),
        ("--batch-size 10001", "--batch-size 10001 is larger than --strings 10000"),
        ("--cell ../lstm", "--cell"),
        ("--cells gru gru", "--cells must not name a cell twice"),
        ("--sparsity -1", "--sparsity must be 0 or more, not -1"),
        ("--lengths 0", "--lengths must be 1 or more, not 0"),
        ("--preset orignal", "did you mean original?"),
        ("--predict 01 2", "--predict takes strings of 0 and 1, not 2"),
        ("--resume r --predict 012", "--predict takes strings of 0 and 1, not 012"),
        ("--resume r --epochs 3", "--epochs cannot change on --resume"),
        ("--epoch 3", "did you mean --epochs?"),
    ],
)
def test_mistakes_get_one_line_that_names_the_remedy(words, said):
    with pytest.raises(UsageError) as caught:
        Options.parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bits_are_those_of_the_number():
    codes = np.array([0, 5, 1000, 2**20 - 1])
    expected = [[int(b) for b in f"{code:020b}"] for code in codes]
    np.testing.assert_array_equal(bits_of(codes, 20)[..., 0], expected)


@pytest.mark.parametrize("at_once", [7, 2**15])
def test_every_held_out_string_comes_once(at_once):
    training = training_codes(10, 100, seed=3)
    others = list(held_out_codes(10, training, seed=3, batch_size=at_once))
    assert max(map(len, others)) <= at_once
    both = np.concatenate([training, *others])
    np.testing.assert_array_equal(np.sort(both), np.arange(2**10))


def test_of_too_many_strings_a_sample_comes():
    training = training_codes(40, 50, seed=0)
    others = np.concatenate(list(held_out_codes(40, training, seed=0, sample=1000)))
    assert 990 < len(others) <= 1000
    assert len(np.unique(others)) == len(others)
    assert not np.isin(others, training).any()
    assert others.max() < 2**40


def test_the_seed_alone_chooses_the_strings():
    first, again, other = (training_codes(20, 99, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == 99


@pytest.mark.parametrize("even", [True, False])
def test_random_strings_have_the_counts_asked_for(even):
    [bits] = random_batches(40, 20_000, seed=0, even_counts=even)
    assert set(np.unique(bits)) == {0, 1}
    counts = bits.sum(axis=(1, 2))
    if even:  # each of the 41 counts 488 times, within five standard deviations
        assert np.abs(np.bincount(counts.astype(int)) - 20_000 / 41).max() < 110
    else:  # binomial: mean 20, variance 10
        assert abs(counts.mean() - 20) < 0.15
        assert abs(counts.var() - 10) < 0.5
    np.testing.assert_allclose(bits.mean(axis=(0, 2)), 0.5, atol=0.03)


@pytest.mark.parametrize("even", [True, False])
def test_random_strings_come_in_batches_of_bounded_size(even):
    def batches_of(bits):
        draws = random_batches(100, 20, seed=0, even_counts=even, bits_in_a_batch=bits)
        return list(draws)

    batches = batches_of(700)
    assert [bits.shape for bits in batches] == [(7, 100, 1), (7, 100, 1), (6, 100, 1)]
    assert not np.array_equal(batches[0], batches[1])
    assert [len(bits) for bits in batches_of(99)] == [1] * 20


def test_batches_hold_counts_and_go_on_anywhere():
    codes = training_codes(12, 50, seed=0)
    options = {"batch_size": 8, "epochs": 3, "seed": 5, "shuffle": True}
    batches = training_batches(codes, 12, **options)
    whole = list(batches.as_numpy_iterator())
    assert len(whole) == 3 * 6
    for bits, counts in whole:
        np.testing.assert_array_equal(bits.sum(axis=1), counts)
    rest = training_batches(codes, 12, **options, first_epoch=1, first_step=2)
    for ours, expected in zip(rest.as_numpy_iterator(), whole[8:], strict=True):
        np.testing.assert_array_equal(ours[0], expected[0])
    epochs = [np.concatenate([bits for bits, _ in whole[k : k + 6]]) for k in (0, 6)]
    assert not np.array_equal(*epochs)


def test_without_shuffling_all_epochs_are_alike():
    codes = training_codes(8, 10, seed=0)
    options = {"batch_size": 5, "epochs": 2, "seed": 0, "shuffle": False}
    batches = training_batches(codes, 8, **options).as_numpy_iterator()
    first, second, *again = (bits for bits, _ in batches)
    np.testing.assert_array_equal([first, second], again)
    expected = bits_of(codes, 8)
    np.testing.assert_array_equal(np.concatenate([first, second]), expected)


def hand_made(leak=0.0):
    """Return a model whose one unit adds 1/2 to c for every one: i = f = 1, g = x/2."""
    size = shlex.split("--length 10 --strings 50 --batch-size 50 --units 1")
    options = Options.parse(size).resolve_defaults("lstm")
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
    scores = score_held_out(model, head_of(options), 10, codes, seed=0)
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
    scores = score_held_out(model, head_of(options), 10, np.array([0]), seed=0)
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
    options, model = hand_made()
    predict, sizes = model.predict_on_batch, []

    def counting(batch):
        sizes.append(batch.size)
        return predict(batch)

    monkeypatch.setattr(model, "predict_on_batch", counting)
    for length, expected in ((100, [500, 500, 200]), (501, [501] * 12)):
        [bits] = random_batches(length, 12, seed=1, even_counts=True)
        answers = answers_of(model, head_of(options), bits, bits_at_once=500)
        np.testing.assert_allclose(answers, bits.sum((1, 2)), atol=1e-3)
        assert sizes == expected
        sizes.clear()


def test_of_very_long_strings_fewer_are_scored():
    """So that time and memory stay bounded at any length."""
    options, model = hand_made()
    scores = score_lengths(
        model, head_of(options), [60, 200], seed=0, strings=50, most_bits=6000
    )
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
    memory = build(Options.parse(words).resolve_defaults(cell))
    output = build(Options.parse([*words, "--read", "output"]).resolve_defaults(cell))
    narrow = 3 if cell == "projected" else 6
    assert memory.get_layer("value").kernel.shape == (6, 1)
    assert output.get_layer("value").kernel.shape == (narrow, 1)


@pytest.mark.parametrize("read", ["memory", "output"])
def test_the_head_reads_the_carousels_alone(read):
    words = ["--cell", "carousel", "--units", "6", "--read", read]
    made = build(Options.parse(words).resolve_defaults("carousel"))
    assert made.get_layer("value").kernel.shape == (3, 1)


def test_the_guides_weights_are_drawn_as_it_says():
    options = Options.parse(["--preset", "original"]).resolve_defaults("lstm")
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
def finished_and_said(tmp_path_factory):
    """Return a finished run that also counted a string, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        (folder,) = run(tmp_path_factory.mktemp("finished"), "--predict", STRING)
    return folder, said.getvalue()


@pytest.fixture(scope="module")
def finished(finished_and_said):
    return finished_and_said[0]


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
    assert config["options"]["cell"] == "carousel"
    assert config["options"]["forget_bias"] == 1
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


def test_strings_can_be_counted_by_the_run_that_trains(finished_and_said, capsys):
    folder, said = finished_and_said
    (line,) = [x for x in said.splitlines() if x.startswith(STRING)]
    assert main(["count-ones", "--resume", str(folder.path), "--predict", STRING]) == 0
    assert capsys.readouterr().out.splitlines() == [line]


def test_an_unfinished_run_counts_nothing(tmp_path, finished, capsys):
    path = tmp_path / "run"
    shutil.copytree(finished.path, path)
    (path / "model.keras").unlink()
    assert main(["count-ones", "--resume", str(path), "--predict", "1"]) == 1
    error = capsys.readouterr().err
    assert "has no model yet; train it with `custom-lstm count-ones" in error
    assert error.count("\n") == 1


def test_a_finished_run_is_scored_at_other_lengths_without_training(finished):
    before = weights(finished)
    words = ["count-ones", "--resume", str(finished.path), "--lengths", "5"]
    assert main(words) == 0
    for ours, expected in zip(weights(finished), before, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert list(json.loads(finished.scores.read_text())["longer"]) == ["5"]


def test_ctrl_c_saves_scores_and_can_go_on(tmp_path, monkeypatch, finished):
    epoch_end = RunCallback.on_epoch_end

    def pressed(self, epoch, logs=None):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        epoch_end(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "on_epoch_end", pressed)
        assert main([*SMALL, "--runs", str(tmp_path)]) == 130
    (path,) = tmp_path.iterdir()
    folder = RunFolder(path)
    assert folder.scores.is_file()
    assert len(folder.history.read_text().splitlines()) < 5
    assert main(["count-ones", "--resume", str(path)]) == 0
    ours, expected = (run.checkpoints()[0].read_bytes() for run in (folder, finished))
    assert ours == expected


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
    assert folder.read_history()["learning_rate"] == pytest.approx([0.001])


@pytest.mark.parametrize(
    ("name", "layer", "cell"),
    [
        ("lstm", LSTM, cells.LSTMCell),
        ("gru", GRU, cells.GRUCell),
        ("simple", SimpleRNN, cells.SimpleRNNCell),
        ("peephole", RNN, cells.PeepholeLSTMCell),
        ("layer_norm", RNN, cells.LayerNormLSTMCell),
        ("projected", RNN, cells.ProjectedLSTMCell),
        ("coupled", RNN, cells.CoupledLSTMCell),
        ("zoneout", RNN, cells.ZoneoutLSTMCell),
        ("PeepholeLSTMCell", RNN, cells.PeepholeLSTMCell),
        ("custom_lstm>GRUCell", GRU, cells.GRUCell),
    ],
)
def test_every_cell_counts_by_its_name(name, layer, cell):
    made = recurrent_layer(Options().resolve_defaults(name).model)
    assert type(made) is layer
    assert type(made.cell) is cell


@keras.saving.register_keras_serializable("count_ones_tests")
class Sum(AbstractRNNCell):
    """h' = h + x, in every unit."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def call(self, inputs, states):
        return states[0] + inputs, [states[0] + inputs]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_cell_of_ones_own_counts_by_its_registered_name():
    options = Options().resolve_defaults("count_ones_tests>Sum")
    model = build(options, any_length=True)
    model.layers[-1].set_weights([np.full((24, 1), 1 / 24)])
    [bits] = random_batches(20, 50, seed=0, even_counts=True)
    answers = answers_of(model, head_of(options), bits)
    np.testing.assert_allclose(answers, bits.sum((1, 2)), rtol=1e-5)
    with pytest.raises(UsageError, match="--cell count_ones_tests>Sum cannot be built"):
        recurrent_layer(options.replace(sparsity=0.1).model)


def test_a_config_of_before_is_read():
    content = Options().resolve_defaults("projected").to_json()
    assert content == json.loads(BEFORE)
    assert Options.from_json(content).model.cell == "projected"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--length", "5"], 2, "--strings 60 leaves none of the 32"),
        (["--cell", "lstn"], 2, "did you mean lstm?"),
        (["--cells", "gru", "lstn"], 2, "did you mean lstm?"),
        (["--cell", "gru", "--forget-bias", "5"], 2, "--forget-bias 5 needs a kind of"),
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
