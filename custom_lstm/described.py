"""Options whose help is their docstrings, with line breaks where the terminal has them.

tyro keeps the line breaks of a docstring below a field, in `--help` and in completion
scripts, where they do harm.
"""

import ast
import dataclasses
import inspect
import textwrap
from typing import Annotated, Any, TypeVar

import tyro

Options = TypeVar("Options")


def described(options: Options) -> Any:
    """Return a copy, of a dataclass made for tyro, in which each field has its help.

    Args:
        options: of a frozen dataclass; its fields are options, or groups of them.
    """
    cls, helps = type(options), docstrings(type(options))
    fields = []
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value: Any = getattr(options, field.name)
        kind: Any = field.type
        if dataclasses.is_dataclass(value):
            value = described(value)
            kind = type(value)
        else:
            hint = "" if value is None or value == () else _default
            about = tyro.conf.arg(help=helps.get(field.name), help_behavior_hint=hint)
            kind = Annotated[kind, about]
        fields.append((field.name, kind, dataclasses.field(default=value)))
    doc = {"__doc__": cls.__doc__}
    return dataclasses.make_dataclass(
        cls.__name__, fields, namespace=doc, frozen=True
    )()


def plain(copy: Any, like: Options) -> Options:
    """Return what `described` made, and tyro filled in, as options again.

    Args:
        copy: of the made dataclass.
        like: options of the class to return.

    Example:

    >>> from custom_lstm.training.config import Config
    >>> plain(described(Config()), Config()) == Config()
    True
    """
    values = {}
    for field in dataclasses.fields(like):  # type: ignore[arg-type]
        value, model = getattr(copy, field.name), getattr(like, field.name)
        values[field.name] = (
            plain(value, model) if dataclasses.is_dataclass(model) else value
        )
    return type(like)(**values)


def docstrings(cls: type) -> dict[str, str]:
    """Return the docstring below each field of a class, on one line.

    Example:

    >>> from custom_lstm.training.config import Data
    >>> docstrings(Data)["length"]
    'Digits in a sequence.'
    """
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def _default(shown: str) -> str:
    return f"(default: {shown})"
