"""The devices that share each batch of a run: on one machine, or on several.

Each device takes an equal share of every batch, and the gradients of all are summed
before the optimizer's step, so that the weights are those of one device except for
rounding.
"""

import atexit
import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from custom_lstm.errors import UsageError, UserError
from custom_lstm.extras import extra
from custom_lstm.training.options import Parallel
from custom_lstm.training.run_folder import RunFolder

with extra("train"):
    import tensorflow as tf

_OWN = {"process_id", "coordinator", "runs", "name", "resume", "data_dir", "lengths"}
"""Options in which the processes of a run may differ."""


_BACKENDS = {"mirrored": "tensorflow", "data-parallel": "jax"}
_OF_COLLECTIVES = re.compile("Gloo|NCCL|coordination service")
"""In what JAX raises, of several types, when a process does not answer."""
_CORES = os.cpu_count() or 1
_PATIENCE = 10
"""Seconds that a process which fails gives the others to fail of the same."""


@dataclasses.dataclass(frozen=True)
class DeviceGroup:
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
        >>> DeviceGroup(size=2).check_batch(12, ensemble_size=3)
    """

    size: int = 1
    processes: int = 1
    process: int = 0
    scope: Callable[[], AbstractContextManager] = contextlib.nullcontext
    scratch: Path | None = None

    def check_batch(self, batch_size: int, ensemble_size: int) -> None:
        """Check that a batch can be shared equally.

        Args:
            batch_size: its sequences.
            ensemble_size: networks that share what each device has.

        Raises:
            UsageError: it cannot.
        """
        sharers = [(self.size, "devices"), (ensemble_size, "networks")]
        if batch_size % (self.size * ensemble_size):
            by = " with ".join(f"{n} {kind}" for n, kind in sharers if n > 1)
            raise UsageError(
                f"--batch-size {batch_size} cannot be shared equally by {by}: give a "
                f"multiple of {self.size * ensemble_size}"
            )

    def create(self, runs: Path, name: str, parts: Sequence[str] = ("",)) -> RunFolder:
        """Make the run folder, or a temporary one; see `RunFolder.create`."""
        return RunFolder.create(self.scratch or runs, name, parts)

    def take(self, folder: RunFolder) -> RunFolder:
        """Return an earlier run's folder, or a temporary copy.

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

    def check_alike(self, facts: Mapping[str, Any], folder: RunFolder) -> None:
        """Check that every process is about to train the same.

        Args:
            facts: every option by name, and what else the training depends on.
            folder: this process's run folder, whose checkpoints are compared.

        Raises:
            UserError: options, data or checkpoints differ.
        """
        if self.processes == 1:
            return
        compared = [(name, facts[name]) for name in facts if name not in _OWN]
        digest = hashlib.sha256(repr(compared).encode())
        for path in sorted((folder.path / "checkpoints").glob("[!.]*")):
            digest.update(path.read_bytes())
        found = _from_all(np.frombuffer(digest.digest(), np.uint8))
        if (found != found[0]).any():
            raise UserError(
                "the processes differ in options, data or checkpoints: start each "
                "with the same command except --process-id, and --resume the same run"
            )


def assemble(
    parallel: Parallel,
    *,
    seed: int = 0,
    loop: str = "fit",
    clip_norm: float = 0.0,
    ensemble_size: int = 1,
) -> DeviceGroup:
    """Set up the devices that the options name.

    Must come before TensorFlow or JAX compute anything. With several processes it
    returns when all of them have called it.

    Args:
        parallel: which devices, and processes.
        seed: of the run.
        loop: `"fit"`, or `"custom"`, which needs TensorFlow.
        clip_norm: of gradients; not 0 excludes mirrored devices.
        ensemble_size: networks that are trained side by side.

    Raises:
        UsageError: this backend or this machine does not support these options.
        UserError: the processes do not find each other.

    Example:
        >>> assemble(Parallel()).size
        1
    """
    if loop == "custom":
        _need_backend("--loop custom", "tensorflow")
    if parallel.strategy in _BACKENDS:
        _need_backend(f"--strategy {parallel.strategy}", _BACKENDS[parallel.strategy])
    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")  # it only reads the data here
    elif 1 < _CORES <= ensemble_size:
        _one_core_an_operation()
    if parallel.strategy == "mirrored":
        return _mirrored(parallel.devices, clip_norm)
    if parallel.strategy == "data-parallel":
        return _data_parallel(parallel, seed)
    return DeviceGroup()


def _one_core_an_operation() -> None:
    """Run operations of an ensemble's networks side by side, a core each.

    They wait less for one another than parts of one operation: `benchmarks/LOG.md`.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(_CORES + 1)


def _need_backend(option: str, name: str) -> None:
    backend = keras.backend.backend()
    if backend != name:
        raise UsageError(
            f"{option} needs the {name} backend of Keras, and this one is {backend}: "
            f"set KERAS_BACKEND={name}"
        )


def _mirrored(count: int | None, clip_norm: float) -> DeviceGroup:
    if clip_norm:
        raise UsageError(
            "--clip-norm cannot go with --strategy mirrored: Keras clips the gradients "
            "of each device before it sums them. On the JAX backend, data-parallel can"
        )
    kind, there = "GPU", len(tf.config.list_physical_devices("GPU"))
    if not there:
        if count is None:
            raise UsageError(
                "--strategy mirrored finds no GPU here; --devices 2 takes 2 parts of "
                "the CPU"
            )
        kind, there = "CPU", _logical_cpus(count)
    count = count or there
    if count > there:
        raise UsageError(f"--devices {count} asks for more than the {there} GPUs here")
    strategy = tf.distribute.MirroredStrategy([f"{kind}:{k}" for k in range(count)])
    return DeviceGroup(count, scope=strategy.scope)


def _logical_cpus(count: int) -> int:
    """Cut the CPU into `count` devices, which share its cores; return `count`."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    cut = tf.config.get_logical_device_configuration(cpu)
    if len(cut or [cpu]) != count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError as error:
            raise UserError(f"cannot make {count} CPU devices: {error}") from error
    return count


def _data_parallel(options: Parallel, seed: int) -> DeviceGroup:
    if options.processes == 1:
        distribution = keras.distribution.DataParallel()
        return DeviceGroup(
            keras.distribution.get_device_count(), scope=distribution.scope
        )
    keras.utils.set_random_seed(seed)  # else `initialize` draws and spreads one
    try:
        keras.distribution.initialize(
            options.coordinator, options.processes, options.process_id
        )
    except RuntimeError as error:
        raise UserError(
            f"process {options.process_id} of {options.processes} does not reach the "
            f"others at {options.coordinator}: {error}"
        ) from error
    return DeviceGroup(
        keras.distribution.get_device_count(),
        options.processes,
        options.process_id,
        _meeting,
        _scratch() if options.process_id else None,
    )


@contextlib.contextmanager
def _meeting() -> Iterator[None]:
    """Train together, then let processes continue alone; a lost one is a UserError."""
    import jax

    try:
        with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
            yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        _end_soon(130 if interrupted else getattr(error, "exit_code", 1))
        broken = isinstance(error, jax.errors.JaxRuntimeError | ValueError)
        if not broken or not _OF_COLLECTIVES.search(str(error)):
            raise
        first, *_ = str(error).splitlines()
        raise UserError(
            "another process of this run has ended or cannot be reached; resume all of "
            f"them from the last checkpoint with --resume ({first[:200]})"
        ) from error
    jax.distributed.shutdown()


def _end_soon(exit_code: int) -> None:
    """End this process in `_PATIENCE` seconds; JAX would wait for the others."""
    timer = threading.Timer(_PATIENCE, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()


def _scratch() -> Path:
    path = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _from_all(x: np.ndarray) -> np.ndarray:
    """Return an array of every process, `(processes, …)`; all must ask at once."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x))
