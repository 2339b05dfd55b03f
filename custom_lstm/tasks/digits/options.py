"""Options of the task `digits`; read without Keras."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from custom_lstm import config
from custom_lstm.config import (
    Count,
    LearningRate,
    Norm,
    Positive,
    Share,
    flat,
    options,
)
from custom_lstm.errors import UsageError
from custom_lstm.tasks.cell_names import CellName
from custom_lstm.training.options import CheckpointOptions, Parallel, RunOptions

POOLS = ("mnist", "digits")
SYMBOLS = 16
"""Of networks of carousels, where nothing is given."""
CAROUSELS = {
    "features": 128,
    "units": 24,
    "head": "value",
    "loss": "cauchy",
    "learning_rate": 0.01,
    "warmup": 0.1,
    "weight_decay": 0.0,
}
"""What holds with `--recurrent carousel` and symbols, where nothing is given."""
WITHOUT_SYMBOLS = {**CAROUSELS, "features": 64, "units": 64, "warmup": 0.25}
"""The same without symbols."""
CLASSIFIER = {
    "features": 128,
    "units": 256,
    "head": "totals",
    "loss": "squared",
    "learning_rate": 0.004,
    "warmup": 0.25,
    "weight_decay": 0.05,
}
"""The same with any other core. `Config`'s help has all these numbers too."""
EPOCHS = {
    "mnist": {"symbols": 8, "features": 14, "classifier": 28},
    "digits": {"symbols": 40, "features": 55, "classifier": 55},
}
"""Epochs by pool, of carousels with symbols and without, and of any other core."""
DIGITS_IN_A_STEP = {"mnist": 256, "digits": 64}
"""Digits in a step when no batch size is given, for each network, by pool: as many
steps an epoch at every length up to the next number."""
LONGEST_FULL_STEP = 6.25
"""Length from which on steps hold fewer digits, as much as this is shorter: the sum of
many is learned in steps, not in digits. Gives 64, 42 and 16 sequences of MNIST at
lengths 4, 6 and 10, as `benchmarks/LOG.md` has them."""


@options
class Data:
    """Digits and the sequences made of them."""

    data: Literal["auto", "mnist", "digits"] = "auto"
    """Where digits come from: MNIST, scikit-learn's embedded digits, or auto:
    MNIST if it is prepared or its host answers, else the embedded ones."""
    data_dir: Path | None = None
    """TFDS folder of MNIST; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""
    length: Positive = 4
    """Digits in a sequence."""
    start: Literal[1, -1] = 1
    """Sign of the first digit; signs alternate from there."""
    augment: bool = True
    """Warp the training digits a little, differently in each epoch."""
    shift: Annotated[float, Field(ge=0, le=14)] = 1.5
    """Largest shift in pixels."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 8.0
    """Largest rotation in degrees."""
    zoom: Annotated[float, Field(ge=0, le=0.9)] = 0.08
    """Largest change of size, as a share."""
    shear: Share = 0.08
    """Largest shear, as a share."""
    elastic: Annotated[float, Field(ge=0, le=10)] = 2.0
    """Pixels by which a smooth random field bends the strokes."""
    augment_decay: Share = 0.0
    """Share of the steps, at the end, in which these warps shrink to none."""


@options
class Model:
    """Encoder, recurrent core and head."""

    filters: Annotated[tuple[Positive, ...], Field(min_length=1)] = (16, 48, 64, 96)
    """Filters of each convolution block."""
    features: Count | None = None
    """Width of the encoder's dense layer; 0 leaves it out. By default 128, of carousels
    without symbols 64."""
    pooling: Literal["flatten", "global"] = "flatten"
    """How the last feature map becomes a vector."""
    dropout: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Share of the pooled features dropped in training."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers in the encoder; bfloat16 is faster where the CPU has it, if the
    filters are multiples of 16."""
    recurrent: CellName = "carousel"
    """An LSTM part of which only adds, CarouselLSTMCell, so that totals hold at any
    length; cell, layer or keras: Keras's RNN around custom_lstm.LSTMCell,
    custom_lstm.LSTM, or Keras's LSTM, which know the totals of one length; or any other
    cell of the catalogue by its name, such as gru."""
    units: Positive | None = None
    """Units of the LSTM; by default 24 carousels and others with symbols, 64 without,
    256 of another LSTM."""
    head: Literal["value", "totals"] | None = None
    """One number, or softmax over all totals of the length; by default what suits
    --recurrent: carousels need value, others have totals."""
    loss: Literal["squared", "cauchy"] | None = None
    """What trains --head value: squared error, or log(1 + (2·error)²), to which digits
    that are misread matter less; by default cauchy with carousels."""
    symbols: Count | None = None
    """With --recurrent carousel: symbols, of which the encoder chooses one for each
    digit, learned from totals alone by a loss of their own, instead of --loss. 0 passes
    its features on. By default 16."""
    ensemble_size: Annotated[int, Field(ge=1, le=100)] = 1
    """Networks whose answers are averaged; each learns from its share of a batch."""
    views: Literal[1, 5, 9] = 5
    """Average each digit's features in the finished model: over 1 view; 5, also
    shifted by a pixel each way; or 9, also turned by 6° and zoomed by 6 %."""


@options
class Optimisation:
    """How the weights are found."""

    loop: Literal["fit", "custom"] = "fit"
    """Keras's compile/fit, or the custom loop; both reach the same weights."""
    epochs: Positive | None = None
    """Passes of each network over the training digits; by default 8 for MNIST and 40
    for the embedded digits; 14 and 55 without symbols, 28 and 55 with another core
    than carousels."""
    batch_size: Positive | None = None
    """Sequences in a step; by default, for each network, 64 of MNIST or 16 of the
    embedded digits at length 4, and fewer longer ones."""
    learning_rate: LearningRate | None = None
    """Peak of Adam's one-cycle learning rate; by default 0.01 with carousels, else
    0.004."""
    warmup: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """Share of the steps in which the rate rises; it falls to 0 after. By default 0.1
    with symbols, else 0.25."""
    weight_decay: Share | None = None
    """Decoupled weight decay; by default 0 with carousels, else 0.05."""
    clip_norm: Norm = 0.0
    """Largest norm of all gradients together; 0 leaves them as they are."""
    patience: Count = 0
    """Stop after this many epochs without a lower validation loss; 0 never."""


@options
class Run(RunOptions):
    """The run folder and what is done with it."""

    preset: Literal["default", "best"] = "default"
    """Defaults of all the options here: default, a small network that adds up as many
    digits as it is given; or best: six of them that vote, with nine views."""
    resume: Path | None = None
    """Resume this run; if it is finished, score it or read --images. Its own options
    hold, except --lengths, --images, --data-dir and those of devices."""
    lengths: tuple[Positive, ...] = ()
    """Lengths to score after training; by default the training length."""
    images: tuple[Path, ...] = ()
    """With --resume: one digit per image file, in order; prints their total."""
    tensorboard: bool = True
    """Write TensorBoard logs into the run folder."""


@options
class Config(config.Options):
    """All options of a run.

    Args:
        data, model, optimisation, run, checkpoints, parallel: what `--help` shows.

    Example:
        >>> Config.parse(["--length", "6"]).data.length
        6
        >>> Config().replace(units=0)
        Traceback (most recent call last):
        ...
        custom_lstm.errors.UsageError: --units must be 1 or more, not 0
    """

    data: Data = Data()
    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()
    checkpoints: CheckpointOptions = CheckpointOptions()
    parallel: Parallel = Parallel()

    task = "digits"
    entry = "custom_lstm.tasks.digits.task:Digits.main"
    summary = "add and subtract handwritten digits; needs no name"
    description = """Train a network that reads handwritten digits one after the other
    and gives their alternating sum, +d1 -d2 +d3 ..., after each."""
    presets = {
        "default": {},
        "best": {"preset": "best", "ensemble_size": 6, "views": 9},
    }
    may_change = (
        "lengths",
        "images",
        "data_dir",
        *(field.name for field in dataclasses.fields(Parallel)),
    )
    renamed = {"members": "ensemble_size", "settle": "augment_decay"}
    added = {"augment_decay": 0.0, "loss": "squared", "symbols": 0}
    curve = "val_exact"

    def __post_init__(self) -> None:
        """Check what groups exclude in each other."""
        if self.run.images and self.run.resume is None:
            raise UsageError("--images needs --resume RUN, a finished run")
        model = self.model
        adds = model.recurrent == "carousel"
        head = model.head or ("value" if adds else "totals")
        if adds and head == "totals":
            raise UsageError(
                "--head totals needs another --recurrent than carousel, such as cell"
            )
        if model.loss == "cauchy" and head == "totals":
            raise UsageError("--loss cauchy needs --head value, not totals")
        if model.symbols and not adds:
            raise UsageError(
                f"--symbols needs --recurrent carousel, not {model.recurrent}"
            )

    @classmethod
    def updated(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return options from JSON; what was --preset any-length is the default."""
        content = super().updated(content)
        if content.get("preset") == "any-length":
            content["preset"] = "default"
        return content

    def resolve_defaults(self, data: str) -> Self:
        """Return a copy in which every option has a value.

        What is left out follows the core, its symbols, and the digits.

        Args:
            data: `"mnist"` or `"digits"`.
        """
        model, networks = self.model, self.model.ensemble_size
        adds = model.recurrent == "carousel"
        symbols = model.symbols
        if symbols is None:
            symbols = SYMBOLS if adds else 0
        kind = "symbols" if symbols else "features" if adds else "classifier"
        usual = CAROUSELS if symbols else WITHOUT_SYMBOLS if adds else CLASSIFIER
        fewer = min(1, LONGEST_FULL_STEP / self.data.length)
        sequences = max(1, int(fewer * DIGITS_IN_A_STEP[data] / self.data.length))
        size = networks * sequences
        usual = {**usual, "epochs": EPOCHS[data][kind], "batch_size": size}
        given = flat(self)
        left = {name: usual[name] for name in usual if given[name] is None}
        return self.replace(data=data, symbols=symbols, **left)

    def resumed_with(self, asked: Self) -> Self:
        """Return a run's options with those given with `--resume`, and its devices."""
        return super().resumed_with(asked).replace(**vars(asked.parallel))

    @staticmethod
    def headline(
        scores: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, dict[str, str]]:
        """Return the scores at the training length, or else the first one scored."""
        length = str(options["length"])
        shown = length if length in scores else next(iter(scores))
        where = "" if shown == length else f" at {shown}"
        part = scores[shown]
        return {
            "": {
                "exact %": f"{100 * part['exact']:.2f}{where}",
                "MAE": f"{part['mae']:.3f}{where}",
                "one digit %": f"{100 * part['digit_accuracy']:.2f}",
            }
        }
