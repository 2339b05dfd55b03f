"""Options of `compare`."""

from pathlib import Path
from typing import Annotated

import tyro

from custom_lstm import config
from custom_lstm.config import options


@options
class Options(config.Options):
    """All options.

    Example:
        >>> Options.parse(["--runs", "mine", "--quantity", "loss"]).quantity
        'loss'
    """

    folders: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[RUN ...]")
    ] = ()
    """Runs, or folders of runs; by default --runs."""
    runs: Path = Path("runs")
    """Folder of runs."""
    quantity: str | None = None
    """Column of history.csv to draw; by default the exact match or loss on validation
    data, or the loss where there are none."""
    charts: Path | None = None
    """Folder for the charts; by default the one that the runs are in."""

    task = "compare"
    entry = "custom_lstm.tasks.compare.task:main"
    summary = "table and learning curves of finished runs"
    description = """Print a table of finished runs, the options in which they differ
    beside what they reached, and draw their learning curves on one chart; one of each
    for every task."""
    keras = False
