"""What benchmarks/repeat.py says of several seeds of a task."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks/repeat.py"


@pytest.fixture(scope="module")
def repeat():
    spec = importlib.util.spec_from_file_location("repeat", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(task, scores, training):
    times = {"seconds": 100.0, "cpu_seconds": 150.0}
    return {"seed": 0, "task": task, **times, "training": training, "scores": scores}


def rows(text):
    """Return what each name refers to."""
    return {line[:44].strip(): line[44:].strip() for line in text.splitlines()}


def of_showers(energy, kind):
    network = {"energy": energy, "energy_electromagnetic": energy - 1}
    network |= {"energy_hadronic": energy + 1, "kind": kind}
    network |= {f"{axis}_cm": 0.5 for axis in "xyz"} | dict.fromkeys("xyz", 1.0)
    sums = {"energy": 3.5, "x": 2.0, "x_cm": 1.0, "showers": 10}
    return {"lstm": network, "cnn": network, "sum, kind known": sums}


def test_showers_have_mean_and_spread_of_every_network(repeat):
    pairs = [(2.5, 99.0), (3.5, 98.0), (2.7, 99.5)]
    results = [
        result("showers", of_showers(*pair), {"cnn": 50.0, "lstm": 200.0 + k})
        for k, pair in enumerate(pairs)
    ]
    said = rows(repeat.report(results))
    energy, kind = np.transpose(pairs)
    for name in ("lstm", "cnn"):
        spread = f"{energy.mean():.2f} ± {energy.std(ddof=1):.2f} %"
        assert said[f"{name}: energy error"] == spread
        spread = f"{kind.mean():.2f} ± {kind.std(ddof=1):.2f} %"
        assert said[f"{name}: kind right"] == spread
        places = ", ".join(["0.50 ± 0.00"] * 3)
        assert said[f"{name}: errors of x, y, z"] == f"{places} cm"
    assert said["sum, kind known: energy error"] == "3.50 ± 0.00 %"
    assert "sum, kind known: kind right" not in said
    assert said["seconds of training, lstm"] == "201 ± 1"
    assert said["seconds, start to finish"] == "100 ± 0"


def test_the_walk_through_has_its_two_errors_and_one_training(repeat):
    results = [
        result("walk-through", {"test": {"mse": mse, "largest_error": 0.2}}, {".": 3})
        for mse in (0.01, 0.03)
    ]
    said = rows(repeat.report(results))
    assert said["test MSE"] == f"0.0200 ± {np.std([0.01, 0.03], ddof=1):.4f}"
    assert said["largest error"] == "0.200 ± 0.000"
    assert said["seconds of training"] == "3 ± 0"


def test_counting_names_what_each_seed_left_wrong(repeat):
    longer = {"40": {"random": {"right": 1.0}, "even": {"right": 0.995}}}
    results = [
        result(
            "count-ones",
            {
                "test": {"strings": 1_038_576, "wrong": wrong, "largest_error": 0.1},
                "longer": longer,
            },
            {".": 9},
        )
        for wrong in (0, 4)
    ]
    said = rows(repeat.report(results))
    assert said["wrong of 1,038,576, each"] == "0 4"
    assert said["right at 40, even"] == "99.50 ± 0.00 %"
