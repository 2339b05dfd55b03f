"""Options of a command: one frozen dataclass, from words and JSON and back.

A field of the dataclass is an option, its docstring the help; a field that is itself
a frozen dataclass is a group of options. No name stands in two groups. This module
imports neither Keras nor TensorFlow, so that `--help` and mistyped options answer at
once.
"""

import argparse
import contextlib
import dataclasses
import difflib
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from custom_lstm.described import described, plain
from custom_lstm.errors import UsageError
from custom_lstm.tyro_text import colours_as_asked, filled, sentence

Options = TypeVar("Options")
MANY = 10**9
"""The upper end of a range that has none."""


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
        raise UsageError(_suggesting(sentence(complaint.getvalue()))) from None
    for word in unknown:
        raise UsageError(
            f"unknown option {word}{nearest(word, map(spelled, flat(default)))}"
        )
    return plain(options, default)


def flat(options: Any) -> dict[str, Any]:
    """Return every option by name, whichever group it stands in.

    Example:

    >>> from custom_lstm.training.config import Config
    >>> flat(Config())["units"]
    256
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        found |= flat(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return found


def to_json(options: Any) -> dict[str, Any]:
    """Return every option by name, in JSON's types."""

    def json_of(value):
        if isinstance(value, tuple):
            return [json_of(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    return {name: json_of(value) for name, value in flat(options).items()}


def to_words(content: Mapping[str, Any], default: Any) -> list[str]:
    """Return the command line that asks for what `to_json` wrote.

    Args:
        content: every option by name.
        default: options whose names `content` must have.

    Raises:
        UsageError: an option is missing or unknown, or a value no command line can
            hold.

    Example:

    >>> to_words({"steps": 5, "loud": False}, None)
    ['--steps=5', '--no-loud']
    """
    names = set(flat(default) if default else content)
    if lacking := names - set(content):
        raise UsageError(f"options are missing: {', '.join(sorted(lacking))}")
    if unknown := set(content) - names:
        name = min(unknown)[:40]
        raise UsageError(f"unknown option {spelled(name)!r}{nearest(name, names)}")
    return [word for item in content.items() for word in _as_words(*item)]


def restore(
    content: Mapping[str, Any], default: Any, parse: Callable[[list[str]], Options]
) -> Options:
    """Rebuild options that `to_json` wrote, from a file that nobody vouches for.

    Args:
        content: every option by name.
        default: options whose names `content` must have.
        parse: reads options from words, and checks them.

    Returns:
        Options of which `to_json` makes the same `content`.

    Raises:
        UsageError: there are none.

    Example:

    >>> from custom_lstm.training.command_line import Config, parse
    >>> restore(to_json(Config()), Config(), parse) == Config()
    True
    """
    words = to_words(content, default)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            options = parse(words)
    except SystemExit:
        raise UsageError("one of the options asks for help, which none can") from None
    for name, value in to_json(options).items():
        if content[name] != value:
            raise UsageError(f"{spelled(name)} cannot be {content[name]!r:.80}")
    return options


def check_ranges(options: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check every number's range; None is in all of them.

    Args:
        options: the options.
        ranges: least and largest value by name; for a tuple, of each member.

    Raises:
        UsageError: names the first option that is out of range.
    """
    values = flat(options)
    for name, (low, high) in ranges.items():
        value = values[name]
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not low <= number <= high:
                bounds = f"{low} or more" if high == MANY else f"{low} to {high}"
                raise UsageError(f"{spelled(name)} must be {bounds}, not {number}")


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


def check_resumed(options: Any, default: Any, may_change: Sequence[str]) -> None:
    """Check that options given beside `--resume` are among those that may change.

    Args:
        options: what was asked for; has an option `resume`.
        default: what holds where nothing was typed.
        may_change: names of the options that may be given.

    Raises:
        UsageError: names the first other option that was given.
    """
    asked, held = flat(options), flat(default)
    if asked["resume"] is None:
        return
    for name in asked:
        if name not in {"resume", *may_change} and asked[name] != held[name]:
            allowed = " and ".join(map(spelled, may_change)) or "nothing else"
            raise UsageError(
                f"{spelled(name)} cannot change on --resume: the run's own options "
                f"hold; only {allowed} may be given"
            )


def spelled(name: str) -> str:
    """Return an option's name as one types it."""
    return f"--{name.replace('_', '-')}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a question for the valid word that `word` may have meant, or nothing."""
    match = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {match[0]}?" if match else ""


def _as_words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [spelled(name if value else f"no_{name}")]
    parts = list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]
    for part in parts:
        if "\0" in part or not _can_be_typed(part):
            raise UsageError(f"{spelled(name)} cannot be {part!r:.80}")
    if not isinstance(value, list | tuple):
        return [f"{spelled(name)}={value}"]
    if options := [part for part in parts if part.startswith("--")]:
        raise UsageError(f"{spelled(name)} cannot be {options[0]!r:.80}")
    return [spelled(name), *parts]


def _can_be_typed(word: str) -> bool:
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True


def _suggesting(complaint: str) -> str:
    """Add the valid choice that was meant, if the complaint is of a choice."""
    choice = re.search(r"invalid choice '(.*?)'.*?Expected one of \((.*)\)", complaint)
    if choice:
        complaint += nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))
    return complaint
