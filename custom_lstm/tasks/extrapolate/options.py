"""Options of `extrapolate`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from custom_lstm import config
from custom_lstm.config import Positive, Seed, options


@options
class Options(config.Options):
    """All options.

    Example:
        >>> Options.parse(["runs/mine", "--longest", "200"]).longest
        200
    """

    folders: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]")
    ] = ()
    """Finished runs that add and subtract digits."""
    longest: Positive = 1000
    """Digits in a sequence."""
    sequences: Positive = 20
    """How many sequences are drawn, none of which has a digit twice; and ten times as
    many for the first tenth of the positions, and so on."""
    seed: Seed = 0
    """Draws the sequences."""
    picture: Path | None = None
    """Where the picture goes; by default extrapolation.png in the folder that the first
    run lies in. A file of the same name with .json has the numbers."""
    style: Literal["light", "dark"] = "light"
    """Background of the picture."""
    data_dir: Path | None = None
    """TFDS folder of MNIST; by default the run's, TFDS_DATA_DIR or
    ~/tensorflow_datasets."""

    task = "extrapolate"
    entry = "custom_lstm.tasks.extrapolate.task:main"
    summary = "how totals of digits hold at lengths never trained"
    description = """Let finished runs of digits add up the same long sequences, and
    draw after how many digits their totals still hold, beside p^t: what a network
    would reach that reads single digits as well, with a share p right, and adds
    without a mistake."""
