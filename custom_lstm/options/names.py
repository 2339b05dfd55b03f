"""The options of a dataclass by name, and their names as one types them."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any


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


def spelled(name: str) -> str:
    """Return an option's name as one types it."""
    return f"--{name.replace('_', '-')}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a question for the valid word that `word` may have meant, or nothing."""
    match = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {match[0]}?" if match else ""
