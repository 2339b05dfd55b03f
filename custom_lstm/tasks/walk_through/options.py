"""Options of the task `walk-through`; read without Keras."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from custom_lstm import options as reading
from custom_lstm.training.keeping import KEEPING_RANGES, Keeping

PROG = "train.py walk-through"
_DESCRIPTION = """Train an LSTM on three sequences of four numbers to say, at each step,
the number plus the one before; then cut sequences anywhere and carry the state on."""


@dataclasses.dataclass(frozen=True)
class Model:
    """Inputs and LSTM."""

    features: Literal[1, 2] = 2
    """Numbers at each step: the number itself, and with 2 a constant beside it."""
    units: int = 10
    """Units of the LSTM."""
    scale: float = 10.0
    """What numbers are divided by for the LSTM, and its answers multiplied by; 1 is the
    notebook's."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How the weights are found."""

    steps: int = 1000
    """Steps of Adam, each on all three sequences."""
    learning_rate: float = 0.02
    """Peak of Adam's one-cycle learning rate."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder and what is done with it."""

    seed: int = 0
    """Seed of the weights."""
    runs: Path = Path("runs")
    """Folder in which the run folder is made."""
    name: str | None = None
    """Name in the run folder's name; by default that of the task."""
    resume: Path | None = None
    """Go on with this run; if it is finished, score it again."""


@dataclasses.dataclass(frozen=True)
class Options:
    """All options of a run.

    Args:
        model, optimisation, run, keeping: the groups that `--help` shows.

    Example:

    >>> Options().model.units
    10
    """

    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()
    keeping: Keeping = Keeping()

    @property
    def resume(self) -> Path | None:
        """The run folder to go on with, if any."""
        return self.run.resume


_RANGES: dict[str, tuple[float, float]] = {
    **KEEPING_RANGES,
    "units": (1, reading.MANY),
    "scale": (1e-3, 1e3),
    "steps": (1, reading.MANY),
    "learning_rate": (1e-9, 10),
    "seed": (0, 2**31 - 1),
}


def parse(words: list[str]) -> Options:
    """Read the words behind `walk-through`.

    Args:
        words: what was typed there.

    Returns:
        The checked options.

    Raises:
        UsageError: an option or a value is unknown, mistyped or out of range.
        SystemExit: `--help` was asked for.

    Example:

    >>> parse(["--features", "1"]).model.features
    1
    """
    options = reading.read_words(words, Options(), prog=PROG, description=_DESCRIPTION)
    reading.check_ranges(options, _RANGES)
    reading.check_resumed(options, Options(), may_change=())
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
