"""Real runs in processes of their own, that can be killed at any moment."""

import contextlib
import multiprocessing
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from custom_lstm import cli
from custom_lstm.files import verify_checksum
from custom_lstm.training.run_folder import RunFolder

SMALL = shlex.split(
    "--data digits --epochs 6 --batch-size 32 --units 12 --filters 4 4 --features 8 "
    "--dropout 0.2 --save-steps 3 --no-tensorboard"
)
"""A run of 54 steps and 18 checkpoints."""
_CLEAN = multiprocessing.get_context("forkserver")
"""Forks a server that has imported everything and computed nothing: threads of
TensorFlow do not survive a fork."""
_SESSIONS = [options.entry.split(":")[0] for options in cli.TASKS.values()]


def ready():
    """Have the server import what a run needs, so that processes start at once."""
    _CLEAN.set_forkserver_preload(_SESSIONS)


def write_to(log: Path):
    """Redirect all output of this process, Python's and TensorFlow's, to a file."""
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)


class Process:
    """`train.py WORDS` in a process of its own.

    Attributes:
        saving: a semaphore released whenever a checkpoint is begun.
        seen: what the process has come to, readable when it is dead: how many steps
            it began; whether it is inside a save; microseconds of its last save.
    """

    def __init__(self, words, log: Path, before=None):
        self.saving, self.seen = _CLEAN.Semaphore(0), _CLEAN.RawArray("q", 3)
        what = (self.saving, self.seen, list(words), log, before)
        self._process = _CLEAN.Process(target=self.job, args=what)
        self._process.start()

    @staticmethod
    def job(saving, seen, words, log, before):
        """Return what the process does."""
        write_to(log)
        _announce(saving, seen)
        if before is not None:
            before()
        sys.exit(cli.main(words))

    @property
    def pid(self):
        return self._process.pid

    @property
    def steps_begun(self):
        return self.seen[0]

    @property
    def in_save(self):
        return bool(self.seen[1])

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
    """Return the one run in this folder that has begun, or None."""
    found = [path for path in runs.glob("*") if (path / "config.json").is_file()]
    assert len(found) <= 1, found
    return RunFolder(found[0]) if found else None


def _announce(saving, seen):
    from custom_lstm.training import callbacks

    save = callbacks.save_checkpoint

    def counted(recorder, batch, logs=None):
        seen[0] += 1

    callbacks.save_checkpoint = watched(save, saving, seen)
    callbacks.RunCallback.on_train_batch_begin = counted


def watched(save, saving, seen):
    """Return a function that saves, and says when it begins and whether it is at it."""

    def announced(*args, **kwargs):
        began, seen[1] = time.monotonic(), True
        saving.release()
        saved = save(*args, **kwargs)
        seen[1], seen[2] = False, int(1e6 * (time.monotonic() - began))
        return saved

    return announced


def words_for(runs: Path, words=SMALL, task=()):
    """Arguments with which the run in this folder begins, or resumes."""
    folder = only_run(runs)
    if folder is None:
        return [*task, *words, "--runs", str(runs)]
    return [*task, "--resume", str(folder.path)]


def last_checkpoint(folder: RunFolder) -> bytes:
    """Return the bytes of the last checkpoint: weights, optimizer, seeds, history."""
    path = folder.checkpoints()[0]
    verify_checksum(path)
    return path.read_bytes()


def run_to_the_end(runs: Path, log: Path, words=SMALL, task=()):
    """Begin the run, or resume it, and wait for its end."""
    process = Process(words_for(runs, words, task), log)
    wait_for_the_end(process, log)
    return only_run(runs)


def wait_for_the_end(process, log: Path) -> float:
    """Wait for the end of a run; return the seconds until its fourth checkpoint."""
    began = time.monotonic()
    process.wait_for_saves(4)
    seconds = time.monotonic() - began
    code = process.wait()
    assert code == 0, log.read_text()
    return seconds


TOO_LATE, IN_SAVE, ELSEWHERE = "too late: it had ended", "inside a save", "elsewhere"


def kill_once(runs: Path, log: Path, rng, longest: float | None = None, **how):
    """Begin or resume, and kill at a random moment; return where it was then.

    Args:
        longest: seconds within which the moment lies; None for one inside a save.
    """
    process = Process(words_for(runs, **how), log)
    where = kill(process, rng, longest)
    assert process.wait() in (0, -signal.SIGKILL), log.read_text()
    return where


def kill(process, rng, longest: float | None) -> str:
    """Kill at a random moment; see `kill_once`."""
    if longest is None:
        process.wait_for_saves(rng.integers(2, 5))
        longest = 1e-6 * process.seen[2]  # as the save before it took
    time.sleep(rng.uniform(0, longest))
    process.signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return TOO_LATE
    return IN_SAVE if process.in_save else ELSEWHERE
