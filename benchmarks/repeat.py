"""Repeat a job with several seeds and print mean ± sd of what it reached.

    python benchmarks/repeat.py --seeds 0 1 2 3 4 -- --data mnist
    python benchmarks/repeat.py --seeds 0 1 2 -- --data mnist --preset best
    python benchmarks/repeat.py --seeds 0 -- --data mnist --length 10
    python benchmarks/repeat.py --seeds 0 1 2 3 4 -- count-ones
    python benchmarks/repeat.py --seeds 0 1 2 3 4 -- walk-through
    python benchmarks/repeat.py --seeds 0 1 2 -- showers

Everything behind `--` goes to train.py. Times are of the training (of showers: of each
network) and of the whole command, from its start to the score table and pictures; run
nothing else beside it. With `--json FILE` the figures of every seed are kept.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRAIN = Path(__file__).parents[1] / "train.py"


def once(words: list[str], seed: int, runs: Path) -> dict:
    """Run train.py and return its task, its scores, and its times."""
    started, used = time.perf_counter(), cpu_seconds()
    subprocess.run(
        [sys.executable, TRAIN, *words, "--seed", str(seed), "--runs", runs],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    times = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": cpu_seconds() - used,
    }
    (folder,) = runs.iterdir()
    task = json.loads((folder / "config.json").read_text())["task"]
    scores = json.loads((folder / "scores.json").read_text())
    training = {
        str(path.parent.relative_to(folder)): sum(
            json.loads(path.read_text())["training_seconds"]
        )
        for path in sorted(folder.rglob("times.json"))
    }
    return {"seed": seed, "task": task, **times, "training": training, "scores": scores}


def cpu_seconds() -> float:
    """Return the processor time, user and system, of all commands run so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def spread(values: list[float], digits: int) -> str:
    """Return mean ± sample standard deviation."""
    sd = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {sd:.{digits}f}"


def digits(scores: list[dict]) -> dict[str, str]:
    """Return what the main job reached at its training length, by name."""
    first = [next(iter(score.values())) for score in scores]
    exact = [100 * score["exact"] for score in first]
    beyond = [
        100 * np.subtract(score["ceiling_per_position"], score["exact_per_position"])
        for score in first
    ]
    singles = [100 * score["digit_accuracy"] for score in first]
    return {
        "exact match, mean over positions": f"{spread(exact, 2)} %  (each: "
        f"{' '.join(f'{e:.2f}' for e in exact)})",
        "MAE": spread([score["mae"] for score in first], 4),
        "single digits": f"{spread(singles, 2)} %",
        "points under p^t, each position": " ".join(
            f"{loss:.2f}" for loss in np.mean(beyond, axis=0)
        ),
    }


def count_ones(scores: list[dict]) -> dict[str, str]:
    """Return how many strings were counted wrong, by name."""
    tests = [score["test"] for score in scores]
    rows = {
        f"wrong of {tests[0]['strings']:,}, each": " ".join(
            str(test["wrong"]) for test in tests
        ),
        "largest error": spread([test["largest_error"] for test in tests], 4),
    }
    for length in scores[0]["longer"]:
        for drawn in ("random", "even"):
            right = [100 * score["longer"][length][drawn]["right"] for score in scores]
            rows[f"right at {length}, {drawn}"] = f"{spread(right, 2)} %"
    return rows


def walk_through(scores: list[dict]) -> dict[str, str]:
    """Return how far off the test sequences were, by name."""
    tests = [score["test"] for score in scores]
    return {
        "test MSE": spread([test["mse"] for test in tests], 4),
        "largest error": spread([test["largest_error"] for test in tests], 3),
    }


def showers(scores: list[dict]) -> dict[str, str]:
    """Return the errors of each network, and of plain sums, by name."""
    names = {
        "energy": "energy error",
        "energy_electromagnetic": "the same, electromagnetic",
        "energy_hadronic": "the same, hadronic",
        "kind": "kind right",
    }
    rows = {}
    for who in scores[0]:
        for key in [key for key in names if key in scores[0][who]]:
            values = [score[who][key] for score in scores]
            rows[f"{who}: {names[key]}"] = f"{spread(values, 2)} %"
        axes = [axis for axis in "xyz" if axis in scores[0][who]]
        means = [spread([score[who][f"{a}_cm"] for score in scores], 2) for a in axes]
        rows[f"{who}: errors of {', '.join(axes)}"] = f"{', '.join(means)} cm"
    return rows


REACHED = {
    "digits": digits,
    "count-ones": count_ones,
    "walk-through": walk_through,
    "showers": showers,
}


def report(results: list[dict]) -> str:
    """Return the figures of all seeds as text."""
    rows = {
        "seeds": str([result["seed"] for result in results]),
        **REACHED[results[0]["task"]]([result["scores"] for result in results]),
        **{
            "seconds of training" + (f", {part}" if part != "." else ""): spread(
                [r["training"][part] for r in results], 0
            )
            for part in results[0]["training"]
        },
        "seconds, start to finish": spread([r["seconds"] for r in results], 0),
        "processor seconds": spread([r["cpu_seconds"] for r in results], 0),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}",
    }
    return "\n".join(f"{name:<44}{value}" for name, value in rows.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="task and options of train.py")
    options = parser.parse_args()
    results = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as runs:
            results.append(once(options.words, seed, Path(runs)))
        print(f"seed {seed}: {results[-1]['seconds']:.0f} s", flush=True)
        if options.json:
            content = {"options": options.words, "results": results}
            options.json.write_text(json.dumps(content, indent=1) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
