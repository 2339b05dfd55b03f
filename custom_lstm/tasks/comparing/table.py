"""Runs of one task as text."""

import datetime
from collections.abc import Sequence
from typing import Any

from custom_lstm.tasks.comparing.entries import Entry

NONE = "–"
_LONGEST = 24
_LABEL = 48


def differing(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return the options in which runs differ.

    Returns:
        For each such option its value in every run, as text.

    Example:

    >>> from pathlib import Path
    >>> runs = [
    ...     Entry(Path("a"), "digits", {"units": 8, "filters": [4, 4]}, {}, {}),
    ...     Entry(Path("b"), "digits", {"units": 8, "filters": [4]}, {}, {}),
    ... ]
    >>> differing(runs)
    {'filters': ['4 4', '4']}
    """
    names = dict.fromkeys(name for entry in entries for name in entry.options)
    values = {
        name: [shown(entry.options.get(name)) for entry in entries] for name in names
    }
    return {name: column for name, column in values.items() if len(set(column)) > 1}


def shown(value: Any) -> str:
    """Return a value as a person would write it, fit for any terminal.

    Example:

    >>> shown(True), shown(None), shown([16, 48]), shown("a" + chr(27))
    ('yes', '–', '16 48', 'a?')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(shown, value)) if isinstance(value, list) else str(value)
    text = "".join(c if c.isprintable() else "?" for c in text) or NONE
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def labels(entries: Sequence[Entry]) -> list[str]:
    """Return a short name for each run: its number in the table, and what is its own.

    Example:

    >>> from pathlib import Path
    >>> runs = [Entry(Path("a"), "digits", {"seed": s}, {}, {}) for s in (0, 1)]
    >>> labels(runs)
    ['1 (seed 0)', '2 (seed 1)']
    """
    options, names = differing(entries), []
    for number, entry in enumerate(entries):
        own = ", ".join(f"{name} {column[number]}" for name, column in options.items())
        own = own or entry.path.name
        fits = len(own) <= _LABEL and own.isascii() and "$" not in own
        names.append(f"{number + 1} ({own})" if fits else f"{number + 1}")
    return names


def table(entries: Sequence[Entry], width: int) -> str:
    """Set runs of one task as a table: options that differ, scores, epochs and time.

    A table wider than the terminal goes on below, with other columns of the same runs.

    Args:
        entries: at least one.
        width: columns of text there are.

    Returns:
        Lines without a newline at the end, and behind the table the runs' paths, which
        are there to be copied and are never broken.
    """
    numbers = [str(number + 1) for number in range(len(entries))]
    first = _aligned("#", numbers)
    parts = [list(first)]
    for name, column in _columns(entries).items():
        cells = _aligned(name, column)
        if len(parts[-1][0] + cells[0]) + 2 > width and parts[-1] != first:
            parts.append(list(first))
        parts[-1] = [f"{a}  {b}" for a, b in zip(parts[-1], cells, strict=True)]
    paths = [f"{n}  {e.path}" for n, e in zip(first[1:], entries, strict=True)]
    return "\n\n".join("\n".join(lines) for lines in [*parts, paths])


def _aligned(name: str, column: Sequence[str]) -> list[str]:
    """Return a column and its head, each as wide as the widest of them."""
    size = max(map(len, [name, *column]))
    return [f"{cell:>{size}}" for cell in [name, *column]]


def _columns(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return the columns in which there is something to be seen."""
    scores = dict.fromkeys(name for entry in entries for name in entry.scores)
    columns = {
        **differing(entries),
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
