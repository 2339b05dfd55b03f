"""Repeat the main job with several seeds and print mean ± sd of what it reached.

    python benchmarks/repeat.py --seeds 0 1 2 3 4 -- --data mnist
    python benchmarks/repeat.py --seeds 0 1 2 -- --data mnist --preset best
    python benchmarks/repeat.py --seeds 0 -- --data mnist --length 10

Everything behind `--` goes to train.py. Times are of the whole command, from its
start to the score table and pictures; run nothing else beside it. With `--json FILE`
the figures of every seed are kept.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRAIN = Path(__file__).parents[1] / "train.py"


def once(words: list[str], seed: int, runs: Path) -> dict:
    """Run train.py and return its scores at the training length, and its time."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, TRAIN, *words, "--seed", str(seed), "--runs", runs],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    (folder,) = runs.iterdir()
    scores = next(iter(json.loads((folder / "scores.json").read_text()).values()))
    return {"seed": seed, "seconds": seconds, **scores}


def beyond_ceiling(result: dict) -> np.ndarray:
    """Return by how many points each position stays under p^t."""
    top = np.array(result["ceiling_per_position"])
    return 100 * (top - np.array(result["exact_per_position"]))


def spread(values: list[float], digits: int) -> str:
    """Return mean ± sample standard deviation."""
    sd = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {sd:.{digits}f}"


def report(results: list[dict]) -> str:
    """Return the figures of all seeds as text."""
    exact = [100 * result["exact"] for result in results]
    beyond = np.array([beyond_ceiling(result) for result in results])
    positions = " ".join(f"{loss:.2f}" for loss in beyond.mean(axis=0))
    return "\n".join(
        [
            f"seeds {[result['seed'] for result in results]}",
            f"exact match, mean over positions   {spread(exact, 2)} %  "
            f"(each: {' '.join(f'{e:.2f}' for e in exact)})",
            "MAE                                "
            f"{spread([r['mae'] for r in results], 4)}",
            "single digits                      "
            f"{spread([100 * r['digit_accuracy'] for r in results], 2)} %",
            f"points under p^t, each position    {positions}",
            "seconds, start to finish           "
            f"{spread([r['seconds'] for r in results], 0)}",
            f"machine                            {os.cpu_count()} cores, "
            f"{platform.machine()}, Python {platform.python_version()}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="options of train.py")
    options = parser.parse_args()
    results = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as runs:
            results.append(once(options.words, seed, Path(runs)))
        print(f"seed {seed}: {100 * results[-1]['exact']:.2f} %", flush=True)
        if options.json:
            content = {"options": options.words, "results": results}
            options.json.write_text(json.dumps(content, indent=1) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
