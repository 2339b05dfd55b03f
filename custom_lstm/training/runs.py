"""The run folder: everything that a run leaves behind, in known places.

config.json  history.csv  times.json  scores.json  model.keras
curves.png   predictions.png  gates.png
checkpoints/{step-00001234.npz,best.npz}   tensorboard/
"""

import contextlib
import dataclasses
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import filelock

from custom_lstm.errors import UsageError, UserError
from custom_lstm.files import PARTIAL, atomic_write, writing
from custom_lstm.training.environment import environment

LARGEST_JSON = 2**26
"""Bytes of JSON that are read at most: 64 MiB."""
_Options = TypeVar("_Options")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder.

    Args:
        path: the folder itself.

    Example:

    >>> RunFolder(Path("runs/x")).model.as_posix()
    'runs/x/model.keras'
    """

    path: Path

    @classmethod
    def create(cls, runs: Path, name: str, parts: Sequence[str] = ("",)) -> "RunFolder":
        """Make `runs/<time>-<name>`, with a number behind if that is taken.

        Args:
            runs: folder of all runs; made if need be.
            name: of the run.
            parts: names of the models, each in a folder of its own, if there are
                several; see `part`.

        Raises:
            UserError: the folder cannot be made or written.
        """
        name = re.sub(r"[^\w.+-]+", "-", name).strip("-") or "run"
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
        try:
            runs.mkdir(parents=True, exist_ok=True)
            path, number = runs / stem, 1
            while True:
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    number += 1
                    path = runs / f"{stem}-{number}"
            for part in parts:
                (path / part / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"cannot make a run folder in {runs}: {error.strerror}; "
                "name a writable folder with --runs"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a folder that an earlier run made.

        Raises:
            UserError: there is no such folder, or it is not a run's.
        """
        if not path.is_dir():
            raise UserError(f"no run folder {path}")
        if not (path / "config.json").is_file():
            raise UserError(f"{path} is not a run folder: it holds no config.json")
        return cls(path)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes from writing here, and clear what a killed one left.

        Raises:
            UserError: another process has claimed it, or it cannot be written, then or
                while it is claimed.
        """
        lock = filelock.FileLock(self.path / ".lock", blocking=False)
        with writing(self.path):
            try:
                held = lock.acquire()
            except filelock.Timeout:
                raise UserError(
                    f"another process is at work on {self.path}; wait for it, or stop "
                    "it"
                ) from None
            with held:
                for left in self.path.rglob(f"{PARTIAL}*"):
                    left.unlink()
                yield

    def part(self, name: str) -> "RunFolder":
        """Return the folder of one of several models of this run."""
        return RunFolder(self.path / name)

    @property
    def config(self) -> Path:
        """Every option, the seed, versions, backend and commit."""
        return self.path / "config.json"

    @property
    def history(self) -> Path:
        """One line an epoch."""
        return self.path / "history.csv"

    @property
    def times(self) -> Path:
        """Seconds of training, one number a session."""
        return self.path / "times.json"

    @property
    def scores(self) -> Path:
        """What the finished model reaches on the test digits."""
        return self.path / "scores.json"

    @property
    def model(self) -> Path:
        """The finished model: the epoch with the lowest validation loss."""
        return self.path / "model.keras"

    def checkpoint(self, step: int) -> Path:
        """Return the path of the checkpoint made after `step` steps.

        Example:

        >>> RunFolder(Path("runs/x")).checkpoint(12).name
        'step-00000012.npz'
        """
        return self.path / "checkpoints" / f"step-{step:08}.npz"

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints from which the run can go on, the last one first."""
        return sorted((self.path / "checkpoints").glob("step-*.npz"), reverse=True)

    @property
    def best(self) -> Path:
        """The weights with the lowest validation loss so far."""
        return self.path / "checkpoints" / "best.npz"

    @property
    def tensorboard(self) -> Path:
        """Folder to point TensorBoard at."""
        return self.path / "tensorboard"

    def picture(self, name: str) -> Path:
        """Return the path of picture `name`."""
        return self.path / f"{name}.png"

    def write_config(self, task: str, options: dict[str, Any], **facts: Any) -> None:
        """Write the options and what the run depends on besides them.

        Args:
            task: the job, as the command line names it.
            options: every option by name, in JSON's types.
            **facts: what else the run must know to go on.
        """
        content = {"task": task, "options": options, **facts, **environment()}
        write_json(self.config, content)

    def read_config(self, task: str) -> dict[str, Any]:
        """Return the whole content of config.json; its `options` are an object.

        Raises:
            UserError: the file is damaged, from something else or another task's.
        """
        content = read_json(self.config)
        if not isinstance(content.get("options"), dict):
            raise UserError(f"{self.config} holds no options: this is no run")
        if content.get("task") != task:
            raise UsageError(
                f"{self.path} is a run of the task {content.get('task')!r}, not "
                f"{task!r}: put the task's name before the options"
            )
        return content

    def read_options(
        self, task: str, from_json: Callable[[dict[str, Any]], _Options]
    ) -> _Options:
        """Return the options in config.json.

        Args:
            task: the job, as the command line names it.
            from_json: makes options of an object.

        Raises:
            UserError: as `read_config`, or an option is missing, unknown or out of
                range.
        """
        options = self.read_config(task)["options"]
        try:
            return from_json(options)
        except UserError as error:
            raise UserError(f"{self.config} cannot be used: {error}") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to `path`, whole or not at all.

    Raises:
        UserError: the disk is full or the folder not writable.
    """
    with writing(path), atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file cannot be read, has over `LARGEST_JSON` bytes or is not a
            JSON object.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_JSON + 1)
        if len(text) > LARGEST_JSON:
            raise ValueError(f"it has over {LARGEST_JSON} bytes")
        content = json.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise UserError(f"{path} cannot be read: it is nested too deeply") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object")
    return content


def resume_command(folder: RunFolder) -> str:
    """Return the command that goes on with a run, as a shell takes it.

    Args:
        folder: of the run, or of a part of it.

    Example:

    >>> resume_command(RunFolder(Path("runs/x")))
    'python train.py --resume runs/x'
    >>> resume_command(RunFolder(Path("my runs/x")))
    "python train.py --resume 'my runs/x'"
    """
    path, words = folder.path, "python train.py"
    if not folder.config.is_file() and (path.parent / "config.json").is_file():
        return resume_command(RunFolder(path.parent))
    task = read_json(folder.config).get("task") if folder.config.is_file() else None
    if task not in (None, "digits"):
        words += f" {task}"
    return f"{words} --resume {shlex.quote(str(path))}"
