"""Docstrings of this package as MyST: prose, equations, tables of arguments.

They are written in Markdown already, but for the sections of Google's style.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

SECTIONS = (
    "Args",
    "Call arguments",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Example",
)
_TABLES = {
    "Args": "argument",
    "Call arguments": "call argument",
    "Attributes": "attribute",
    "Raises": "raises",
}
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*):\s+", re.MULTILINE)
_WIDEST_DEFAULT = 40


def entry(name: str, thing: Any, link: Callable[[str], str], members: bool) -> str:
    """Return the reference of one public object, as a directive of Sphinx.

    Args:
        name: its full name.
        thing: a class, function, module or value.
        link: makes a role of a code span that names something public.
        members: whether to add the methods and properties of a class.
    """
    if inspect.isclass(thing):
        inner = "\n\n".join(_members(thing, link)) if members else ""
        kind = "exception" if issubclass(thing, Exception) else "class"
        return _directive(kind, name + signature(thing), body(thing, link), inner)
    if inspect.isroutine(thing):
        return _directive("function", name + signature(thing), body(thing, link))
    return _directive("data", name, f"```text\n{thing!r}\n```")


def _members(cls: type, link: Callable[[str], str]) -> Iterator[str]:
    """Yield what a class defines itself, says something about, and does not hide."""
    for name, member in vars(cls).items():
        hidden = name.startswith("_") and name != "__call__"
        if hidden or not inspect.getdoc(member) or inspect.isclass(member):
            continue
        if isinstance(member, property):
            yield _directive("property", name, body(member, link))
        elif callable(member) or isinstance(member, classmethod | staticmethod):
            function = getattr(member, "__func__", member)
            skipped = 0 if isinstance(member, staticmethod) else 1
            text = name + signature(function, skipped)
            yield _directive("method", text, body(member, link))


def _directive(kind: str, argument: str, *content: str) -> str:
    colons = ":::::" if kind in ("class", "exception") else ":::"
    text = "\n\n".join(filter(None, content))
    return f"{colons}{{py:{kind}}} {argument}\n\n{text}\n{colons}"


def signature(thing: Any, skip: int = 0) -> str:
    """Return the arguments with their defaults, without types."""
    try:
        parameters = list(inspect.signature(thing).parameters.values())[skip:]
    except (TypeError, ValueError):  # of C, such as named tuples' bases
        return ""
    plain = [
        p.replace(annotation=p.empty, default=_shown(p.default)) for p in parameters
    ]
    return str(inspect.Signature(plain))


class _Shown:
    """A default that prints as it would be written."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _shown(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return default
    text = repr(default)
    plain = isinstance(default, str | int | float | tuple | type(None))
    if not plain or len(text) > _WIDEST_DEFAULT:
        text = getattr(default, "__name__", "...")
    return _Shown(text if text.isidentifier() or plain else "...")


def body(thing: Any, link: Callable[[str], str]) -> str:
    """Return a docstring as MyST."""
    text = inspect.getdoc(thing) or ""
    heads = "|".join(SECTIONS)
    first, *rest = re.split(rf"^({heads}):\n", text, flags=re.MULTILINE)
    parts = [prose(first, link)]
    defaults = _defaults(thing)
    for head, content in zip(rest[::2], rest[1::2], strict=True):
        inside, after = _indented(content)
        parts += [_section(head, inside, defaults, link), prose(after, link)]
    return "\n\n".join(filter(None, parts))


def _defaults(thing: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: _shown(p.default) for p in parameters if p.default is not p.empty}


def _indented(content: str) -> tuple[str, str]:
    """Return the lines of a section, and what follows it."""
    found = re.match(r"((?: {4}.*(?:\n|$)|\s*\n)*)", content)
    end = found.end() if found else 0
    return inspect.cleandoc(content[:end]), content[end:]


def _section(head: str, text: str, defaults: dict, link: Callable[[str], str]) -> str:
    if head == "Example":
        return f"**Example**\n\n```pycon\n{text}\n```"
    entries = _ENTRY.split(text)[1:]
    if head not in _TABLES or not entries:
        return f"**{head}**\n\n{prose(text, link)}"
    shown = head == "Args" and bool(defaults)
    default = " default |" * shown
    rows = [f"| {_TABLES[head]} |{default} meaning |", "|---" * (2 + shown) + "|"]
    for names, about in zip(entries[::2], entries[1::2], strict=True):
        found = [repr(defaults[n]) for n in names.split(", ") if n in defaults]
        default = f" {', '.join(f'`{value}`' for value in found)} |" * shown
        about = prose(" ".join(about.split()), link).replace("|", "\\|")
        rows.append(f"| `{names}` |{default} {about} |")
    return "\n".join(rows)


def prose(text: str, link: Callable[[str], str]) -> str:
    """Return text with equations as blocks, and with addresses and names as links."""
    parts = re.split(r"((?:^ {4}.*\n|^[ ]*\n)*^ {4}.*(?:\n|$))", text, flags=re.M)
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(part)}\n```"
        if part.strip() and part.lstrip("\n").startswith("    ")
        else _linked(part.strip(), link)
        for part in parts
        if part.strip()
    )


def _linked(text: str, link: Callable[[str], str]) -> str:
    text = re.sub(r"`([^`\n]+)`", lambda found: link(found[1]), text)
    return re.sub(r"(https?://[^\s,;)]+[^\s,;.):])", r"<\1>", text)
