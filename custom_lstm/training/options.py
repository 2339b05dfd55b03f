"""Options of the engine, which tasks include; read without Keras."""

import re
from pathlib import Path
from typing import Annotated

from custom_lstm.config import MANY, Count, Positive, Seed, nearest, options
from custom_lstm.errors import UsageError
from custom_lstm.extras import extra

with extra("train"):
    import pydantic
    import tyro

STRATEGIES = ("one", "mirrored", "data-parallel")
_NO_MULTI_WORKER = (
    "--strategy {} is not possible: Keras 3 does not support "
    "tf.distribute.MultiWorkerMirroredStrategy. Use mirrored for the devices of one "
    "machine, or data-parallel on the JAX backend for several machines"
)


@options
class RunOptions:
    """The run folder and what is done with it."""

    seed: Seed = 0
    """Seed of weights, data and their order."""
    runs: Path = Path("runs")
    """Folder in which the run folder is made."""
    name: str | None = None
    """Name in the run folder's name; by default made of task and options."""
    resume: Path | None = None
    """Resume this run; if it is finished, score it again. Its own options hold."""


@options
class CheckpointOptions:
    """When checkpoints are written, and whether results repeat exactly."""

    save_minutes: Annotated[float, pydantic.Field(ge=0, le=MANY)] = 0.5
    """Minutes between two checkpoints; a kill costs no more than that."""
    save_steps: Count = 0
    """Steps between two checkpoints; 0 leaves it to --save-minutes."""
    deterministic: bool = False
    """Let TensorFlow use only operations that give the same bits every time; slower."""

    def due(self, steps: int, seconds: float) -> bool:
        """Say whether a checkpoint is due.

        Args:
            steps: done since the last one.
            seconds: since the last one.

        Example:
            >>> CheckpointOptions(save_steps=10).due(steps=9, seconds=20)
            False
            >>> CheckpointOptions().due(steps=1, seconds=30)
            True
        """
        by_steps = self.save_steps and steps >= self.save_steps
        return bool(by_steps) or (steps > 0 and seconds >= 60 * self.save_minutes)


@options
class Parallel:
    """Devices that share each batch; to be given again with --resume."""

    strategy: Annotated[str, tyro.conf.arg(metavar="{one,mirrored,data-parallel}")] = (
        "one"
    )
    """One device; mirrored on those of this machine (TensorFlow backend); or
    data-parallel over processes and machines (KERAS_BACKEND=jax)."""
    devices: Positive | None = None
    """With mirrored: number of GPUs, or of logical CPUs where there is no GPU; by
    default all GPUs."""
    processes: Positive = 1
    """With data-parallel: processes of the run, each started by the same command except
    --process-id."""
    process_id: Count = 0
    """Which of the processes this is; 0 keeps the run folder."""
    coordinator: str | None = None
    """host:port of process 0, where the processes meet."""

    def __post_init__(self) -> None:
        """Check what can be checked without Keras.

        Raises:
            UsageError: options exclude each other.

        Example:
            >>> Parallel("data-parallel", processes=2, coordinator="ten:1234").devices
        """
        name, several = self.strategy, self.processes > 1
        if name not in STRATEGIES:
            if "multi" in name:
                raise UsageError(_NO_MULTI_WORKER.format(name))
            raise UsageError(
                f"--strategy must be one of {', '.join(STRATEGIES)}, not {name}"
                f"{nearest(name, STRATEGIES)}"
            )
        if self.devices is not None and name != "mirrored":
            raise UsageError("--devices needs --strategy mirrored")
        if several and name != "data-parallel":
            raise UsageError("--processes needs --strategy data-parallel")
        if self.process_id >= self.processes:
            raise UsageError(
                f"--process-id must be less than --processes {self.processes}, not "
                f"{self.process_id}"
            )
        if several != (self.coordinator is not None):
            raise UsageError("--coordinator and --processes 2 or more need each other")
        if self.coordinator is not None and not _is_address(self.coordinator):
            raise UsageError(
                f"--coordinator must be host:port, such as 10.0.0.1:12345, not "
                f"{self.coordinator}"
            )


def _is_address(text: str) -> bool:
    match = re.fullmatch(r"(?:[\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})", text)
    return match is not None and 0 < int(match[1]) < 2**16
