"""Finding runs, and reading what they left."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from custom_lstm.errors import UserError
from custom_lstm.tasks.comparing.measures import MEASURES, Row
from custom_lstm.training.history import History, read_history, read_seconds
from custom_lstm.training.runs import RunFolder, read_json, resume_command

_ASIDE = {"runs", "name", "resume", "lengths", "images", "predict", "tensorboard"}
_ASIDE |= {"cells", "epochs", "models", "preset", "data_dir"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A trained model of a finished run.

    Args:
        path: of its folder, which for one of several models lies in the run's.
        task: the run's.
        options: those that may matter to what it reached.
        scores: its main scores.
        history: what was measured at each epoch.
        planned: how many epochs were asked for, if known.
        seconds: of training, if known.
    """

    path: Path
    task: str
    options: dict[str, Any]
    scores: Row
    history: History
    planned: int | None = None
    seconds: float | None = None

    @property
    def epochs(self) -> int:
        """How many epochs it was trained."""
        return max(map(len, self.history.values()), default=0)


def read_all(folders: Iterable[Path]) -> tuple[list[Entry], list[str]]:
    """Read runs as far as they can be.

    Args:
        folders: runs, and folders of runs.

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
            entries.extend(_read(RunFolder.open(path)))
        except UserError as error:
            refused.append(str(error))
    return entries, refused


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


def _read(folder: RunFolder) -> list[Entry]:
    content = read_json(folder.config)
    task, options = content.get("task"), content.get("options")
    if not isinstance(task, str) or task not in MEASURES:
        raise UserError(f"{folder.config} names no task known here: {task!r}")
    if not isinstance(options, dict):
        raise UserError(f"{folder.config} holds no options: this is no run")
    if not folder.scores.is_file():
        raise UserError(
            f"{folder.path} is not finished; go on with `{resume_command(folder)}`"
        )
    try:
        rows = MEASURES[task].rows(read_json(folder.scores), options)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UserError(
            f"{folder.scores} holds not the scores of {task}: {error!r}"
        ) from error
    planned = options.get("epochs")
    kept = {name: value for name, value in options.items() if name not in _ASIDE}
    return [
        Entry(
            path=part.path,
            task=task,
            options=kept | ({"model": model} if model else {}),
            scores=scores,
            history=read_history(part),
            planned=planned if isinstance(planned, int) else None,
            seconds=sum(read_seconds(part)) or None,
        )
        for model, scores in rows.items()
        for part in [folder.part(model)]
    ]
