"""Options of the task `compare-cells`; read without Keras."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from custom_lstm import config
from custom_lstm.config import LearningRate, Positive, Seed, options
from custom_lstm.errors import UsageError
from custom_lstm.tasks.cell_names import CellName

ProblemName = Literal["adding", "copy", "rows", "pixels", "count-ones", "sums"]


@options
class Compared:
    """What is compared."""

    cells: tuple[CellName, ...] = ()
    """Cells, by the names that custom_lstm.cells.get knows; by default all that step
    vectors, and those of --own-cells."""
    own_cells: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = ()
    """Python files, or modules, that hold cells of your own; they are imported first.
    A cell Leaky or LeakyCell in them goes by the name leaky."""
    problems: Annotated[tuple[ProblemName, ...], Field(min_length=1)] = (
        "adding",
        "copy",
        "rows",
        "pixels",
        "count-ones",
        "sums",
    )
    """Problems: adding two marked numbers, copying symbols after a delay, digits row by
    row or pixel by pixel, counting ones, alternating sums of digits."""
    parameters: Positive = 4000
    """Weights of a network, cell and head together, that no cell may exceed; each has
    as many units as fit."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1)
    """Seeds; every cell is trained on every problem once with each."""


@options
class Data:
    """Where the digits of rows and pixels come from."""

    data: Literal["auto", "mnist", "digits"] = "auto"
    """MNIST, scikit-learn's embedded digits, or auto: MNIST if it is prepared or its
    host answers, else the embedded ones."""
    data_dir: Path | None = None
    """TFDS folder of MNIST; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""


@options
class Optimisation:
    """How the weights are found: the same for every cell and problem."""

    steps: Positive = 400
    """Steps of a training."""
    batch_size: Positive = 32
    """Sequences in a step."""
    learning_rate: LearningRate = 0.01
    """Peak of Adam's one-cycle learning rate."""


@options
class Run:
    """The run folder and what is done with it."""

    runs: Path = Path("runs")
    """Folder in which the run folder is made."""
    name: str | None = None
    """Name in the run folder's name; by default that of the task."""
    resume: Path | None = None
    """Resume this run: train what is missing, and show the table. Its own options hold,
    except --data-dir; cells of your own must be named again by --own-cells."""


@options
class Options(config.Options):
    """All options of a run.

    Args:
        compared, data, optimisation, run: the groups that `--help` shows.

    Example:
        >>> Options.parse(["--cells", "gru", "lstm"]).compared.cells
        ('gru', 'lstm')
    """

    compared: Compared = Compared()
    data: Data = Data()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()

    task = "compare-cells"
    entry = "custom_lstm.tasks.compare_cells.task:main"
    summary = "which cell for what: all cells on six small problems"
    description = """Train every cell on the same small problems, with as many weights,
    by the same recipe and from the same seeds, and print what each reached beside a
    blind answer."""
    may_change = ("data_dir", "own_cells")
    added: ClassVar[Mapping[str, Any]] = {"own_cells": ()}

    def __post_init__(self) -> None:
        """Check that nothing is named twice."""
        for name in ("cells", "problems", "seeds"):
            values = getattr(self.compared, name)
            if len(set(values)) < len(values):
                raise UsageError(f"--{name} must not name one of them twice")

    @staticmethod
    def headline(
        scores: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, dict[str, str]]:
        """Return nothing: a run holds a table of its own."""
        return {}
