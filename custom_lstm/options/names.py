"""The options of a dataclass by name, and their names as one types them."""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Options = TypeVar("Options")


def flat(options: Any) -> dict[str, Any]:
    """Return every option by name, whichever group it stands in.

    Example:

    >>> from custom_lstm.training.config import Config
    >>> flat(Config())["units"]
    256
    """
    return {field.name: value for field, value in _fields(options)}


def kinds(options: Any) -> dict[str, Any]:
    """Return the type of every option by name.

    Example:

    >>> from custom_lstm.training.config import Config
    >>> kinds(Config())["units"]
    <class 'int'>
    """
    return {field.name: field.type for field, _ in _fields(options)}


def _fields(options: Any) -> Iterator[tuple[dataclasses.Field, Any]]:
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value)
        else:
            yield field, value


def spelled(name: str) -> str:
    """Return an option's name as one types it."""
    return f"--{name.replace('_', '-')}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a question for the valid word that `word` may have meant, or nothing."""
    match = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {match[0]}?" if match else ""
