"""The run folder, and the files in it.

config.json  history.csv  times.json  scores.json  model.keras
curves.png   predictions.png  gates.png
checkpoints/{step-00001234.npz,best.npz}   tensorboard/
"""

import contextlib
import csv
import dataclasses
import errno
import json
import platform
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from custom_lstm import program
from custom_lstm.config import Options
from custom_lstm.errors import UsageError, UserError
from custom_lstm.extras import extra
from custom_lstm.files import PARTIAL, atomic_write, writing

with extra("train"):
    import filelock

LARGEST_JSON = 2**26
"""Bytes of JSON that are read at most: 64 MiB."""
History = dict[str, list[float]]
"""One number an epoch under each name; NaN where it is not known."""
_SECONDS = "training_seconds"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""Errors of writing that do not name the file."""
_Options = TypeVar("_Options", bound=Options)


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
        """Make `runs/<time>-<name>`, with a number appended if it exists.

        Args:
            runs: folder of all runs; made if it is missing.
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
                while it is claimed. Any other `OSError` of the body stays what it is.
        """
        lock = filelock.FileLock(self.path / ".lock", blocking=False)
        with writing(self.path):
            try:
                held = lock.acquire()
            except filelock.Timeout:
                raise UserError(
                    f"another process is using {self.path}; wait for it, or stop it"
                ) from None
        with held:
            with writing(self.path):
                for left in self.path.rglob(f"{PARTIAL}*"):
                    left.unlink()
            try:
                yield
            except OSError as error:
                if not self._is_of_writing(error):
                    raise
                where = error.filename or self.path
                raise UserError(f"cannot write {where}: {error.strerror}") from error

    def _is_of_writing(self, error: OSError) -> bool:
        """Return whether an error is a full disk, or of a file in this folder."""
        if error.filename is None:
            return error.errno in _FULL
        return Path(str(error.filename)).absolute().is_relative_to(self.path.absolute())

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
        """Return the checkpoints, the last one first."""
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
            **facts: what else is needed to resume the run.
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
            raise UserError(f"{self.config} holds no options: this is not a run")
        if content.get("task") != task:
            raise UsageError(
                f"{self.path} is a run of the task {content.get('task')!r}, not "
                f"{task!r}: put the task's name before the options"
            )
        return content

    def read_options(self, options: type[_Options]) -> _Options:
        """Return the options in config.json.

        Args:
            options: those of the task.

        Raises:
            UserError: as `read_config`, or an option is missing, unknown or out of
                range.
        """
        content = self.read_config(options.task)["options"]
        try:
            return options.from_json(content)
        except UserError as error:
            raise UserError(f"{self.config} cannot be used: {error}") from error

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write history.csv, one line for each epoch, if there is any.

        Raises:
            UserError: the disk is full or the folder not writable.
        """
        if not rows:
            return
        with (
            writing(self.history),
            atomic_write(self.history) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def read_history(self) -> History:
        """Read history.csv.

        Returns:
            Its columns but `epoch`, which counts from 1.

        Raises:
            UserError: the file cannot be read, or holds no table of numbers.
        """
        try:
            with self.history.open(newline="", encoding="utf-8") as file:
                names, *rows = csv.reader(file, strict=True)
            columns: History = {name: [] for name in names}
            for row in rows:
                for name, cell in zip(names, row, strict=True):
                    columns[name].append(float(cell or "nan"))
        except OSError as error:
            raise UserError(
                f"{self.history} cannot be read: {error.strerror}"
            ) from error
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{self.history} is no table of numbers: {error}"
            ) from error
        columns.pop("epoch", None)
        return columns

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Add the seconds that the body takes to times.json, however it ends.

        Raises:
            UserError: the file is damaged (before the body runs) or cannot be written.
        """
        before = self.read_seconds()
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = [*before, time.monotonic() - began]
            write_json(self.times, {_SECONDS: seconds})

    def read_seconds(self) -> list[float]:
        """Return the seconds of training of each session; none where not recorded.

        Raises:
            UserError: times.json is damaged.
        """
        if not self.times.is_file():
            return []
        seconds = read_json(self.times).get(_SECONDS)
        if not isinstance(seconds, list) or not all(
            isinstance(s, int | float) and 0 <= s < float("inf") for s in seconds
        ):
            raise UserError(f"{self.times} holds no list of {_SECONDS}")
        return [float(s) for s in seconds]


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
    """Return the command that resumes a run, as a shell takes it.

    Args:
        folder: of the run, or of a part of it.

    Example:
        >>> resume_command(RunFolder(Path("runs/x")))
        'custom-lstm --resume runs/x'
        >>> resume_command(RunFolder(Path("my runs/x")))
        "custom-lstm --resume 'my runs/x'"
    """
    path, words = folder.path, program.command()
    if not folder.config.is_file() and (path.parent / "config.json").is_file():
        return resume_command(RunFolder(path.parent))
    task = read_json(folder.config).get("task") if folder.config.is_file() else None
    if task not in (None, "digits"):
        words += f" {task}"
    return f"{words} --resume {shlex.quote(str(path))}"


def environment() -> dict[str, Any]:
    """Return what a run depends on besides its options: versions, backend, commit."""
    import keras

    packages = ("custom_lstm", "keras", "tensorflow", "numpy", "tensorflow-datasets")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout
            versions[package] = "not installed"
    return {
        "versions": versions,
        "backend": keras.backend.backend(),
        "platform": platform.platform(),
        "commit": _commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _commit() -> str | None:
    """Return the commit of the checkout that this file lies in, if any."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
