"""Comparing cells: problems against their definitions, sizes, whole small runs."""

import io
import itertools
import json
import shlex
import signal

import keras
import numpy as np
import pytest
from keras import ops

from custom_lstm import AbstractRNNCell, cells
from custom_lstm.cli import main
from custom_lstm.data import load_pools
from custom_lstm.errors import UsageError
from custom_lstm.tasks.compare_cells import task
from custom_lstm.tasks.compare_cells.options import Optimisation, Options
from custom_lstm.tasks.compare_cells.problems import (
    PROBLEMS,
    TESTED,
    Adding,
    Copy,
    CountOnes,
    Measure,
    Pixels,
    Rows,
    Sums,
    blind_sum,
)
from custom_lstm.tasks.compare_cells.results import Reached, Result, Summary
from custom_lstm.tasks.compare_cells.training import (
    Trainer,
    largest_units,
    make_cell,
    network,
    parameters,
)

SMALL = shlex.split(
    "compare-cells --cells fast simple --problems count-ones sums --steps 3 "
    "--batch-size 4 --parameters 100"
)
FILES = {"config.json", "results.json", "scores.json", "table.txt", "cells.png"}


@keras.saving.register_keras_serializable(package="tests")
class BrokenCell(AbstractRNNCell):
    """Fails in its step."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = units

    def call(self, inputs, states, training=None):
        raise RuntimeError("out of order\nsecond line")


@keras.saving.register_keras_serializable(package="tests")
class InfiniteCell(AbstractRNNCell):
    """Gives what is not a number."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = units

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(self.state_size,), name="scale")

    def call(self, inputs, states, training=None):
        h = states[0] + inputs[:, :1] * self.scale
        return h + np.nan, [h]


@pytest.fixture(scope="module")
def pools():
    return load_pools("digits")


def test_the_sum_is_that_of_the_marked_numbers():
    sequences, sums = Adding().draw(np.random.default_rng(0), 200)
    assert sequences.shape == (200, 50, 2)
    for sequence, total in zip(sequences, sums[:, 0], strict=True):
        first, second = np.flatnonzero(sequence[:, 1])
        assert first < 25 <= second
        assert total == pytest.approx(sequence[first, 0] + sequence[second, 0])
    assert 0 <= sequences.min() < sequences.max() <= 1


def test_what_was_shown_is_asked_for_after_the_delay():
    sequences, said = Copy().draw(np.random.default_rng(0), 50)
    assert sequences.shape == (50, 36, 10)
    for sequence, answer in zip(sequences, said, strict=True):
        shown = [int(np.flatnonzero(step)[0]) for step in sequence]
        assert shown[8:] == [8] * 19 + [9] + [8] * 8
        assert max(shown[:8]) < 8
        assert answer.tolist() == [8] * 28 + shown[:8]


def test_every_number_of_ones_is_as_likely():
    bits, counts = CountOnes().draw(np.random.default_rng(0), 21_000)
    assert set(np.unique(bits)) == {0, 1}
    np.testing.assert_array_equal(bits.sum(axis=1), counts)
    assert np.abs(np.bincount(counts[:, 0].astype(int)) - 1000).max() < 160


@pytest.mark.parametrize("length", [None, 1, 7])
def test_sums_have_alternating_signs(length):
    digits, sums = Sums().draw(np.random.default_rng(0), 30, length)
    assert digits.shape == (30, length or 10, 10)
    for sequence, totals in zip(digits.argmax(axis=-1), sums[..., 0], strict=True):
        total = 0
        for step, (digit, found) in enumerate(zip(sequence, totals, strict=True)):
            total += -digit if step % 2 else digit
            assert total == found


def test_digits_are_read_by_rows_and_by_shrunken_pixels(pools):
    rows, labels = Rows(pools).draw(np.random.default_rng(0), 40)
    pixels, same = Pixels(pools).draw(np.random.default_rng(0), 40)
    np.testing.assert_array_equal(labels, same)
    images = pools.train.images / 255
    for image, small, label in zip(rows, pixels, labels, strict=True):
        (place,) = np.flatnonzero((np.abs(images - image) < 1e-6).all(axis=(1, 2)))
        assert pools.train.labels[place] == label
        means = [
            image[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean()
            for i, j in itertools.product(range(7), repeat=2)
        ]
        np.testing.assert_allclose(small[:, 0], means, atol=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
def test_blind_answers_score_what_is_said(name, pools):
    cls = PROBLEMS[name]
    problem = cls(pools) if issubclass(cls, Rows) else cls()
    sequences, targets = problem.draw(np.random.default_rng(1), 4)
    assert sequences.shape == (4, problem.length, problem.features)

    def blind(sequences):
        shape = sequences.shape[: 2 if problem.every_step else 1]
        outputs = np.zeros((*shape, problem.outputs), np.float32)
        if name == "adding":
            outputs += 1
        elif name in ("rows", "pixels"):
            known = pools.test.labels[:TESTED]
            outputs[..., np.bincount(known).argmax()] = 1
        return outputs

    for measure in problem.measures:
        found = problem.score(blind)[measure.name]
        if name in ("rows", "pixels"):
            assert found == measure.blind
        elif measure.percent:
            assert abs(found - measure.blind) < 2 * measure.chance
            assert measure.skill(measure.blind) == 0
        else:
            assert found == pytest.approx(measure.blind, rel=0.15)
    loss = problem.loss(
        ops.convert_to_tensor(targets), ops.convert_to_tensor(blind(sequences))
    )
    assert tuple(loss.shape) == ()


@pytest.mark.parametrize("name", ["adding", "count-ones", "sums", "copy"])
def test_right_answers_score_best(name):
    problem = PROBLEMS[name]()

    def answer(x):
        if name == "adding":
            return (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True)
        if name == "count-ones":
            return x.sum(axis=1) / 10
        if name == "copy":
            return np.roll(x, 28, axis=1)
        signs = (-1) ** np.arange(x.shape[1])
        return np.cumsum(x.argmax(axis=-1) * signs, axis=1)[..., None] / 10

    scores = problem.score(answer)
    assert [m.skill(scores[m.name]) for m in problem.measures] == pytest.approx(
        [1] * len(problem.measures)
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_blind_sum_is_counted(length):
    signs = (-1) ** np.arange(length)
    totals = [np.dot(d, signs) for d in itertools.product(range(10), repeat=length)]
    share = 100 * max(np.bincount(np.array(totals) + 20)) / len(totals)
    assert blind_sum(length) == pytest.approx(share)


@pytest.mark.parametrize("name", ["lstm", "projected", "cfc", "mlstm", "echo_state"])
def test_units_are_the_most_that_fit(name):
    cell, problem, budget = cells.get(name), Sums(), 700
    units = largest_units(cell, problem, budget)
    assert parameters(cell, units, problem) <= budget
    built = network(cell, units, problem)
    assert built.count_params() == parameters(cell, units, problem)
    states = make_cell(cell, units + 1).get_initial_state(batch_size=1)
    numbers = sum(np.size(state) for state in keras.tree.flatten(states))
    assert max(parameters(cell, units + 1, problem), numbers) > budget


def test_every_cell_fits_the_default_budget(pools):
    """None needs `constants` or images, and none more than one unit allows."""
    assert list(task.Comparison(Options().replace(data="digits")).cells) == list(
        cells.names()
    )


@pytest.mark.parametrize("name", ["gru", "zoneout"])
def test_a_seed_gives_the_same_however_often_it_is_trained(name):
    def trainer():
        how = Optimisation(steps=4, batch_size=8)
        return Trainer(cells.get(name), 5, CountOnes(), how)

    def told(result):
        return result["scores"], result["loss"]

    first, other = trainer(), trainer()
    expected = told(first.train(1))
    between = told(first.train(2))
    assert told(first.train(1)) == expected
    assert told(other.train(2)) == between != expected


def test_a_network_learns():
    trainer = Trainer(cells.GRUCell, 20, CountOnes(), Optimisation(steps=250))
    assert trainer.train(0)["scores"]["count-ones"] > 50


def _result(cell, seed, score):
    scores = None if score is None else {"count-ones": score}
    failure = "no" if score is None else None
    return Result(cell, "count-ones", seed, scores=scores, failure=failure)


def test_means_spreads_ranks_and_failures():
    reached = [("a", 0, 90.0), ("a", 1, 94.0), ("b", 0, 99.0), ("b", 1, None)]
    reached += [("c", 0, 4.0), ("c", 1, 5.0), ("d", 0, 6.0), ("d", 1, 2.0)]
    results = {
        r.key: r for r in itertools.starmap(_result, [*reached, ("e", 0, 100.0)])
    }
    summary = Summary(results, "edcba", [CountOnes()], (0, 1))
    assert summary.cells == ["a", "b", "d", "c", "e"]
    assert summary.ranks[:4] == [1, 2, 3.5, 3.5]  # both blind
    assert np.isnan(summary.ranks[4])  # a seed is missing
    texts = [str(row[0]) for row in summary.reached]
    assert texts[:2] == ["92.0 ± 2.8", "99.0 (1 ✗)"]
    assert summary.failures == ["b on count-ones, seed 1: no"]
    assert "b on count-ones, seed 1: no" in summary.text()
    content = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert content["cells"]["b"]["scores"]["count-ones"]["failed"] == 1
    assert content["cells"]["e"]["rank"] is None
    assert str(Reached(Measure("x", 1.0), (), failed=2)) == "✗"


def _folder(runs):
    (path,) = runs.iterdir()
    return path


def _without_seconds(path):
    listed = json.loads((path / "results.json").read_text("utf-8"))["results"]
    return [{**result, "seconds": None} for result in listed]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert main([*SMALL, "--runs", str(runs)]) == 0
    return _folder(runs)


def test_a_run_leaves_every_file(finished, capsys):
    assert {path.name for path in finished.iterdir()} == {*FILES, ".lock"}
    results = _without_seconds(finished)
    assert len({(r["cell"], r["problem"], r["seed"]) for r in results}) == 8
    assert all(r["parameters"] <= 100 and r["failure"] is None for r in results)
    scores = json.loads((finished / "scores.json").read_text("utf-8"))
    assert set(scores["cells"]) == {"fast", "simple"}
    assert set(scores["measures"]) == {
        "count-ones",
        "sums, 10 steps",
        "sums, 100 steps",
    }
    table = (finished / "table.txt").read_text("utf-8")
    assert table.splitlines()[1].startswith("blind answer")


def test_a_finished_run_is_shown_again_and_not_trained(finished, capsys, monkeypatch):
    monkeypatch.setattr(task, "Trainer", None)
    before = (finished / "results.json").read_bytes()
    assert main(["compare-cells", "--resume", str(finished)]) == 0
    assert (finished / "results.json").read_bytes() == before
    assert "blind answer" in capsys.readouterr().out
    assert main(["compare", str(finished)]) == 1
    assert "table.txt" in capsys.readouterr().out


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_bar_for_the_whole(finished, monkeypatch, capsys):
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    (finished / "results.json").rename(finished / "kept.json")
    try:
        listed = json.loads((finished / "kept.json").read_text("utf-8"))["results"]
        content = json.dumps({"results": listed[:-1]})
        (finished / "results.json").write_text(content, "utf-8")
        assert main(["compare-cells", "--resume", str(finished)]) == 0
    finally:
        (finished / "kept.json").replace(finished / "results.json")
    shown = terminal.getvalue().split("\r")
    assert any("21/24" in line for line in shown)
    assert "24/24" in shown[-1]
    assert max(map(len, shown)) <= 60
    assert "simple on sums" not in capsys.readouterr().out


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_run_goes_on_with_what_is_missing(
    tmp_path, finished, capsys, monkeypatch, number, code
):
    trained = task.trained
    count = itertools.count()

    def stopping(key, make, after_step):
        def stop():
            after_step()
            if next(count) == 7:  # in the third training
                signal.raise_signal(getattr(signal, number))

        return trained(key, make, stop)

    monkeypatch.setattr(task, "trained", stopping)
    assert main([*SMALL, "--runs", str(tmp_path)]) == code
    folder = _folder(tmp_path)
    shown = capsys.readouterr()
    assert "6 trainings are left; go on with\n" in shown.out + shown.err
    assert len(_without_seconds(folder)) == 2
    done = []
    monkeypatch.setattr(
        task, "trained", lambda key, *more: done.append(key) or trained(key, *more)
    )
    assert main(["compare-cells", "--resume", str(folder)]) == 0
    assert len(done) == 6
    assert _without_seconds(folder) == _without_seconds(finished)


def test_cells_that_fail_are_recorded_and_the_others_go_on(tmp_path, capsys):
    words = [*SMALL, "--runs", str(tmp_path), "--seeds", "3"]
    names = ["tests>BrokenCell", "tests>InfiniteCell", "simple"]
    words[words.index("fast") : words.index("--problems")] = names
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "BrokenCell on sums, seed 3: RuntimeError: " in shown
    assert "out of order" in shown
    assert "InfiniteCell on sums, seed 3: the loss of step 1 is nan" in shown
    failures = [r["failure"] for r in _without_seconds(_folder(tmp_path))]
    assert [failure is None for failure in failures] == [False] * 4 + [True] * 2
    assert (_folder(tmp_path) / "cells.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--cells gruu", "did you mean gru?"),
        ("--cells gru gru", "--cells must not name one of them twice"),
        ("--seeds 1 1", "--seeds must not name one of them twice"),
        ("--seeds -1", "--seeds must be 0 or more, not -1"),
        ("--steps 0", "--steps must be 1 or more, not 0"),
        (
            "--cells lstm --parameters 12 --problems sums",
            "--parameters 12 is too few for LSTMCell on sums: with one unit it has 50",
        ),
        ("--resume runs --steps 3", "--steps cannot change on --resume"),
    ],
)
def test_mistakes_get_one_line(capsys, tmp_path, words, said):
    runs = tmp_path / "runs"
    assert main(["compare-cells", *words.split(), "--runs", str(runs)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not runs.exists()


def test_another_backend_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert main([*SMALL, "--runs", str(tmp_path / "runs")]) == 1
    assert "needs the TensorFlow backend, not jax" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"results": 3}', '{"results": [{"cell": "gru"}]}']
)
def test_damaged_results_are_one_line(finished, tmp_path, capsys, content):
    (tmp_path / "config.json").write_bytes((finished / "config.json").read_bytes())
    (tmp_path / "results.json").write_text(content)
    assert main(["compare-cells", "--resume", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "results.json" in error
    assert error.count("\n") == 1


def test_options_survive_json():
    options = Options.parse(["--cells", "gru", "lstm", "--seeds", "4", "5"])
    assert Options.from_json(json.loads(json.dumps(options.to_json()))) == options
    with pytest.raises(UsageError, match="not ading; did you mean adding?"):
        Options().replace(problems=("ading",))
    with pytest.raises(UsageError, match="--problems needs at least one value"):
        Options().replace(problems=())
