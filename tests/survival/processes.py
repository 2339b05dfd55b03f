"""Real runs in processes of their own, that can be killed at any moment."""

import contextlib
import multiprocessing
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from custom_lstm import command
from custom_lstm.files import check_seal
from custom_lstm.training.runs import RunFolder

SMALL = shlex.split(
    "--data digits --epochs 6 --batch-size 32 --units 12 --filters 4 4 --features 8 "
    "--dropout 0.2 --save-steps 3 --no-tensorboard"
)
"""A run of 54 steps and 18 checkpoints."""
_CLEAN = multiprocessing.get_context("forkserver")
"""Forks a server that has imported everything and computed nothing: threads of
TensorFlow do not survive a fork."""
_SESSIONS = [task.session for task in [command._DIGITS, *command.TASKS.values()]]


def ready():
    """Have the server import what a run needs, so that processes start at once."""
    _CLEAN.set_forkserver_preload(_SESSIONS)


def write_to(log: Path):
    """Let all that this process says, Python's and TensorFlow's, go to a file."""
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)


class Process:
    """`train.py WORDS` in a process of its own.

    Attributes:
        saving: a semaphore released whenever a checkpoint is begun.
    """

    def __init__(self, words, log: Path, before=None):
        self.saving = _CLEAN.Semaphore(0)
        what = (self.saving, list(words), log, before)
        self._process = _CLEAN.Process(target=self.job, args=what)
        self._process.start()

    @staticmethod
    def job(saving, words, log, before):
        """What the process does."""
        write_to(log)
        _announce_saves(saving)
        if before is not None:
            before()
        sys.exit(command.main(words))

    @property
    def pid(self):
        return self._process.pid

    def alive(self):
        return self._process.is_alive()

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def wait_for_saves(self, count):
        """Wait until so many checkpoints were begun, or the end."""
        for _ in range(count):
            while self.alive() and not self.saving.acquire(timeout=0.02):
                pass

    def wait(self, seconds=600.0):
        """Return the exit code; a process that hangs is an error."""
        self._process.join(seconds)
        if self.alive():
            self.signal(signal.SIGKILL)
            raise TimeoutError(f"still running after {seconds} s")
        return self._process.exitcode


def only_run(runs: Path):
    """The one run in this folder that has begun, or None."""
    found = [path for path in runs.glob("*") if (path / "config.json").is_file()]
    assert len(found) <= 1, found
    return RunFolder(found[0]) if found else None


def _announce_saves(saving):
    from custom_lstm.training import callbacks

    save = callbacks.save_checkpoint

    def announced(*content):
        saving.release()
        return save(*content)

    callbacks.save_checkpoint = announced


def words_for(runs: Path, words=SMALL, task=()):
    """What to type so that the run in this folder begins, or goes on."""
    folder = only_run(runs)
    if folder is None:
        return [*task, *words, "--runs", str(runs)]
    return [*task, "--resume", str(folder.path)]


def last_checkpoint(folder: RunFolder) -> bytes:
    """The bytes of the last checkpoint: weights, optimizer, seeds, history."""
    path = folder.checkpoints()[0]
    check_seal(path)
    return path.read_bytes()


def run_to_the_end(runs: Path, log: Path, words=SMALL, task=()):
    """Begin the run, or go on with it, and wait for its end."""
    code = Process(words_for(runs, words, task), log).wait()
    assert code == 0, log.read_text()
    return only_run(runs)


def seconds_to_save(words, log: Path, runs: Path) -> float:
    """How long a run takes to begin its fourth checkpoint; it is killed then."""
    began = time.monotonic()
    process = Process([*words, "--runs", str(runs)], log)
    process.wait_for_saves(4)
    process.signal(signal.SIGKILL)
    process.wait()
    return time.monotonic() - began


def kill_once(runs: Path, log: Path, rng, longest: float, *, saving: bool, **how):
    """Begin or go on, and kill at a random moment; return whether it was killed.

    Args:
        longest: seconds within which the moment lies; of a save, if `saving`.
        saving: kill inside a save, not at any moment.
    """
    process = Process(words_for(runs, **how), log)
    if saving:
        process.wait_for_saves(rng.integers(1, 5))
    time.sleep(rng.uniform(0, longest))
    killed = process.alive()
    process.signal(signal.SIGKILL)
    code = process.wait()
    assert code == -signal.SIGKILL or not killed or code == 0, log.read_text()
    assert code in (0, -signal.SIGKILL), log.read_text()
    return code == -signal.SIGKILL
