"""Finished runs side by side: a table of each task's, and their learning curves."""

import dataclasses
import datetime
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from custom_lstm import config, plots
from custom_lstm.config import nearest
from custom_lstm.errors import UserError
from custom_lstm.files import writing
from custom_lstm.tasks.compare.options import Options
from custom_lstm.tasks.tables import rich_table
from custom_lstm.training.run_folder import (
    History,
    RunFolder,
    read_json,
    resume_command,
)

Tasks = Mapping[str, type[config.Options]]
"""The options of every task by its name."""
NONE = "–"
_ASIDE = {"runs", "name", "resume", "lengths", "images", "predict", "tensorboard"}
_ASIDE |= {"cells", "epochs", "models", "preset", "data_dir"}
_LONGEST = 24
_LABEL = 48


@dataclasses.dataclass(frozen=True)
class Entry:
    """A trained model of a finished run.

    Args:
        path: of its folder, which for one of several models lies in the run's.
        task: the run's.
        options: those that may matter to what it reached.
        scores: its main scores.
        history: what was measured at each epoch.
        planned: number of epochs requested, if known.
        seconds: of training, if known.
    """

    path: Path
    task: str
    options: dict[str, Any]
    scores: dict[str, str]
    history: History
    planned: int | None = None
    seconds: float | None = None

    @property
    def epochs(self) -> int:
        """How many epochs it was trained."""
        return max(map(len, self.history.values()), default=0)


def main(options: Options, tasks: Tasks) -> int:
    """Compare runs; return the exit code, 0.

    Raises:
        UserError: there is no finished run, or a chart cannot be written.
    """
    folders = options.folders or (options.runs,)
    entries, refused = read_all(folders, tasks)
    for task in dict.fromkeys(entry.task for entry in entries):
        of_task = [entry for entry in entries if entry.task == task]
        print(f"{task}, {_count(of_task)}\n")
        _show(of_task, shutil.get_terminal_size().columns)
        _draw(of_task, options, folders, tasks[task].curve)
    if refused:
        print("Not compared:")
        print("\n".join(f"  {reason}" for reason in refused))
    if not entries:
        raise UserError(f"no finished run in {' '.join(map(str, folders))}")
    return 0


def read_all(folders: Iterable[Path], tasks: Tasks) -> tuple[list[Entry], list[str]]:
    """Read the runs in folders, which are runs or hold some, as far as possible.

    Returns:
        Every model of every finished run; and of each other folder why it cannot be
        compared.

    Raises:
        UserError: one of `folders` is neither.
    """
    entries: list[Entry] = []
    refused: list[str] = []
    for path in _unique(run for folder in folders for run in _runs_in(folder)):
        try:
            entries.extend(_read(RunFolder.open(path), tasks))
        except UserError as error:
            refused.append(str(error))
    return entries, refused


def _differing(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return the options in which runs differ: each one's values, as text."""
    names = dict.fromkeys(name for entry in entries for name in entry.options)
    values = {
        name: [_shown(entry.options.get(name)) for entry in entries] for name in names
    }
    return {name: column for name, column in values.items() if len(set(column)) > 1}


def _shown(value: Any) -> str:
    """Return a value as a person would write it: short, without control characters."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(_shown, value)) if isinstance(value, list) else str(value)
    text = "".join(c if c.isprintable() else "?" for c in text) or NONE
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _labels(entries: Sequence[Entry]) -> list[str]:
    """Return a short name for each run: its number in the table, and its options."""
    options, names = _differing(entries), []
    for number, entry in enumerate(entries):
        own = ", ".join(f"{name} {column[number]}" for name, column in options.items())
        own = own or entry.path.name
        fits = len(own) <= _LABEL and own.isascii() and "$" not in own
        names.append(f"{number + 1} ({own})" if fits else f"{number + 1}")
    return names


def _show(entries: Sequence[Entry], width: int) -> None:
    """Print runs of one task as a table: options that differ, scores, epochs and time.

    A table wider than the terminal continues below, with other columns of the same
    runs. The runs' paths follow, on lines that are never broken, to be copied.
    """
    numbers = [str(number + 1) for number in range(len(entries))]
    console = Console(width=max(width, 1000), highlight=False)
    parts = [{"#": numbers}]
    for name, column in _columns(entries).items():
        wider = {**parts[-1], name: column}
        size = console.measure(_table(wider)).maximum
        if size > width and len(parts[-1]) > 1:
            wider = {"#": numbers, name: column}
            parts.append(wider)
        parts[-1] = wider
    for part in parts:
        console.print(_table(part), soft_wrap=True)
        print()
    for number, entry in zip(numbers, entries, strict=True):
        print(f"{number:>{len(numbers[-1])}}  {entry.path}")


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    return rich_table(columns, zip(*columns.values(), strict=True), first="right")


def _runs_in(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; name runs, or folders of runs")
    if (folder / "config.json").is_file():
        yield folder
        return
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if not any((path / "config.json").is_file() for path in inner):
        raise UserError(
            f"{folder} is no run and holds none: no config.json in it or its folders"
        )
    yield from inner


def _unique(paths: Iterable[Path]) -> Sequence[Path]:
    return list({path.resolve(): path for path in paths}.values())


def _read(folder: RunFolder, tasks: Tasks) -> list[Entry]:
    content = read_json(folder.config)
    task, options = content.get("task"), content.get("options")
    if not isinstance(task, str) or task not in tasks:
        raise UserError(f"{folder.config} names no task known here: {task!r}")
    if not isinstance(options, dict):
        raise UserError(f"{folder.config} holds no options: this is not a run")
    if not folder.scores.is_file():
        raise UserError(
            f"{folder.path} is not finished; resume it with `{resume_command(folder)}`"
        )
    options = tasks[task].updated(options)
    try:
        rows = tasks[task].headline(read_json(folder.scores), options)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UserError(
            f"{folder.scores} does not hold scores of {task}: {error!r}"
        ) from error
    if not rows:
        raise UserError(f"{folder.path} is a comparison in itself: read its table.txt")
    if not any(folder.part(model).history.is_file() for model in rows):
        raise UserError(
            f"{folder.path} was stopped in its first epoch; resume it with "
            f"`{resume_command(folder)}`"
        )
    planned = options.get("epochs")
    kept = {name: value for name, value in options.items() if name not in _ASIDE}
    return [
        Entry(
            path=part.path,
            task=task,
            options=kept | ({"model": model} if model else {}),
            scores=scores,
            history=part.read_history(),
            planned=planned if isinstance(planned, int) else None,
            seconds=sum(part.read_seconds()) or None,
        )
        for model, scores in rows.items()
        for part in [folder.part(model)]
    ]


def _columns(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return the columns that are not empty."""
    scores = dict.fromkeys(name for entry in entries for name in entry.scores)
    columns = {
        **_differing(entries),
        **{name: [e.scores.get(name, NONE) for e in entries] for name in scores},
        "epochs": [_epochs(entry) for entry in entries],
        "training time": [_time(entry.seconds) for entry in entries],
    }
    return {name: column for name, column in columns.items() if {*column} != {NONE}}


def _epochs(entry: Entry) -> str:
    cut = entry.planned is not None and entry.epochs < entry.planned
    return f"{entry.epochs} of {entry.planned}" if cut else str(entry.epochs)


def _time(seconds: float | None) -> str:
    return NONE if seconds is None else str(datetime.timedelta(seconds=round(seconds)))


def _count(entries: Sequence[Entry]) -> str:
    if len(entries) == 1:
        return "one run: nothing to compare it with"
    same = "" if _differing(entries) else ", all with the same options"
    return f"{len(entries)} runs{same}"


def _draw(
    entries: Sequence[Entry], options: Options, folders: Sequence[Path], curve: str
) -> None:
    """Draw one quantity of the runs that have it, and say where."""
    quantity = options.quantity or curve
    histories = {
        label: entry.history
        for label, entry in zip(_labels(entries), entries, strict=True)
        if entry.history.get(quantity)
    }
    if not histories:
        known = dict.fromkeys(name for entry in entries for name in entry.history)
        only = f"only {', '.join(known) or 'none'}{nearest(quantity, known)}"
        print(f"\nNo chart: no run has a {quantity}, {only}\n")
        return
    path = options.charts or _common(folders)
    path /= f"compare-{entries[0].task}.png"
    try:
        with writing(path):
            plots.save(plots.learning_curves(histories, quantity), path)
    except ValueError as error:
        raise UserError(f"cannot draw {quantity}: {error}") from error
    print(f"\nLearning curves: {path}\n")


def _common(folders: Sequence[Path]) -> Path:
    """Return the folder that the first run lies in."""
    first = folders[0]
    return first.parent if (first / "config.json").is_file() else first
