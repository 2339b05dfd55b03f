"""Options of the task `count-ones`; read without Keras."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from custom_lstm import config
from custom_lstm.config import LearningRate, Positive, options
from custom_lstm.errors import UsageError
from custom_lstm.tasks.cell_names import CellName
from custom_lstm.training.options import CheckpointOptions, RunOptions

ADDING = ("lstm", "peephole", "layer_norm", "projected")
"""Cells with a memory c that only their own forget gate takes from."""


@options
class Data:
    """The strings."""

    length: Annotated[int, Field(ge=1, le=62)] = 20
    """Bits in a string."""
    strings: Positive = 10_000
    """Strings to train on, drawn from all 2^length."""


@options
class Model:
    """Recurrent layer and head."""

    cell: CellName = "carousel"
    """Cell that reads the bits: carousel, an LSTM part of which only adds; lstm, gru,
    simple, peephole, or any other name that custom_lstm.cells.get knows."""
    units: Positive = 24
    """Units of the cell."""
    head: Literal["value", "totals"] = "value"
    """One number with squared error, so that near counts are near; or the guide's
    softmax over all counts."""
    read: Literal["memory", "output"] = "memory"
    """What the head sees after the last bit: c if the cell has one, or its output."""
    forget_bias: Annotated[float, Field(ge=-100, le=100)] | None = None
    """Bias of the forget gate at first; by default 10 where the memory adds up (it
    hardly forgets), and Keras's 1 elsewhere."""
    sparsity: Annotated[float, Field(ge=0, le=100)] | None = None
    """L1 penalty on the recurrent weights; by default 0.01 where the memory adds up,
    which can count without them, and 0 elsewhere."""
    initial: Literal["keras", "guide"] = "keras"
    """How the first weights are drawn: as in Keras, or as in the guide."""


@options
class Optimisation:
    """How the weights are found."""

    epochs: Positive = 20
    """Passes over the training strings."""
    batch_size: Positive = 100
    """Strings in a step."""
    learning_rate: LearningRate = 0.01
    """Adam's learning rate, or the peak of its one-cycle schedule."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """Whether the learning rate rises and falls to 0, or stays."""
    shuffle: bool = True
    """Put the strings in another order each epoch."""


@options
class Run(RunOptions):
    """The run folder and what is done with it."""

    preset: Literal["default", "original"] = "default"
    """Defaults of all the options here: default (a minute), or what the guide did (5000
    epochs)."""
    cells: tuple[CellName, ...] = ()
    """Train one run for each of these cells and compare them in one table."""
    resume: Path | None = None
    """Resume this run; if it is finished, score it or --predict. Its own options hold,
    except --lengths."""
    lengths: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = ()
    """Lengths to score on random strings; by default twice and five times --length."""
    predict: tuple[str, ...] = ()
    """Strings of bits, of any length, whose ones to count. With --resume RUN the
    finished run counts them, without training."""


@options
class Options(config.Options):
    """All options of a run.

    Args:
        data, model, optimisation, run, checkpoints: the groups that `--help` shows.

    Example:
        >>> Options.parse(["--cell", "gru"]).model.cell
        'gru'
    """

    data: Data = Data()
    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()
    checkpoints: CheckpointOptions = CheckpointOptions()

    task = "count-ones"
    entry = "custom_lstm.tasks.count_ones.task:CountOnes.main"
    summary = "count the ones in strings of bits"
    description = """Train an LSTM that reads a string of bits and says how many of them
    are 1, on some of all the strings there are, and test it on all the others."""
    presets = {
        "default": {},
        "original": {
            "preset": "original",
            "cell": "lstm",
            "head": "totals",
            "read": "output",
            "forget_bias": 1.0,
            "sparsity": 0.0,
            "initial": "guide",
            "epochs": 5000,
            "batch_size": 1000,
            "learning_rate": 0.001,
            "schedule": "constant",
            "shuffle": False,
        },
    }
    may_change = ("predict", "lengths")

    def __post_init__(self) -> None:
        """Check what groups exclude in each other."""
        data, run = self.data, self.run
        if data.strings >= 2**data.length:
            raise UsageError(
                f"--strings {data.strings} leaves none of the {2**data.length:,} "
                f"strings of --length {data.length} for the test"
            )
        if self.optimisation.batch_size > data.strings:
            raise UsageError(
                f"--batch-size {self.optimisation.batch_size} is larger than "
                f"--strings {data.strings}"
            )
        if len(set(run.cells)) < len(run.cells):
            raise UsageError("--cells must not name a cell twice")
        for string in run.predict:
            if set(string) - {"0", "1"} or not string:
                raise UsageError(
                    f"--predict takes strings of 0 and 1, not {string or 'none'}"
                )

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths to score on random strings."""
        return self.run.lengths or (2 * self.data.length, 5 * self.data.length)

    def resolve_defaults(self, cell: str) -> Self:
        """Return a copy for one cell, in which nothing depends on the cell any more.

        Args:
            cell: name of the cell.
        """
        adds, model = cell in ADDING, self.model
        bias, sparsity = model.forget_bias, model.sparsity
        return self.replace(
            cell=cell,
            cells=(),
            forget_bias=(10.0 if adds else 1.0) if bias is None else bias,
            sparsity=(0.01 if adds else 0.0) if sparsity is None else sparsity,
        )

    @staticmethod
    def headline(
        scores: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, dict[str, str]]:
        """Return the wrong strings, the largest error, and what is right elsewhere."""
        test = scores["test"]
        row = {
            "wrong": f"{test['wrong']:,} of {test['strings']:,}",
            "largest error": f"{test['largest_error']:.3f}",
        }
        for length, parts in scores["longer"].items():
            row[f"% right at {length}"] = f"{100 * parts['even']['right']:.1f}"
        return {"": row}
