"""The networks of showers, how they are scored, options, and small runs."""

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

from custom_lstm import RecurrentBlock
from custom_lstm.cli import main
from custom_lstm.config import flat
from custom_lstm.errors import UsageError
from custom_lstm.tasks.showers import data as records
from custom_lstm.tasks.showers import evaluate
from custom_lstm.tasks.showers.networks import build_compiled, build_network
from custom_lstm.tasks.showers.options import (
    Model,
    Options,
)
from custom_lstm.training.callbacks import RunCallback
from custom_lstm.training.run_folder import RunFolder

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


TINY = Model(hidden_sizes=(4,), output_sizes=(2,), features=3)
NAMES = ("lstm", "gru", "simple", "peephole", "layer_norm", "coupled", "zoneout", "cnn")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    made = records.shards_of("test", 30, 1, tmp_path_factory.mktemp("showers"))
    records.ensure(made, report=lambda line: None)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_every_network_answers_in_physical_units(name, shards):
    model = build_network(name, TINY)
    said = evaluate.predict(model, shards)
    assert list(said) == ["energy", "x", "y", "z", "kind"]
    assert all(values.shape == (30,) for values in said.values())
    assert (said["energy"] > 0).all()
    assert ((said["kind"] > 0) & (said["kind"] < 1)).all()
    blocks = [part for part in model.layers if isinstance(part, RecurrentBlock)]
    assert len(blocks) == (name != "cnn")


def test_options_reach_the_block():
    options = Model(
        hidden_sizes=(5, 4),
        output_sizes=(3, 2),
        output="vector",
        l2=0.1,
        dropout=0.2,
        layer_norm=True,
    )
    config = build_network("gru", options).get_layer("gru").get_config()
    expected = {
        "hidden_sizes": [5, 4],
        "output_sizes": [3, 2],
        "cell": ["gru", "gru"],
        "output": "vector",
        "weight_decay": 0.1,
        "dropout": [0.2, 0.2],
        "layer_norm": [True, True],
    }
    assert {name: config[name] for name in expected} == expected


def test_the_last_feature_of_a_slice_is_the_logarithm_of_its_energy():
    encoder = build_network("lstm", TINY).get_layer("lstm").encode.layer
    counts = RNG.integers(0, 500, (3, 16, 16, 1)).astype("float32")
    energy = 0.01 * counts.astype("float64").sum((1, 2, 3))
    last = keras.ops.convert_to_numpy(encoder(counts))[:, -1]
    np.testing.assert_allclose(last, np.log1p(energy / 0.5), rtol=1e-5)


@pytest.mark.parametrize(("words", "decay"), [("", 0.05), ("--weight-decay 0.1", 0.1)])
def test_weight_decay_is_an_option_of_its_own(words, decay):
    options = Options.parse(words.split())
    assert options.to_json()["weight_decay"] == decay
    assert build_compiled("cnn", options, 5).optimizer.weight_decay == decay


def test_runs_from_before_weight_decay_was_an_option_load():
    content = Options().to_json()
    del content["weight_decay"]
    assert Options.from_json(content).optimisation.weight_decay == 0.05


def test_same_seed_same_weights():
    options = Options.from_json({**Options().to_json(), "features": 3})
    one, again = (build_compiled("lstm", options, 5).get_weights() for _ in range(2))
    for ours, theirs in zip(one, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_loss_is_what_its_documentation_says(shards):
    model = build_compiled("cnn", Options(), 5)
    images, truth = next(iter(records.evaluation_batches(shards)))
    said = {k: v.numpy().astype("float64") for k, v in model(images).items()}
    true = {k: v.numpy().astype("float64") for k, v in truth.items()}
    squares = [((np.log1p(said["energy"]) - np.log1p(true["energy"])) / 0.05) ** 2]
    squares += [((said[axis] - true[axis]) / 1.5) ** 2 for axis in "xyz"]
    right = np.where(true["kind"] == 1, said["kind"], 1 - said["kind"])
    expected = sum(square.mean() for square in squares) - np.log(right).mean()
    loss = model.evaluate(images, truth, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_truth_and_sums_are_those_of_the_files(shards):
    truth, sums = evaluate.truth_and_sums(shards)
    images, there = next(records.evaluation_batches(shards).as_numpy_iterator())
    np.testing.assert_array_equal(truth["energy"], there["energy"][:, 0])
    energy = 0.01 * images.astype("float64")
    np.testing.assert_allclose(sums["sum"], energy.sum((1, 2, 3)), rtol=1e-6)
    at = 3.0 * np.arange(16) - 22.5
    for axis, others in (("x", (2, 3)), ("y", (1, 3))):
        centre = (energy.sum(others) * at).sum(1) / energy.sum((1, 2, 3))
        np.testing.assert_allclose(sums[axis], centre, rtol=1e-4, atol=1e-4)


def test_energy_from_the_sum_is_exact_where_the_sum_says_it():
    kind = np.arange(200) % 2
    total = RNG.uniform(10, 400, 200)
    energy = np.where(kind == 0, total, 1.3 * total**0.9)
    truth = {"energy": energy, "kind": kind.astype(float)}
    sums = {"sum": total, "x": total, "y": total}
    said = evaluate.predict_from_sums(truth, sums, evaluate.calibrate(truth, sums))
    np.testing.assert_allclose(said["energy"], energy, rtol=1e-8)


def test_scores_are_mean_errors_in_per_cent():
    truth = {
        "energy": np.array([100.0, 200.0, 50.0]),
        "x": np.array([0.0, 1.0, 2.0]),
        "y": np.zeros(3),
        "z": np.array([0.0, 8.0, 16.0]),
        "kind": np.array([0.0, 0.0, 1.0]),
    }
    said = {
        "energy": [110.0, 196.0, 49.0],
        "x": [2.4, 1.0, 2.0],
        "y": np.full(3, -4.8),
        "z": np.zeros(3),
        "kind": [0.1, 0.7, 0.9],
    }
    expected = {
        "energy": (10 + 2 + 2) / 3,
        "energy_electromagnetic": 6.0,
        "energy_hadronic": 2.0,
        "x": 100 * 0.8 / 48,
        "x_cm": 0.8,
        "y": 10.0,
        "y_cm": 4.8,
        "z": 5.0,
        "z_cm": 8.0,
        "kind": 200 / 3,
        "showers": 3,
    }
    assert evaluate.score(said, truth) == pytest.approx(expected)


def test_someone_who_sees_nothing_says_the_median():
    training = {"energy": np.array([1.0, 2.0, 9.0]), "kind": np.array([0.0, 1.0, 1.0])}
    training |= dict.fromkeys("xyz", np.array([-1.0, 0.0, 5.0]))
    said = evaluate.predict_blindly(training, 2)
    assert {name: v.tolist() for name, v in said.items()} == {
        "energy": [2.0, 2.0],
        **dict.fromkeys("xyz", [0.0, 0.0]),
        "kind": [1.0, 1.0],
    }


def test_table_is_narrow_and_says_what_is_missing():
    scores = {"lstm": {"energy": 2.5, "kind": 99.5, "showers": 7}, "cnn": {"energy": 4}}
    text = evaluate.score_table(scores)
    assert max(map(len, text.splitlines())) <= 80
    row = text.splitlines()[-2].split()
    assert row == ["lstm", "2.50", "–", "–", "–", "–", "–", "99.50"]


def test_saliency_of_linear_answers_is_the_size_of_their_weights(shards):
    """∂a/∂I is a's weight, the same for every shower."""
    images = keras.Input(records.IMAGE_SHAPE)
    flat = keras.layers.Flatten()(images)
    heads = {n: keras.layers.Dense(1, name=n) for n in records.TARGETS}
    model = keras.Model(images, {n: head(flat) for n, head in heads.items()})
    found = evaluate.saliency(model, shards)
    for name, head in heads.items():
        weights = np.abs(keras.ops.convert_to_numpy(head.kernel))
        expected = weights.reshape(records.IMAGE_SHAPE).sum((0, 1))
        np.testing.assert_allclose(found[name], [expected, expected], rtol=1e-5)
    counts, truth = next(records.evaluation_batches(shards).as_numpy_iterator())
    for kind in (0, 1):
        mean = counts[truth["kind"][:, 0] == kind].sum((1, 2)).mean(0)
        np.testing.assert_allclose(found["deposit"][kind], mean, rtol=1e-5)


def test_steepness_is_that_of_finite_differences(shards):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = build_network("gru", TINY)
    finally:
        keras.config.set_dtype_policy(policy)
    rng = np.random.default_rng(3)  # off zero, where empty cells sit on ReLU's kink
    model.set_weights([rng.normal(0, 0.2, w.shape) for w in model.get_weights()])
    images, _ = next(records.evaluation_batches(shards).as_numpy_iterator())
    found = evaluate.gradient_sizes(model, keras.ops.convert_to_tensor(images[:1]))
    step = 1 / 4096
    for cell in ((0, 7, 8, 5), (0, 8, 7, 12)):
        less, more = images[:1].copy(), images[:1].copy()
        less[cell] -= step
        more[cell] += step
        for name in ("energy", "x", "kind"):
            low, high = (float(model(x)[name][0, 0]) for x in (less, more))
            exact = float(found[name][cell])
            assert exact == pytest.approx(abs(high - low) / (2 * step), rel=1e-3)


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
        *records.evaluation_batches(shards).as_numpy_iterator(), strict=True
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
    assert evaluate.score(said, truth) == pytest.approx(scores["cnn"])


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
    batch_end = RunCallback.on_train_batch_end

    def pressed(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 6:
            signal.raise_signal(signal.SIGINT)
        batch_end(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "on_train_batch_end", pressed)
        cut = _run(tmp_path, data, "--models", "simple", code=130)
    assert f"custom-lstm showers --resume {cut.path}" in capsys.readouterr().out
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


@pytest.mark.usefixtures("finished")  # which fills the data folder
def test_damaged_showers_are_refused_before_a_run_is_made(tmp_path, data, capsys):
    shutil.copytree(data, tmp_path / "data")
    path = records.shards_of("train", 128, 0, tmp_path / "data")[0].path
    path.write_bytes(path.read_bytes()[:1000])
    runs = tmp_path / "runs"
    words = [*SMALL, "--runs", str(runs), "--data-dir", str(tmp_path / "data")]
    assert main(words) == 1
    _one_line(capsys, str(path), "move it away")
    assert not runs.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("lsmt", "did you mean lstm?"), ("projected", "--models projected cannot be")],
)
def test_models_that_there_are_not_leave_nothing_behind(tmp_path, capsys, name, said):
    """A projected LSTM needs another width, for which there is no option."""
    runs, data = tmp_path / "runs", tmp_path / "data"
    words = [*SMALL, "--runs", str(runs), "--data-dir", str(data), "--models", name]
    assert main(words) == 2
    _one_line(capsys, said)
    assert not runs.exists()
    assert not data.exists()


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
    options = Options.parse(words.split())
    assert Options.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert Options.from_json(Options().to_json()) == Options()


def test_no_name_stands_in_two_groups():
    groups = [vars(group) for group in vars(Options()).values()]
    assert len(flat(Options())) == sum(map(len, groups))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--modles lstm", "did you mean --models?"),
        ("--models ../lstm", "--models"),
        ("--models", "--models needs at least one name"),
        ("--models gru gru", "--models needs at least one name, and none twice"),
        ("--showers 99", "--showers must be 100 or more, not 99"),
        ("--batch-size 200 --showers 100", "--batch-size 200 is larger than"),
        ("--hidden-sizes 8 8", "--hidden-sizes and --output-sizes need a size for"),
        ("--output sequence", "--output"),
        ("--dropout 1", "--dropout must be 0.99 or less, not 1.0"),
        ("--learning-rate nan", "--learning-rate cannot be nan"),
        ("--resume r --epochs 3", "--epochs cannot change on --resume"),
        ("--weight-decay 2", "--weight-decay must be 1 or less, not 2"),
        ("stray", "unexpected word stray"),
    ],
)
def test_mistakes_get_one_line_that_names_the_remedy(words, said):
    with pytest.raises(UsageError) as caught:
        Options.parse(words.split())
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
