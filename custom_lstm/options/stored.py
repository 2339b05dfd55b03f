"""Options in JSON, and back from a file that nobody vouches for."""

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from custom_lstm.errors import UsageError
from custom_lstm.options.names import Options, flat, nearest, spelled


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
