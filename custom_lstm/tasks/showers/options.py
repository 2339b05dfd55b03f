"""Options of the task `showers`; read without Keras."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from custom_lstm import config
from custom_lstm.config import (
    MANY,
    Count,
    LearningRate,
    Norm,
    Positive,
    Share,
    options,
)
from custom_lstm.errors import UsageError
from custom_lstm.tasks.cell_names import CellName
from custom_lstm.training.options import CheckpointOptions, RunOptions


@options
class Data:
    """The showers."""

    showers: Annotated[int, Field(ge=100, le=MANY)] = 20_000
    """Showers to train on."""
    test_showers: Annotated[int, Field(ge=100, le=MANY)] = 4_000
    """Showers to score; half as many are for validation."""
    mirror: bool = True
    """Mirror training showers at random, as the detector's symmetry allows."""
    data_dir: Path | None = None
    """Folder of the TFRecords; by default in the user's cache."""


@options
class Model:
    """The networks."""

    models: tuple[CellName, ...] = ("lstm", "cnn")
    """What to train and compare: a RecurrentBlock with cells of this name (lstm, gru,
    simple, peephole, layer_norm, coupled, zoneout, or another that
    custom_lstm.cells.get knows), or cnn, a plain CNN."""
    hidden_sizes: tuple[Positive, ...] = (48,)
    """Hidden size of each recurrent layer."""
    output_sizes: tuple[Positive | None, ...] = (8,)
    """Output size of each recurrent layer; None returns its hidden state itself."""
    output: Literal["aggregate", "vector"] = "aggregate"
    """What the head sees of the block: the outputs of all slices, or the last."""
    features: Positive = 32
    """Width of what the encoder makes of a slice."""
    l2: Share = 0.0
    """Weight of the L2 penalty on the recurrent layers' weights."""
    dropout: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Share of the recurrent layers' inputs dropped in training."""
    layer_norm: bool = False
    """Normalise the hidden states."""


@options
class Optimisation:
    """How the weights are found."""

    epochs: Positive = 30
    """Passes over the training showers, for each model."""
    batch_size: Positive = 64
    """Showers in a step."""
    learning_rate: LearningRate = 0.003
    """Peak of Adam's one-cycle learning rate."""
    warmup: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    """Share of the steps in which the rate rises; it falls to 0 after."""
    weight_decay: Share = 0.05
    """Decoupled weight decay, of all weights."""
    clip_norm: Norm = 100.0
    """Largest norm of all gradients together; 0 leaves them as they are."""
    patience: Count = 0
    """Stop after this many epochs without a lower validation loss; 0 never."""


@options
class Options(config.Options):
    """All options of a run.

    Args:
        data, model, optimisation, run, checkpoints: the groups that `--help` shows.

    Example:
        >>> Options.parse(["--models", "gru"]).model.models
        ('gru',)
    """

    data: Data = Data()
    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: RunOptions = RunOptions()
    checkpoints: CheckpointOptions = CheckpointOptions()

    task = "showers"
    entry = "custom_lstm.tasks.showers.task:Showers.main"
    summary = "read showers in a calorimeter"
    description = """Train a network that looks at 40 slices of a shower in a
    calorimeter and says what hit it, how hard and where; beside it a plain CNN."""
    may_change = ("data_dir",)
    added = {"weight_decay": 0.05}
    curve = "val_loss"

    def __post_init__(self) -> None:
        """Check what groups exclude in each other."""
        models, sizes = self.model.models, self.model.hidden_sizes
        if not models or len(set(models)) < len(models):
            raise UsageError("--models needs at least one name, and none twice")
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

    @staticmethod
    def headline(
        scores: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, dict[str, str]]:
        """Return each network's errors, and the share of kinds that are right."""
        names = {"energy": "energy error %", "kind": "kind %"}
        names |= {axis: f"{axis} error %" for axis in "xyz"}
        return {
            model: {name: f"{scores[model][key]:.2f}" for key, name in names.items()}
            for model in options["models"]
            if model in scores
        }
