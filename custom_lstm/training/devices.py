"""The devices that share each batch of a run: on one machine, or on several.

Each device takes an equal share of every batch, and the gradients of all are summed
before the optimizer's step, so that the weights are those of one device but for
rounding.
"""

import atexit
import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from custom_lstm.errors import UsageError, UserError
from custom_lstm.training.config import Config
from custom_lstm.training.parallel import Parallel
from custom_lstm.training.team import Team

_BACKENDS = {"mirrored": "tensorflow", "data-parallel": "jax"}
_OF_COLLECTIVES = re.compile("Gloo|NCCL|coordination service")
"""In what JAX raises, of several types, when a process does not answer."""
_CORES = os.cpu_count() or 1
_PATIENCE = 10
"""Seconds that a process which fails gives the others to fail of the same."""


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
    elif 1 < _CORES <= config.model.members:
        _one_core_an_operation()
    if options.strategy == "mirrored":
        return _mirrored(config)
    if options.strategy == "data-parallel":
        return _data_parallel(options, config.run.seed)
    return Team()


def _one_core_an_operation() -> None:
    """Let members' operations run side by side, each on one core of the CPU.

    They wait less for one another than parts of one operation do: `benchmarks/LOG.md`.
    Where TensorFlow has computed already, its threads stay as they are.
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
    """Train together, then let every process go its own way.

    Raises:
        UserError: another process is gone.
    """
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
            "another process of this run has ended or cannot be reached; --resume goes "
            f"on from the last checkpoint in all of them ({first[:200]})"
        ) from error
    jax.distributed.shutdown()


def _end_soon(exit_code: int) -> None:
    """End this process in `_PATIENCE` seconds, if it has not ended by then.

    On leaving, JAX waits five minutes for the other processes, and those wait for this
    one in the middle of a step. When it is gone, they end too.
    """
    timer = threading.Timer(_PATIENCE, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()


def _scratch() -> Path:
    path = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
