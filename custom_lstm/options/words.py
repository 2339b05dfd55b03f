"""From the words of a command line to options."""

import argparse
import contextlib
import io
import re
from collections.abc import Mapping, Sequence

import tyro

from custom_lstm.described import described, plain
from custom_lstm.errors import UsageError
from custom_lstm.options.names import Options, flat, kinds, nearest, spelled
from custom_lstm.tyro_text import colours_as_asked, filled, sentence, unparsed


def read_words(
    words: Sequence[str], default: Options, *, prog: str, description: str
) -> Options:
    """Read options from the words of a command line.

    Args:
        words: what was typed behind the program's name.
        default: what holds where nothing was typed; of the dataclass to return.
        prog: the program's name, for its help.
        description: what it does, for its help; lines of its first paragraph are
            broken anew, those of others begin with a space and stay as they are.

    Returns:
        A copy of `default` with what was typed in place.

    Raises:
        UsageError: an option or value is unknown or mistyped.
        SystemExit: `--help` was asked for.

    Example:

    >>> from custom_lstm.training.config import Data
    >>> read_words(["--length", "6"], Data(), prog="digits", description="").length
    6
    """
    if words and words[0].startswith("--tyro-"):
        raise UsageError(f"{words[0]} must stand alone behind train.py")
    complaint, shown = io.StringIO(), described(default)
    try:
        with contextlib.redirect_stderr(complaint), colours_as_asked():
            options, unknown = tyro.cli(
                type(shown),
                args=list(words),
                default=shown,
                prog=prog,
                description=filled(description),
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        said = sentence(complaint.getvalue())
        better = unparsed(said, words, kinds(default))
        raise UsageError(better or _suggesting(said)) from None
    for word in unknown:
        raise UsageError(
            f"unknown option {word}{nearest(word, map(spelled, flat(default)))}"
        )
    return plain(options, default)


def preset_in(words: Sequence[str], presets: Mapping[str, Options]) -> Options:
    """Return the options that `--preset` names among `words`.

    Args:
        words: what was typed behind the program's name.
        presets: options by name; the first holds where none is named.

    Raises:
        UsageError: there is no such preset.

    Example:

    >>> preset_in(["--preset", "high"], {"low": 1, "high": 9})
    9
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default=next(iter(presets)))
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            name = parser.parse_known_args(words)[0].preset
    except SystemExit:
        raise UsageError(f"--preset needs one of {', '.join(presets)}") from None
    if name not in presets:
        raise UsageError(
            f"--preset must be one of {', '.join(presets)}, not {name}"
            f"{nearest(name, presets)}"
        )
    return presets[name]


def _suggesting(complaint: str) -> str:
    """Add the valid choice that was meant, if the complaint is of a choice."""
    choice = re.search(r"invalid choice '(.*?)'.*?Expected one of \((.*)\)", complaint)
    if choice:
        complaint += nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))
    return complaint
