"""Options of the task `showers`; read without Keras."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from custom_lstm import options as reading
from custom_lstm.errors import UsageError
from custom_lstm.training.keeping import KEEPING_RANGES, Keeping

PROG = "train.py showers"
_DESCRIPTION = """Train a network that looks at 40 slices of a shower in a calorimeter
and says what hit it, how hard and where; beside it a plain CNN."""

ModelName = Literal[
    "lstm", "gru", "simple", "peephole", "layer_norm", "coupled", "zoneout", "cnn"
]


@dataclasses.dataclass(frozen=True)
class Data:
    """The showers."""

    showers: int = 20_000
    """Showers to train on."""
    test_showers: int = 4_000
    """Showers to score; half as many are for validation."""
    mirror: bool = True
    """Turn training showers over at random, as the detector's symmetry allows."""
    data_dir: Path | None = None
    """Folder of the TFRecords; by default in the user's cache."""


@dataclasses.dataclass(frozen=True)
class Model:
    """The networks."""

    models: tuple[ModelName, ...] = ("lstm", "cnn")
    """What to train and compare: a RecurrentBlock with such cells, or a plain CNN."""
    hidden_sizes: tuple[int, ...] = (48,)
    """Hidden size of each recurrent layer."""
    output_sizes: tuple[int | None, ...] = (8,)
    """Output size of each recurrent layer; None hands its hidden state on as it is."""
    output: Literal["aggregate", "vector"] = "aggregate"
    """What the head sees of the block: the outputs of all slices, or the last."""
    features: int = 32
    """Width of what the encoder makes of a slice."""
    l2: float = 0.0
    """Weight of the L2 penalty on the recurrent layers' weights."""
    dropout: float = 0.0
    """Share of the recurrent layers' inputs dropped in training."""
    layer_norm: bool = False
    """Normalise the hidden states."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How the weights are found."""

    epochs: int = 30
    """Passes over the training showers, for each model."""
    batch_size: int = 64
    """Showers in a step."""
    learning_rate: float = 0.003
    """Peak of Adam's one-cycle learning rate."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises; it falls to 0 after."""
    weight_decay: float = 0.05
    """Decoupled weight decay, of all weights."""
    clip_norm: float = 100.0
    """Largest norm of all gradients together; 0 leaves them as they are."""
    patience: int = 0
    """Stop after so many epochs without a lower validation loss; 0 never."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder and what is done with it."""

    seed: int = 0
    """Seed of showers, weights and order."""
    runs: Path = Path("runs")
    """Folder in which the run folder is made."""
    name: str | None = None
    """Name in the run folder's name; by default the task and its models."""
    resume: Path | None = None
    """Go on with this run; if it is finished, score it again. Its own options hold,
    except --data-dir."""


@dataclasses.dataclass(frozen=True)
class Options:
    """All options of a run.

    Args:
        data, model, optimisation, run, keeping: the groups that `--help` shows.

    Example:
        >>> Options().model.models
        ('lstm', 'cnn')
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

    def check(self) -> None:
        """Check every value's range, and what excludes each other.

        Raises:
            UsageError: the first option that cannot be meant.
        """
        reading.check_ranges(self, _RANGES)
        models, sizes = self.model.models, self.model.hidden_sizes
        if not models or len(set(models)) < len(models):
            raise UsageError("--models needs one name or several different ones")
        if not sizes or len(sizes) != len(self.model.output_sizes):
            raise UsageError(
                "--hidden-sizes and --output-sizes need a size for each recurrent "
                f"layer, not {len(sizes)} and {len(self.model.output_sizes)}"
            )
        if self.optimisation.batch_size > self.data.showers:
            raise UsageError(
                f"--batch-size {self.optimisation.batch_size} is larger than "
                f"--showers {self.data.showers}"
            )


_RANGES: dict[str, tuple[float, float]] = {
    **KEEPING_RANGES,
    "showers": (100, reading.MANY),
    "test_showers": (100, reading.MANY),
    "hidden_sizes": (1, reading.MANY),
    "output_sizes": (1, reading.MANY),
    "features": (1, reading.MANY),
    "l2": (0, 1),
    "dropout": (0, 0.99),
    "epochs": (1, reading.MANY),
    "batch_size": (1, reading.MANY),
    "learning_rate": (1e-9, 10),
    "warmup": (0, 0.9),
    "weight_decay": (0, 1),
    "clip_norm": (0, reading.MANY),
    "patience": (0, reading.MANY),
    "seed": (0, 2**31 - 1),
}


BEFORE = {"weight_decay": 0.05}
"""What runs did before an option was there, by its name."""


def parse(words: list[str]) -> Options:
    """Read the words behind `showers`.

    Args:
        words: what was typed there.

    Returns:
        The checked options.

    Raises:
        UsageError: an option or a value is unknown, mistyped or out of range.
        SystemExit: `--help` was asked for.

    Example:
        >>> parse(["--models", "gru"]).model.models
        ('gru',)
    """
    options = reading.read_words(words, Options(), prog=PROG, description=_DESCRIPTION)
    options.check()
    reading.check_resumed(options, Options(), may_change=("data_dir",))
    return options


def from_json(content: dict[str, Any]) -> Options:
    """Rebuild the options that `custom_lstm.options.to_json` wrote.

    Raises:
        UsageError: an option is missing, unknown or out of range.

    Example:
        >>> from_json(reading.to_json(Options())) == Options()
        True
    """
    return reading.restore({**BEFORE, **content}, Options(), parse)
