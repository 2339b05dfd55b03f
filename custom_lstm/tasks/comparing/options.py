"""Options of `compare`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from custom_lstm import options as reading

PROG = "train.py compare"
_DESCRIPTION = """Print a table of finished runs, the options in which they differ
beside what they reached, and draw their learning curves on one chart; one of each for
every task."""


@dataclasses.dataclass(frozen=True)
class Options:
    """All options.

    Example:

    >>> Options().folders
    (PosixPath('runs'),)
    """

    folders: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[RUNS ...]")
    ] = (Path("runs"),)
    """Runs, or folders of runs."""
    quantity: str | None = None
    """Column of history.csv to draw; by default the exact match or loss on validation
    data, or the loss where there are none."""
    charts: Path | None = None
    """Folder for the charts; by default the one that the runs lie in."""

    @property
    def resume(self) -> None:
        """Nothing is gone on with."""


def parse(words: list[str]) -> Options:
    """Read the words behind `compare`.

    Args:
        words: what was typed there.

    Raises:
        UsageError: an option is unknown or mistyped.
        SystemExit: `--help` was asked for.

    Example:

    >>> parse(["a", "b", "--quantity", "loss"]).quantity
    'loss'
    """
    return reading.read_words(words, Options(), prog=PROG, description=_DESCRIPTION)
