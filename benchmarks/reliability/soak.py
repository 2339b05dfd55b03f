"""Train long and watch what the process holds.

    python benchmarks/reliability/soak.py

Prints by how much memory and open files grew from step 100 to step 5,000.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import processes  # noqa: E402

STEPS_AN_EPOCH = 9


def soak(work: Path, first: int, last: int, loop: str = "fit") -> dict[str, float]:
    """Run the main job, small, and compare its state after two numbers of steps.

    Returns:
        `memory`: by what share the resident memory grew; `open files`: by how many;
        `steps`: at the second look.
    """
    words = [*processes.SMALL, "--loop", loop, "--save-steps", "10", "--tensorboard"]
    words[words.index("--epochs") + 1] = str(last // STEPS_AN_EPOCH + 3)
    process = processes.Process([*words, "--runs", str(work / "runs")], work / "log")
    seen = {}
    try:
        for step in (first, last):
            while _steps(work / "runs") < step:
                assert process.alive(), (work / "log").read_text()[-2000:]
                time.sleep(0.05)
            seen[step] = _memory(process.pid), _open_files(process.pid)
    finally:
        process.signal(9)
        process.wait()
    (memory, files), (memory_after, files_after) = seen[first], seen[last]
    return {
        "memory": memory_after / memory - 1,
        "open files": files_after - files,
        "steps": last,
    }


def _steps(runs: Path) -> int:
    paths = runs.glob("*/checkpoints/step-*.npz")
    return max((int(path.stem.removeprefix("step-")) for path in paths), default=0)


def _memory(pid: int) -> int:
    """Resident memory in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def _open_files(pid: int) -> int:
    """Return the least of several looks: a checkpoint may be on its way to the disk."""
    looks = []
    for _ in range(20):
        looks.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        time.sleep(0.01)
    return min(looks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--last", type=int, default=5000)
    options = parser.parse_args()
    processes.ready()
    for loop in ("fit", "custom"):
        with tempfile.TemporaryDirectory() as work:
            grown = soak(Path(work), options.first, options.last, loop)
        print(
            f"{loop}: from step {options.first} to {grown['steps']:,} memory grew by "
            f"{grown['memory']:.1%}, open files by {grown['open files']:.0f}"
        )


if __name__ == "__main__":
    main()
