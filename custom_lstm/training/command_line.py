"""The main job's command line: words to checked options."""

import argparse
import sys
from typing import Any

from custom_lstm.errors import UsageError
from custom_lstm.options import flat, nearest, read_words, spelled, to_words
from custom_lstm.training.config import PRESETS, Config

_KEPT_ON_RESUME = {"resume", "lengths", "images"}
_DESCRIPTION = """Train a network that reads handwritten digits one after the other
and says their alternating sum, +d1 -d2 +d3 ..., after each."""


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
    default = PRESETS[_preset(argv)]
    config = read_words(argv, default, prog="train.py", description=_DESCRIPTION)
    config.check()
    if config.run.resume is not None:
        _check_resume(config, default)
    return config


def from_json(options: dict[str, Any]) -> Config:
    """Rebuild the options that `Config.to_json` wrote.

    Args:
        options: every option by name.

    Raises:
        UsageError: an option is missing, unknown or out of range.

    Example:

    >>> from_json(Config().to_json()) == Config()
    True
    """
    return parse(to_words(options, Config()))


def _preset(argv: list[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="default")
    try:
        name = parser.parse_known_args(argv)[0].preset
    except SystemExit:
        raise UsageError(f"--preset needs one of {', '.join(PRESETS)}") from None
    if name not in PRESETS:
        raise UsageError(
            f"--preset must be one of {', '.join(PRESETS)}, not {name}"
            f"{nearest(name, PRESETS)}"
        )
    return name


def _check_resume(config: Config, default: Config) -> None:
    ours, theirs = flat(config), flat(default)
    for name in ours:
        if name not in _KEPT_ON_RESUME and ours[name] != theirs[name]:
            raise UsageError(
                f"{spelled(name)} cannot change on --resume: the run's own "
                "options hold; only --lengths and --images may be given"
            )
