"""What --deterministic costs: steps of the main job, their data included.

TensorFlow's switch is for a whole process and for good, so each of the two variants has
a process of its own. They take turns.
"""

import subprocess
import sys
from collections.abc import Callable

from timing import interleaved, summary

STEPS = 20
"""In a turn."""
_FLAG = "--deterministic"


def measure(digits: str, runs: int) -> dict:
    """Time turns of `STEPS` steps of the default network, with and without the option.

    Args:
        digits: which ones; `mnist` or `digits`.
        runs: turns of each.
    """
    variants = {"ours": [], f"ours, {_FLAG}": [_FLAG]}
    processes = {
        name: subprocess.Popen(
            [sys.executable, __file__, digits, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name, words in variants.items()
    }
    try:
        turns = {name: _turn(process) for name, process in processes.items()}
        return summary(interleaved(turns, runs, seconds=120), "ours")
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def _turn(process: subprocess.Popen) -> Callable[[], None]:
    def turn() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        if not process.stdout.read(1):
            raise RuntimeError("a process that trains has ended: see above why")

    return turn


def _serve(digits: str, deterministic: bool) -> None:
    """For each line that comes in, train `STEPS` steps and say so."""
    import tensorflow as tf

    from custom_lstm import data
    from custom_lstm.tasks.digits.model import build_compiled
    from custom_lstm.tasks.digits.options import Config
    from custom_lstm.tasks.digits.task import augment_of

    if deterministic:
        tf.config.experimental.enable_op_determinism()
    config = Config().resolve_defaults(digits)
    model = build_compiled(config, 100)
    batches = data.training_sequences(
        data.load_pools(digits).train,
        length=config.data.length,
        batch_size=config.optimisation.batch_size,
        epochs=1000,
        seed=0,
        augment=augment_of(config),
    )
    stream = iter(batches)
    for _ in sys.stdin:
        for _ in range(STEPS):
            model.train_on_batch(*next(stream))
        sys.stdout.write(".")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], _FLAG in sys.argv[2:])
