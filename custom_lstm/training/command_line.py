"""The command line: words to checked options, mistakes to one line.

This module imports neither Keras nor TensorFlow, so that `train.py --help` and
mistyped options answer at once.
"""

import argparse
import contextlib
import difflib
import io
import itertools
import re
import sys
from collections.abc import Iterable
from typing import Any

import tyro

from custom_lstm.errors import UsageError
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
    preset = _preset(argv)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            config, unknown = tyro.cli(
                Config,
                args=argv,
                default=PRESETS[preset],
                prog="train.py",
                description=_DESCRIPTION,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_one_line(complaint.getvalue())) from None
    for word in unknown:
        raise UsageError(f"unknown option {word}{_nearest(word, _option_names())}")
    config.check()
    if config.run.resume is not None:
        _check_resume(config, PRESETS[preset])
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
    lacking = set(Config().flat()) - set(options)
    if lacking:
        raise UsageError(f"options are missing: {', '.join(sorted(lacking))}")
    return parse([word for item in options.items() for word in _as_words(*item)])


def _as_words(name: str, value: Any) -> list[str]:
    """Write one option as the command line would have it."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, list | tuple):
        return [f"--{option}", *map(str, value)]
    return [f"--{option}={value}"]


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
            f"{_nearest(name, PRESETS)}"
        )
    return name


def _check_resume(config: Config, default: Config) -> None:
    ours, theirs = config.flat(), default.flat()
    for name in ours:
        if name not in _KEPT_ON_RESUME and ours[name] != theirs[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} cannot change on --resume: the run's own "
                "options hold; only --lengths and --images may be given"
            )


def _option_names() -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in Config().flat()]


def _nearest(word: str, valid: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {match[0]}?" if match else ""


def _one_line(panel: str) -> str:
    """Return the sentence inside tyro's framed complaint, with a suggestion."""
    lines = [line.strip(" │╭╮╰╯─\n") for line in panel.splitlines()[1:]]
    sentence = " ".join(itertools.takewhile(bool, lines))
    choice = re.search(r"invalid choice '(.*?)'.*?Expected one of \((.*)\)", sentence)
    if choice:
        sentence += _nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))
    return sentence
