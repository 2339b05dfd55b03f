"""What tyro reads and writes, made fit for people."""

import contextlib
import itertools
import os
import re
import shutil
import textwrap
import typing
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any

_WIDEST = 88
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def filled(description: str) -> str:
    """Break a description's first paragraph into lines that fit the terminal.

    Each begins with a space: tyro joins lines that begin with a letter.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    first, *others = description.split("\n\n")
    lines = textwrap.fill(first, width, initial_indent=" ", subsequent_indent=" ")
    return "\n\n".join([lines, *others])


def sentence(panel: str) -> str:
    """Return the sentence inside a framed complaint, without colours and full stop.

    Example:

    >>> sentence("╭ Error ────────╮\\n│ No such word. │\\n╰───────────────╯")
    'No such word'
    """
    _, *lines = _STYLE.sub("", panel).splitlines()
    inside = (line.strip(" │╭╮╰╯─\n") for line in lines)
    return " ".join(itertools.takewhile(bool, inside)).removesuffix(".")


def unparsed(complaint: str, words: Sequence[str], kinds: dict[str, Any]) -> str | None:
    """Return what an option takes and what was typed, if that is what is complained of.

    Args:
        complaint: tyro's sentence.
        words: what was typed.
        kinds: the type of each option, by name.

    Example:

    >>> unparsed("Error parsing --units: ...", ["--units", "x"], {"units": int})
    '--units takes a whole number, not x'
    """
    found = re.match(r"Error parsing (--[\w-]+):", complaint)
    kind = found and _in_words(kinds.get(found[1][2:].replace("-", "_")))
    if not found or not kind:
        return None
    here = False
    typed: list[str] = []  # behind the last such flag, which is the one that counts
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            if here := name.replace("_", "-") == found[1]:
                typed = [value] if equals else []
        elif here:
            typed.append(word)
    return f"{found[1]} takes {kind}, not {' '.join(typed)}"


def _in_words(kind: Any) -> str | None:
    """What an option of this type takes, if that is numbers."""
    parts = {kind}
    while inner := {arg for part in parts for arg in typing.get_args(part)}:
        parts = inner | {part for part in parts if not typing.get_args(part)}
    name = {int: "whole number", float: "number"}
    numbers = [name[part] for part in name if part in parts]
    if len(numbers) != 1:
        return None
    several = Ellipsis in parts
    text = f"{numbers[0]}s" if several else f"a {numbers[0]}"
    return f"{text} or None" if NoneType in parts else text


@contextlib.contextmanager
def colours_as_asked() -> Iterator[None]:
    """Keep tyro from colours where NO_COLOR is set, for which it does not look."""
    terminal = os.environ.get("TERM")
    if terminal is None or not os.environ.get("NO_COLOR"):
        yield
        return
    os.environ["TERM"] = "dumb"
    try:
        yield
    finally:
        os.environ["TERM"] = terminal
