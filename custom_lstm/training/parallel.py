"""The options that say which devices a run trains on, and which cannot be meant."""

import dataclasses
import re
from typing import Annotated

import tyro

from custom_lstm.errors import UsageError
from custom_lstm.options import nearest

STRATEGIES = ("one", "mirrored", "data-parallel")
_NO_MULTI_WORKER = (
    "--strategy {} cannot be: Keras 3 does not support "
    "tf.distribute.MultiWorkerMirroredStrategy. Use mirrored for the devices of one "
    "machine, or data-parallel on the JAX backend for several machines"
)


@dataclasses.dataclass(frozen=True)
class Parallel:
    """Devices that share each batch; chosen anew on --resume."""

    strategy: Annotated[str, tyro.conf.arg(metavar="{one,mirrored,data-parallel}")] = (
        "one"
    )
    """One device; mirrored on those of this machine (TensorFlow backend); or
    data-parallel over processes and machines (KERAS_BACKEND=jax)."""
    devices: int | None = None
    """With mirrored: so many GPUs, or logical CPUs where there is no GPU; by default
    all GPUs."""
    processes: int = 1
    """With data-parallel: processes of the run, each started by the same command but
    for --process-id."""
    process_id: int = 0
    """Which of the processes this is; 0 keeps the run folder."""
    coordinator: str | None = None
    """host:port of process 0, where the processes meet."""

    def check(self) -> None:
        """Check what can be checked before Keras is there.

        Raises:
            UsageError: the first option that cannot be meant.

        Example:

        >>> Parallel("data-parallel", processes=2, coordinator="ten:1234").check()
        """
        name = self.strategy
        if name not in STRATEGIES:
            if "multi" in name:
                raise UsageError(_NO_MULTI_WORKER.format(name))
            raise UsageError(
                f"--strategy must be one of {', '.join(STRATEGIES)}, not {name}"
                f"{nearest(name, STRATEGIES)}"
            )
        if self.devices is not None and name != "mirrored":
            raise UsageError("--devices needs --strategy mirrored")
        several = self.processes > 1
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
