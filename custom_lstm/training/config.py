"""Every option of the main job, once: the command line is made from this."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from custom_lstm import options as reading
from custom_lstm.errors import UsageError
from custom_lstm.training.keeping import KEEPING_RANGES, Keeping
from custom_lstm.training.parallel import Parallel


@dataclasses.dataclass(frozen=True)
class Data:
    """Digits and the sequences made of them."""

    data: Literal["auto", "mnist", "digits"] = "auto"
    """Where digits come from: MNIST, scikit-learn's embedded digits, or auto:
    MNIST if it is prepared or its host answers, else the embedded ones."""
    data_dir: Path | None = None
    """TFDS folder of MNIST; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""
    length: int = 4
    """Digits in a sequence."""
    start: Literal[1, -1] = 1
    """Sign of the first digit; signs alternate from there."""
    augment: bool = True
    """Warp the training digits a little, anew each epoch."""
    shift: float = 1.5
    """Largest shift in pixels."""
    rotate: float = 8.0
    """Largest rotation in degrees."""
    zoom: float = 0.08
    """Largest change of size, as a share."""
    shear: float = 0.08
    """Largest shear, as a share."""
    elastic: float = 2.0
    """Pixels by which a smooth random field bends the strokes."""
    settle: float = 0.0
    """Share of the steps, at the end, in which these warps shrink to none."""


@dataclasses.dataclass(frozen=True)
class Model:
    """Encoder, recurrent core and head."""

    filters: tuple[int, ...] = (16, 48, 64, 96)
    """Filters of each convolution block."""
    features: int = 128
    """Width of the encoder's dense layer; 0 leaves it out."""
    pooling: Literal["flatten", "global"] = "flatten"
    """How the last feature map becomes a vector."""
    dropout: float = 0.0
    """Share of the pooled features dropped in training."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers in the encoder; bfloat16 is faster where the CPU has it, if the
    filters are multiples of 16."""
    recurrent: Literal["cell", "layer", "keras"] = "cell"
    """Keras's RNN around our LSTMCell, our LSTM layer, or Keras's LSTM."""
    units: int = 256
    """Units of the LSTM."""
    head: Literal["totals", "value"] = "totals"
    """Softmax over all possible totals, or one number with squared error."""
    members: int = 1
    """Such networks that vote on each total; each learns from its share of a batch."""
    views: Literal[1, 5, 9] = 5
    """Average each digit's features in the finished model: over 1 view; 5, also
    shifted by a pixel each way; or 9, also turned by 6° and zoomed by 6 %."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How the weights are found."""

    loop: Literal["fit", "custom"] = "fit"
    """Keras's compile/fit, or our own loop; both reach the same weights."""
    epochs: int | None = None
    """Passes of each member over the training digits; by default what suits data."""
    batch_size: int | None = None
    """Sequences in a step; by default what suits data, length and members."""
    learning_rate: float = 0.004
    """Peak of Adam's one-cycle learning rate."""
    warmup: float = 0.25
    """Share of the steps in which the rate rises; it falls to 0 after."""
    weight_decay: float = 0.05
    """Decoupled weight decay."""
    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0 leaves them as they are."""
    patience: int = 0
    """Stop after so many epochs without a lower validation loss; 0 never."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder and what is done with it."""

    preset: Literal["default", "best"] = "default"
    """Defaults of all the options here: default, or best: six networks that vote."""
    seed: int = 0
    """Seed of weights, order of digits and warps."""
    runs: Path = Path("runs")
    """Folder in which the run folder is made."""
    name: str | None = None
    """Name in the run folder's name; by default data, length and head."""
    resume: Path | None = None
    """Go on with this run; if it is finished, score it or read --images.
    Its own options hold, except --lengths, --images and those of devices."""
    lengths: tuple[int, ...] = ()
    """Lengths to score after training; by default the training length."""
    images: tuple[Path, ...] = ()
    """With --resume: one digit per image file, in order; says their total."""
    tensorboard: bool = True
    """Write TensorBoard logs into the run folder."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All options of a run.

    Args:
        data, model, optimisation, run, keeping, parallel: what `--help` shows.

    Example:

    >>> Config().data.length
    4
    """

    data: Data = Data()
    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()
    keeping: Keeping = Keeping()
    parallel: Parallel = Parallel()

    def replace(self, **options: Any) -> "Config":
        """Return a copy with these options, by name, instead of ours."""
        groups = {}
        for group in dataclasses.fields(self):
            values = getattr(self, group.name)
            ours = {k: v for k, v in options.items() if k in vars(values)}
            groups[group.name] = dataclasses.replace(values, **ours)
        return Config(**groups)

    def settled(self, data: str) -> "Config":
        """Return a copy in which nothing depends any more on the digits used.

        Args:
            data: `"mnist"` or `"digits"`.
        """
        options, members = self.optimisation, self.model.members
        fewer = min(1, LONGEST_FULL_STEP / self.data.length)
        sequences = max(1, int(fewer * DIGITS_IN_A_STEP[data] / self.data.length))
        return self.replace(
            data=data,
            epochs=options.epochs or EPOCHS[data],
            batch_size=options.batch_size or members * sequences,
        )

    @property
    def resume(self) -> Path | None:
        """The run folder to go on with, if any."""
        return self.run.resume

    def to_json(self) -> dict[str, Any]:
        """Return every option by name, in JSON's types."""
        return reading.to_json(self)

    def check(self) -> None:
        """Check every value's range.

        Raises:
            UsageError: the first option that is out of range.
        """
        reading.check_ranges(self, _RANGES)
        if not self.model.filters:
            raise UsageError("--filters needs at least one number")
        if self.run.images and self.run.resume is None:
            raise UsageError("--images needs --resume RUN, a finished run")
        self.parallel.check()


PRESETS: dict[str, Config] = {
    "default": Config(),
    "best": Config().replace(members=6, views=9),
}
_RANGES: dict[str, tuple[float, float]] = {
    **KEEPING_RANGES,
    "length": (1, reading.MANY),
    "shift": (0, 14),
    "rotate": (0, 180),
    "zoom": (0, 0.9),
    "shear": (0, 1),
    "elastic": (0, 10),
    "settle": (0, 1),
    "filters": (1, reading.MANY),
    "features": (0, reading.MANY),
    "dropout": (0, 0.99),
    "units": (1, reading.MANY),
    "members": (1, 100),
    "epochs": (1, reading.MANY),
    "batch_size": (1, reading.MANY),
    "learning_rate": (1e-9, 10),
    "warmup": (0, 0.9),
    "weight_decay": (0, 1),
    "clip_norm": (0, reading.MANY),
    "patience": (0, reading.MANY),
    "seed": (0, 2**31 - 1),
    "lengths": (1, reading.MANY),
    "devices": (1, reading.MANY),
    "processes": (1, reading.MANY),
    "process_id": (0, reading.MANY),
}
BEFORE: dict[str, Any] = {"settle": 0.0}
"""What runs did before an option was there, by its name: such a run's file lacks it."""
EPOCHS = {"mnist": 28, "digits": 55}
"""Epochs when none are asked for, by pool."""
DIGITS_IN_A_STEP = {"mnist": 256, "digits": 64}
"""Digits in a step when no batch size is asked for, for each member, by pool: as many
steps an epoch at every length up to the next number."""
LONGEST_FULL_STEP = 6.25
"""Length from which on steps hold fewer digits, as much as this is shorter: the sum of
many is learned in steps, not in digits. Gives 64, 42 and 16 sequences of MNIST at
lengths 4, 6 and 10, as `benchmarks/LOG.md` has them."""
