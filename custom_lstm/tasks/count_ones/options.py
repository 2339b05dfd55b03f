"""Options of the task `count-ones`; read without Keras."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from custom_lstm import options as reading
from custom_lstm.errors import UsageError
from custom_lstm.training.keeping import KEEPING_RANGES, Keeping

PROG = "train.py count-ones"
_DESCRIPTION = """Train an LSTM that reads a string of bits and says how many of them
are 1, on some of all the strings there are, and test it on all the others."""
_MAY_CHANGE = ("predict", "lengths")

CellName = Literal[
    "lstm",
    "gru",
    "simple",
    "peephole",
    "layer_norm",
    "projected",
    "coupled",
    "zoneout",
]
ADDING: tuple[CellName, ...] = ("lstm", "peephole", "layer_norm", "projected")
"""Cells with a memory c that only their own forget gate takes from."""


@dataclasses.dataclass(frozen=True)
class Data:
    """The strings."""

    length: int = 20
    """Bits in a string."""
    strings: int = 10_000
    """Strings to train on, drawn from all 2^length."""


@dataclasses.dataclass(frozen=True)
class Model:
    """Recurrent layer and head."""

    cell: CellName = "lstm"
    """What reads the bits."""
    units: int = 24
    """Units of the cell."""
    head: Literal["value", "totals"] = "value"
    """One number with squared error, so that near counts are near; or the guide's
    softmax over all counts."""
    read: Literal["memory", "output"] = "memory"
    """What the head sees after the last bit: c if the cell has one, or h."""
    forget_bias: float | None = None
    """Bias of the forget gate at first; by default 10 where the memory adds up (it
    hardly forgets), and Keras's 1 elsewhere."""
    sparsity: float | None = None
    """L1 penalty on the recurrent weights; by default 0.01 where the memory adds up,
    which can count without them, and 0 elsewhere."""
    initial: Literal["keras", "guide"] = "keras"
    """How the first weights are drawn: as in Keras, or as in the guide."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How the weights are found."""

    epochs: int = 20
    """Passes over the training strings."""
    batch_size: int = 100
    """Strings in a step."""
    learning_rate: float = 0.01
    """Adam's learning rate, or the peak of its one-cycle schedule."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """Whether the learning rate rises and falls to 0, or stays."""
    shuffle: bool = True
    """Put the strings in another order each epoch."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder and what is done with it."""

    preset: Literal["default", "original"] = "default"
    """Defaults of all the options here: default (a minute), or what the guide did (5000
    epochs)."""
    cells: tuple[CellName, ...] = ()
    """Train one run for each of these cells and compare them in one table."""
    seed: int = 0
    """Seed of strings, weights and order."""
    runs: Path = Path("runs")
    """Folder in which the run folder is made."""
    name: str | None = None
    """Name in the run folder's name; by default task, cell and length."""
    resume: Path | None = None
    """Go on with this run; if it is finished, score it or --predict. Its own options
    hold, except --lengths."""
    lengths: tuple[int, ...] = ()
    """Lengths to score on random strings; by default twice and five times --length."""
    predict: tuple[str, ...] = ()
    """Strings of bits, of any length: says their number of ones. With --resume RUN the
    finished run does, without training."""


@dataclasses.dataclass(frozen=True)
class Options:
    """All options of a run.

    Args:
        data, model, optimisation, run, keeping: the groups that `--help` shows.

    Example:

    >>> Options().model.units
    24
    """

    data: Data = Data()
    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()
    keeping: Keeping = Keeping()

    @property
    def resume(self) -> Path | None:
        """The run folder to go on with, if any."""
        return self.run.resume

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths to score on random strings."""
        return self.run.lengths or (2 * self.data.length, 5 * self.data.length)

    def of_cell(self, cell: CellName) -> "Options":
        """Return these options for one cell, with nothing left to be settled by it.

        Args:
            cell: what reads the bits.
        """
        adds, model = cell in ADDING, self.model
        bias, sparsity = model.forget_bias, model.sparsity
        model = dataclasses.replace(
            model,
            cell=cell,
            forget_bias=(10.0 if adds else 1.0) if bias is None else bias,
            sparsity=(0.01 if adds else 0.0) if sparsity is None else sparsity,
        )
        run = dataclasses.replace(self.run, cells=())
        return dataclasses.replace(self, model=model, run=run)

    def check(self) -> None:
        """Check every value's range, and what excludes each other.

        Raises:
            UsageError: the first option that cannot be meant.
        """
        reading.check_ranges(self, _RANGES)
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
            raise UsageError("--cells must be different ones")
        for string in run.predict:
            if set(string) - {"0", "1"} or not string:
                raise UsageError(
                    f"--predict takes strings of 0 and 1, not {string or 'none'}"
                )


PRESETS: dict[str, Options] = {
    "default": Options(),
    "original": Options(
        model=Model(
            head="totals", read="output", forget_bias=1, sparsity=0, initial="guide"
        ),
        optimisation=Optimisation(
            epochs=5000,
            batch_size=1000,
            learning_rate=0.001,
            schedule="constant",
            shuffle=False,
        ),
        run=Run(preset="original"),
    ),
}
_RANGES: dict[str, tuple[float, float]] = {
    **KEEPING_RANGES,
    "length": (1, 62),
    "strings": (1, reading.MANY),
    "units": (1, reading.MANY),
    "forget_bias": (-100, 100),
    "sparsity": (0, 100),
    "epochs": (1, reading.MANY),
    "batch_size": (1, reading.MANY),
    "learning_rate": (1e-9, 10),
    "seed": (0, 2**31 - 1),
    "lengths": (1, 100_000),
}


def parse(words: list[str]) -> Options:
    """Read the words behind `count-ones`.

    Args:
        words: what was typed there.

    Returns:
        The checked options.

    Raises:
        UsageError: an option or a value is unknown, mistyped or out of range.
        SystemExit: `--help` was asked for.

    Example:

    >>> parse(["--cell", "gru"]).model.cell
    'gru'
    """
    default = reading.preset_in(words, PRESETS)
    options = reading.read_words(words, default, prog=PROG, description=_DESCRIPTION)
    options.check()
    reading.check_resumed(options, default, _MAY_CHANGE)
    return options


def from_json(content: dict[str, Any]) -> Options:
    """Rebuild the options that `custom_lstm.options.to_json` wrote.

    Raises:
        UsageError: an option is missing, unknown or out of range.

    Example:

    >>> from_json(reading.to_json(Options())) == Options()
    True
    """
    return reading.restore(content, Options(), parse)
