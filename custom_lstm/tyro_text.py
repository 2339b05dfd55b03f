"""What tyro reads and writes, made fit for people."""

import contextlib
import itertools
import os
import re
import shutil
import textwrap
from collections.abc import Iterator

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
