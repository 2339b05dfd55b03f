"""The sub-command `extrapolate`, with a reader of digits that is wrong where told."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from custom_lstm.cli import main
from custom_lstm.data import Digits, Pools
from custom_lstm.tasks.digits.model import build
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.extrapolate import task
from custom_lstm.training.run_folder import RunFolder

DIGITS, LONGEST, SEQUENCES = 200, 60, 25
LABELS = np.random.default_rng(0).integers(0, 10, DIGITS).astype("uint8")


class Reader:
    """Adds up brightnesses, and takes some for another; `drift` grows at every step."""

    def __init__(self, seven=7.0, drift=0.0, start=1):
        self.seven, self.drift, self.start = seven, drift, start

    def predict(self, images, batch_size, verbose):
        digits = images.max(axis=(2, 3, 4)).astype("float64")
        digits[digits == 7] = self.seven
        steps = np.arange(images.shape[1])
        return np.cumsum(self.start * (-1.0) ** steps * digits + self.drift, 1)[
            ..., None
        ]


def pools():
    images = np.ascontiguousarray(np.broadcast_to(LABELS[:, None, None], (200, 28, 28)))
    digits = Digits(images, LABELS)
    return Pools("digits", digits, digits, digits, "")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return what makes a finished run whose network is a reader."""
    readers = {}
    monkeypatch.setattr(task, "load_model", lambda path: readers[path.parent.name])
    monkeypatch.setattr(task.datasets, "load_pools", lambda name, data_dir: pools())

    def make(name, reader, **changes):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        readers[name] = reader
        config = Config().replace(**changes).resolve_defaults("digits")
        RunFolder(folder).write_config("digits", config.to_json(), data_used="digits")
        (folder / "model.keras").touch()
        return str(folder)

    return make


def curves(capsys, tmp_path, *words):
    given = ["--longest", str(LONGEST), "--sequences", str(SEQUENCES)]
    assert main(["extrapolate", *words, *given]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "runs" / "extrapolation.png").stat().st_size > 10_000
    numbers = json.loads((tmp_path / "runs" / "extrapolation.json").read_text())
    return said, numbers


@pytest.mark.parametrize("start", [1, -1])
def test_who_adds_without_a_mistake_is_right_as_often_as_it_reads(
    run, capsys, tmp_path, start
):
    """One of ten digits is always misread: nothing but p^t is left of it."""
    path = run("a", Reader(seven=1.0, start=start), start=start)
    said, numbers = curves(capsys, tmp_path, path)
    (name,) = numbers
    assert name == "LSTM with carousels"
    one = numbers[name]
    assert one["p"] == np.mean(LABELS != 7)
    powers = one["p"] ** np.arange(1, LONGEST + 1)
    np.testing.assert_allclose(one["exact"][:3], powers[:3], atol=0.25)
    assert len(one["exact"]) == len(one["mae"]) == LONGEST
    # two misread with unlike signs make up for each other
    assert 0.02 < one["exact"][-1] < 0.4
    assert one["mae"][-1] > one["mae"][0]
    assert all(value in said for value in ("LSTM with carousels", "extrapolation.png"))


def test_a_drift_that_one_digit_hides_shows_in_a_long_sequence(run, capsys, tmp_path):
    gru = {"recurrent": "gru", "head": "value"}
    paths = run("a", Reader(drift=0.02)), run("b", Reader(), **gru)
    said, numbers = curves(capsys, tmp_path, *paths)
    drifts, exact = numbers["LSTM with carousels"], numbers["GRU"]
    assert drifts["p"] == exact["p"] == 1
    assert drifts["exact"][:24] == [1.0] * 24  # below a half
    assert drifts["exact"][25:] == [0.0] * (LONGEST - 25)
    expected = 0.02 * np.arange(1, LONGEST + 1)
    np.testing.assert_allclose(drifts["mae"], expected, rtol=1e-4)  # of float32
    assert exact["exact"] == [1.0] * LONGEST
    assert exact["mae"] == [0.0] * LONGEST
    assert "100.00 (100.00)" in said


def test_two_runs_of_a_kind_have_numbers(run, capsys, tmp_path):
    paths = [run(name, Reader(), recurrent="cell", head="value") for name in "ab"]
    _, numbers = curves(capsys, tmp_path, *paths)
    assert [*numbers] == ["LSTM 1", "LSTM 2"]


def test_first_positions_are_those_of_more_sequences(run, capsys, tmp_path):
    """Of ten times as many, so that shares come in tenths of a sequence's share."""
    path = run("a", Reader(seven=1.0))
    words = ["--longest", "100", "--sequences", "2"]
    assert main(["extrapolate", path, *words]) == 0
    (one,) = json.loads((tmp_path / "runs" / "extrapolation.json").read_text()).values()
    first, rest = np.array(one["exact"][:10]) * 20, np.array(one["exact"][10:]) * 2
    assert np.allclose(first, first.round())
    assert np.allclose(rest, rest.round())
    assert not np.allclose(first / 10, (first / 10).round())
    assert first[0] / 20 == pytest.approx(one["p"], abs=0.2)


def test_the_same_seed_draws_the_same(run, capsys, tmp_path):
    path = run("a", Reader(seven=1.0))
    first, again, other = (
        curves(capsys, tmp_path, path, "--seed", seed)[1] for seed in "001"
    )
    assert first == again
    assert first != other


def test_a_network_of_the_package_is_scored(run, capsys, tmp_path):
    """Untrained, but the real one, with symbols."""
    small = {"symbols": 3, "units": 4, "features": 5, "filters": (4,)}
    config = Config().replace(**small).resolve_defaults("digits")
    keras.utils.set_random_seed(0)
    path = run("a", build(config, any_length=True), **small)
    _, numbers = curves(capsys, tmp_path, path)
    (one,) = numbers.values()
    assert 0 <= one["p"] <= 0.5
    assert ops.all(ops.isfinite(ops.convert_to_tensor(one["mae"])))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "extrapolate needs finished runs: extrapolate RUN [RUN ...]"),
        (["nowhere"], 1, "no run folder nowhere"),
        (["RUN", "--longest", "201"], 2, "--longest 201 is longer than the 200 test"),
        (["RUN", "--sequences", "0"], 2, "--sequences must be 1 or more, not 0"),
        (["UNFINISHED"], 1, "is not finished: it has no model.keras yet"),
        (["UNTOLD"], 1, "its config.json must say which digits the run used"),
        (["OTHER"], 2, "is a run of the task 'count-ones', not 'digits'"),
        (["RUN", "--longest", "9", "--picture", "nowhere/a.png"], 1, "cannot write"),
    ],
)
def test_mistakes_get_a_line(run, capsys, tmp_path, words, code, said):
    finished, unfinished, other, untold = (run(name, Reader()) for name in "abcd")
    (tmp_path / "runs" / "b" / "model.keras").unlink()
    (tmp_path / "runs" / "c" / "config.json").write_text(
        '{"task": "count-ones", "options": {}}'
    )
    config = tmp_path / "runs" / "d" / "config.json"
    kept = json.loads(config.read_text())
    del kept["data_used"]
    config.write_text(json.dumps(kept))
    folders = {"RUN": finished, "UNFINISHED": unfinished, "OTHER": other}
    folders["UNTOLD"] = untold
    assert main(["extrapolate", *(folders.get(word, word) for word in words)]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
