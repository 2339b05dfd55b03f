"""Time a training step of an ensemble under several settings of TensorFlow's threads.

    python benchmarks/speed/threads.py                 eight networks
    python benchmarks/speed/threads.py --ensemble-size 2

Each setting has a process of its own, since TensorFlow's threads cannot be changed once
it runs; they take turns.
"""

import argparse
import os

from timing import interleaved, serve, stepping_processes, summary

CORES = os.cpu_count() or 1
SETTINGS = {
    "TensorFlow's own": (0, 0),
    **{f"1 in, {n} across": (1, n) for n in range(CORES, CORES + 3)},
}
"""Threads in an operation, and operations at a time; 0 leaves it to TensorFlow."""


def train(ensemble_size: int, within: int, across: int) -> None:
    """Train for a step whenever the measuring process asks for one."""
    import job
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(within)
    tf.config.threading.set_inter_op_parallelism_threads(across)
    serve(job.our_step(4, ensemble_size=ensemble_size))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ensemble-size", type=int, default=8)
    parser.add_argument("--of", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = options.ensemble_size
    if options.of:
        train(size, *options.of)
        return
    commands = {
        name: [__file__, "--of", *map(str, of), f"--ensemble-size={size}"]
        for name, of in SETTINGS.items()
    }
    with stepping_processes(commands) as steps:
        times = interleaved(steps, 40, seconds=120)
    first = next(iter(SETTINGS))
    print(
        f"a step of {size} networks; time relative to {first}: "
        "medians and quartiles of rounds"
    )
    for name, row in summary(times, first).items():
        low, high = row["speedup_quartiles"]
        print(
            f"{name:20} {row['ms']:6.0f} ms   {row['speedup']:.2f} × "
            f"({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
