"""The main job's command line: words to checked options."""

import dataclasses
import sys
from typing import Any

from custom_lstm.options import check_resumed, preset_in, read_words, restore
from custom_lstm.training.config import BEFORE, PRESETS, Config
from custom_lstm.training.parallel import Parallel

_MAY_CHANGE = (
    "lengths",
    "images",
    *(field.name for field in dataclasses.fields(Parallel)),
)
_DESCRIPTION = """Train a network that reads handwritten digits one after the other
and says their alternating sum, +d1 -d2 +d3 ..., after each.

 Other tasks, each with its own --help:
   train.py count-ones    count the ones in strings of bits
   train.py showers       read showers in a calorimeter
   train.py walk-through  add each number to the one before
   train.py compare       table and curves of finished runs
 Tab completion, in bash and for ./train.py:
   source <(python train.py --tyro-print-completion bash)"""


def parse(argv: list[str] | None = None) -> Config:
    """Read the command line.

    Args:
        argv: the words after the program's name; by default `sys.argv[1:]`.

    Returns:
        The checked options.

    Raises:
        UsageError: an option or a value is unknown, mistyped or out of range.
        SystemExit: `--help` was asked for.

    Example:

    >>> parse(["--length", "6"]).data.length
    6
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    default = preset_in(argv, PRESETS)
    config = read_words(argv, default, prog="train.py", description=_DESCRIPTION)
    config.check()
    check_resumed(config, default, may_change=_MAY_CHANGE)
    return config


def from_json(options: dict[str, Any]) -> Config:
    """Rebuild the options that `Config.to_json` wrote.

    Args:
        options: every option by name, but for those of `BEFORE`, newer than the run.

    Raises:
        UsageError: an option is missing, unknown or out of range.

    Example:

    >>> from_json(Config().to_json()) == Config()
    True
    """
    return restore({**BEFORE, **options}, Config(), parse)
