"""The devices that train a run together, and what their processes must agree on."""

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from custom_lstm.errors import UsageError, UserError
from custom_lstm.training.config import Config
from custom_lstm.training.runs import RunFolder

_OWN = {"process_id", "coordinator", "runs", "name", "resume", "data_dir", "lengths"}
"""Options in which the processes of a run may differ."""


@dataclasses.dataclass(frozen=True)
class Team:
    """The devices of a run, and this process's part in it.

    Args:
        size: how many devices share each batch.
        processes: how many processes they belong to.
        process: which of them this is.
        scope: makes a context in which the model is built, loaded and trained. For
            several processes it can be entered once.
        scratch: where this process puts what it does not keep; None in the one that
            keeps the run folder.

    Example:

    >>> Team(size=2).check_batch(12, members=3)
    """

    size: int = 1
    processes: int = 1
    process: int = 0
    scope: Callable[[], AbstractContextManager] = contextlib.nullcontext
    scratch: Path | None = None

    def check_batch(self, batch_size: int, members: int) -> None:
        """Check that a batch can be shared equally.

        Args:
            batch_size: its sequences.
            members: networks that share what each device has.

        Raises:
            UsageError: it cannot.
        """
        sharers = [(self.size, "devices"), (members, "members")]
        if batch_size % (self.size * members):
            by = " with ".join(f"{n} {kind}" for n, kind in sharers if n > 1)
            raise UsageError(
                f"--batch-size {batch_size} cannot be shared equally by {by}: give a "
                f"multiple of {self.size * members}"
            )

    def create(self, runs: Path, name: str) -> RunFolder:
        """Make the run folder, or one that is thrown away; see `RunFolder.create`."""
        return RunFolder.create(self.scratch or runs, name)

    def take(self, folder: RunFolder) -> RunFolder:
        """Return an earlier run's folder, or a copy that is thrown away.

        Raises:
            UserError: it cannot be copied.
        """
        if self.scratch is None:
            return folder
        ignore = shutil.ignore_patterns("tensorboard")
        try:
            copy = shutil.copytree(folder.path, self.scratch / "run", ignore=ignore)
        except OSError as error:
            raise UserError(f"cannot copy {folder.path}: {error}") from error
        return RunFolder(Path(copy))

    @property
    def share(self) -> tuple[int, int]:
        """Which share of every batch this process reads, and of how many."""
        return self.process, self.processes

    def largest(self, number: int) -> int:
        """Return the largest of the numbers that all processes give at once."""
        return int(_from_all(np.array(number)).max())

    def check_alike(self, config: Config, data: str, folder: RunFolder) -> None:
        """Check that every process is about to train the same.

        Args:
            config: all options.
            data: the digits used.
            folder: this process's run folder, whose checkpoints are compared.

        Raises:
            UserError: options, digits or checkpoints differ.
        """
        if self.processes == 1:
            return
        options = config.to_json()
        facts = [(name, options[name]) for name in options if name not in _OWN]
        digest = hashlib.sha256(repr((data, facts)).encode())
        for path in sorted((folder.path / "checkpoints").glob("[!.]*")):
            digest.update(path.read_bytes())
        found = _from_all(np.frombuffer(digest.digest(), np.uint8))
        if (found != found[0]).any():
            raise UserError(
                "the processes differ in options, digits or checkpoints: start each "
                "with the same command but for --process-id, and --resume the same run"
            )


def _from_all(x: np.ndarray) -> np.ndarray:
    """Return an array of every process, `(processes, …)`; all must ask at once."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x))
