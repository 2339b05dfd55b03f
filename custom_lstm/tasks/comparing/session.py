"""The command itself: tables to the screen, charts to files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from custom_lstm import plots
from custom_lstm.errors import UserError
from custom_lstm.files import writing
from custom_lstm.options import nearest
from custom_lstm.tasks.comparing.entries import Entry, read_all
from custom_lstm.tasks.comparing.measures import MEASURES
from custom_lstm.tasks.comparing.options import Options
from custom_lstm.tasks.comparing.table import differing, labels, table


def start(options: Options) -> int:
    """Compare the runs asked for.

    Returns:
        The exit code, 0.

    Raises:
        UserError: there is no finished run, or a chart cannot be written.
    """
    entries, refused = read_all(options.folders)
    tasks = {
        task: [entry for entry in entries if entry.task == task]
        for task in MEASURES
        if any(entry.task == task for entry in entries)
    }
    for task, of_task in tasks.items():
        print(f"{task}, {_count(of_task)}\n")
        print(table(of_task, shutil.get_terminal_size().columns))
        _draw(task, of_task, options)
    if refused:
        print("Not compared:")
        print("\n".join(f"  {reason}" for reason in refused))
    if not tasks:
        raise UserError(f"no finished run in {' '.join(map(str, options.folders))}")
    return 0


def _count(entries: Sequence[Entry]) -> str:
    if len(entries) == 1:
        return "one run: nothing to compare it with"
    same = "" if differing(entries) else ", all with the same options"
    return f"{len(entries)} runs{same}"


def _draw(task: str, entries: Sequence[Entry], options: Options) -> None:
    """Draw one quantity of the runs that have it, and say where."""
    quantity = options.quantity or MEASURES[task].quantity
    histories = {
        label: entry.history
        for label, entry in zip(labels(entries), entries, strict=True)
        if entry.history.get(quantity)
    }
    if not histories:
        known = dict.fromkeys(name for entry in entries for name in entry.history)
        only = f"only {', '.join(known) or 'none'}{nearest(quantity, known)}"
        print(f"\nNo chart: no run has a {quantity}, {only}\n")
        return
    path = (options.charts or _common(options.folders)) / f"compare-{task}.png"
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
