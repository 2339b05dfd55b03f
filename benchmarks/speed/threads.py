"""Race a training step of networks that vote, by how TensorFlow's threads are set.

    python benchmarks/speed/threads.py                 eight members
    python benchmarks/speed/threads.py --members 2

Each setting has a process of its own, since TensorFlow's threads cannot be changed once
it runs; they take turns, and a process that waits uses no core.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

from timing import interleaved, summary

CORES = os.cpu_count() or 1
SETTINGS = {
    "TensorFlow's own": (0, 0),
    **{f"1 in, {n} across": (1, n) for n in range(CORES, CORES + 3)},
}
"""Threads in an operation, and operations at a time; 0 leaves it to TensorFlow."""


def stepper(members: int, threads: tuple[int, int]) -> Callable[[], object]:
    """Start a process; return what has it train for a step and waits for that."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--of", *map(str, threads), f"--members={members}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def step():
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "\n", "the process died"

    return step


def serve(members: int, within: int, across: int) -> None:
    """Train for a step whenever a line comes; answer with one."""
    import job
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(within)
    tf.config.threading.set_inter_op_parallelism_threads(across)
    step = job.our_step(4, ensemble_size=members)
    for _ in sys.stdin:
        step()
        print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--of", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        serve(options.members, *options.of)
        return
    steps = {name: stepper(options.members, of) for name, of in SETTINGS.items()}
    times = interleaved(steps, 40, seconds=120)
    first = next(iter(SETTINGS))
    print(f"a step of {options.members} members; medians and quartiles of rounds")
    for name, row in summary(times, first).items():
        low, high = row["times_ours_quartiles"]
        print(
            f"{name:20} {row['ms']:6.0f} ms   {row['times_ours']:.2f} "
            f"({low:.2f} to {high:.2f}) of {first}"
        )


if __name__ == "__main__":
    main()
