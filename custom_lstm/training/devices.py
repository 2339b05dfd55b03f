"""The devices that share each batch of a run: on one machine, or on several.

Each device takes an equal share of every batch, and the gradients of all are summed
before the optimizer's step, so that the weights are those of one device but for
rounding.
"""

import atexit
import contextlib
import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from custom_lstm.errors import UsageError, UserError
from custom_lstm.training.config import Config
from custom_lstm.training.parallel import Parallel
from custom_lstm.training.runs import RunFolder

_BACKENDS = {"mirrored": "tensorflow", "data-parallel": "jax"}
_OWN = {"process_id", "runs", "name", "resume", "data_dir", "lengths", "tensorboard"}
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

    >>> Team(size=2).check_batch(6)
    """

    size: int = 1
    processes: int = 1
    process: int = 0
    scope: Callable[[], AbstractContextManager] = contextlib.nullcontext
    scratch: Path | None = None

    def check_batch(self, batch_size: int) -> None:
        """Check that a batch can be shared equally.

        Raises:
            UsageError: the devices do not divide it.
        """
        if batch_size % self.size:
            raise UsageError(
                f"--batch-size {batch_size} cannot be shared equally by {self.size} "
                f"devices: give a multiple of {self.size}"
            )

    def create(self, runs: Path, name: str) -> RunFolder:
        """Make the run folder, or one that is thrown away; see `RunFolder.create`."""
        return RunFolder.create(self.scratch or runs, name)

    def take(self, folder: RunFolder) -> RunFolder:
        """Return an earlier run's folder, or a copy that is thrown away."""
        if self.scratch is None:
            return folder
        ignore = shutil.ignore_patterns("tensorboard")
        return RunFolder(
            Path(shutil.copytree(folder.path, self.scratch / "run", ignore=ignore))
        )

    @property
    def share(self) -> tuple[int, int]:
        """Which share of every batch this process reads, and of how many."""
        return self.process, self.processes

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


class StopTogether(keras.callbacks.Callback):
    """End the training in every process after the same step, if it ends in one.

    A process that went on alone would wait for the others for ever. Must come last
    among the callbacks.

    Args:
        team: whose processes they are.

    Attributes:
        from_elsewhere: whether another process stopped this one.
    """

    def __init__(self, team: Team):
        super().__init__()
        self.team = team
        self.from_elsewhere = False

    def on_train_batch_end(self, batch, logs=None):
        """Ask all processes whether one of them stops."""
        if self.team.processes == 1:
            return
        mine = bool(self.model.stop_training)
        self.model.stop_training = bool(_from_all(np.array(mine)).any())
        self.from_elsewhere |= self.model.stop_training and not mine


def assemble(config: Config) -> Team:
    """Make ready the devices that the options ask for.

    Must come before TensorFlow or JAX compute anything. With several processes it
    returns when all of them have called it.

    Args:
        config: all options, checked.

    Raises:
        UsageError: this backend or this machine cannot do what is asked for.
        UserError: the processes do not find each other.

    Example:

    >>> assemble(Config()).size
    1
    """
    backend, options = keras.backend.backend(), config.parallel
    if config.optimisation.loop == "custom":
        _need_backend("--loop custom", "tensorflow")
    if options.strategy in _BACKENDS:
        _need_backend(f"--strategy {options.strategy}", _BACKENDS[options.strategy])
    if backend != "tensorflow":
        tf.config.set_visible_devices([], "GPU")  # it only reads digits here
    if options.strategy == "mirrored":
        return _mirrored(config)
    if options.strategy == "data-parallel":
        return _data_parallel(options, config.run.seed)
    return Team()


def _need_backend(option: str, name: str) -> None:
    backend = keras.backend.backend()
    if backend != name:
        raise UsageError(
            f"{option} needs the {name} backend of Keras, and this one is {backend}: "
            f"set KERAS_BACKEND={name}"
        )


def _mirrored(config: Config) -> Team:
    if config.optimisation.clip_norm:
        raise UsageError(
            "--clip-norm cannot go with --strategy mirrored: Keras clips the gradients "
            "of each device before it sums them. On the JAX backend, data-parallel can"
        )
    count = config.parallel.devices
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
    return Team(count, scope=strategy.scope)


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


def _data_parallel(options: Parallel, seed: int) -> Team:
    if options.processes == 1:
        distribution = keras.distribution.DataParallel()
        return Team(keras.distribution.get_device_count(), scope=distribution.scope)
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
    return Team(
        keras.distribution.get_device_count(),
        options.processes,
        options.process_id,
        _meeting,
        _scratch() if options.process_id else None,
    )


@contextlib.contextmanager
def _meeting() -> Iterator[None]:
    """Train together, then let every process go its own way."""
    import jax

    with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
        yield
    jax.distributed.shutdown()


def _scratch() -> Path:
    path = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _from_all(x: np.ndarray) -> np.ndarray:
    """Return an array of every process, `(processes, …)`; all must ask at once."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x))
