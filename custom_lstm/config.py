"""Options: frozen, checked dataclasses that are a command line and JSON as well.

A field is an option, the docstring below it its help, its type has its range; a field
that is itself such a dataclass is a group of options. No name may occur in two
groups. Nothing here imports Keras, so that `--help` and mistakes answer at once.
"""

import argparse
import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import itertools
import json
import operator
import os
import re
import shutil
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from custom_lstm import program
from custom_lstm.errors import UsageError
from custom_lstm.extras import extra

with extra("train"):
    import pydantic
    import tyro

MANY = 10**9
"""The upper end of a range that has none of its own."""
Count = Annotated[int, pydantic.Field(ge=0, le=MANY)]
"""A whole number from 0."""
Positive = Annotated[int, pydantic.Field(ge=1, le=MANY)]
"""A whole number from 1."""
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
"""A seed, as every library takes it."""
LearningRate = Annotated[float, pydantic.Field(ge=1e-9, le=10)]
"""A learning rate."""
Norm = Annotated[float, pydantic.Field(ge=0, le=MANY)]
"""A number from 0."""
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
"""A number from 0 to 1."""

COMPLETION = "--tyro-print-completion"
"""Prints a completion script for the shell named after it."""
_SHELLS = ("bash", "zsh", "fish")
_STRICT = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_WIDEST = 88
_MOST_NAMES = 3
_T = TypeVar("_T")
_adapter: Callable[[type], pydantic.TypeAdapter] = functools.cache(pydantic.TypeAdapter)


@typing.dataclass_transform(frozen_default=True)
def options(cls: type[_T]) -> type[_T]:
    """Make of a class a frozen dataclass that checks itself whenever it is made.

    Args:
        cls: fields with types, defaults and docstrings below them; `__post_init__`
            may check what fields exclude in each other, by a UsageError.

    Returns:
        The dataclass; making one with a value that its type excludes raises a
        UsageError.

    Example:
        >>> @options
        ... class Run:
        ...     steps: Positive = 5
        >>> Run(steps=0)
        Traceback (most recent call last):
        ...
        custom_lstm.errors.UsageError: --steps must be 1 or more, not 0
    """
    helps = _docstrings(cls)
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=_STRICT)(cls)
    make = made.__init__

    @functools.wraps(make)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            make(self, *args, **kwargs)
        except pydantic.ValidationError as error:
            raise UsageError(_in_words(error, flat(made))) from None

    made.__init__ = checked
    own = made.__dict__.get("__annotations__", {})
    for field in dataclasses.fields(made):  # tyro keeps the docstrings' line breaks
        if field.name in own and not dataclasses.is_dataclass(field.default):
            about = tyro.conf.arg(
                help=helps.get(field.name), help_behavior_hint=_default_hint
            )
            own[field.name] = Annotated[own[field.name], about]
    return made


class Options:
    """Base of all options of one subcommand; a subclass is decorated by `options`.

    Attributes:
        task: the subcommand, and the task's name in a run's config.json.
        entry: what runs it, "module:name"; called with the options and all commands.
        summary: what it does, in the list of all tasks.
        description: the same, for its own help.
        presets: changes of the defaults by the name that `--preset` takes, the first of
            which holds where none is named.
        may_change: names of the options that may be given beside `--resume`.
        renamed: today's names by older ones, which older runs' config.json has.
        added: what runs did before an option was there, by its name.
        curve: the column of history.csv that `compare` draws.
        keras: whether it needs Keras.
    """

    task: ClassVar[str]
    entry: ClassVar[str]
    summary: ClassVar[str] = ""
    description: ClassVar[str] = ""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    may_change: ClassVar[Sequence[str]] = ()
    renamed: ClassVar[Mapping[str, str]] = {}
    added: ClassVar[Mapping[str, Any]] = {}
    curve: ClassVar[str] = "loss"
    keras: ClassVar[bool] = True
    if TYPE_CHECKING:  # groups of every task that trains
        optimisation: Any
        run: Any
        checkpoints: Any

    @property
    def resume(self) -> Path | None:
        """The run folder to resume, if any."""
        return getattr(getattr(self, "run", None), "resume", None)

    @staticmethod
    def headline(
        scores: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, dict[str, str]]:
        """Return a run's main scores, as `compare` shows them.

        Args:
            scores: content of scores.json.
            options: every option by name, from config.json.

        Returns:
            For each model by its name ("" where a run trains one) scores as text, by
            name. Raises LookupError, TypeError, ValueError or AttributeError where
            `scores` are not the task's.
        """
        return {"": {}}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these options, by name, changed.

        Raises:
            UsageError: there is no such option, or it cannot have this value.
        """
        for name in changes.keys() - flat(self).keys():
            raise UsageError(_unknown(spelled(name), flat(self), self.renamed))
        made: dict[str, Any] = _grouped(type(self), flat(self) | changes)
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if dataclasses.is_dataclass(field.default):
                group: Any = type(field.default)
                made[field.name] = group(**made[field.name])
        return type(self)(**made)

    def settled(self, name: str) -> Any:
        """Return an option that its task chooses where it is left out.

        Args:
            name: of the option; it has a value by now.
        """
        value = flat(self)[name]
        assert value is not None, f"{spelled(name)} is left open"
        return value

    def to_json(self) -> dict[str, Any]:
        """Return every option by name, in JSON's types."""
        dumped = _adapter(type(self)).dump_python(self, mode="json")
        return {
            field.name: (dumped if group is None else dumped[group])[field.name]
            for group, field in _fields(self)
        }

    @classmethod
    def updated(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return options from JSON by today's names, with those `added` since.

        Args:
            content: values by name, as `to_json` wrote them then.
        """
        content = {cls.renamed.get(name, name): v for name, v in content.items()}
        return {**cls.added, **content}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild options that `to_json` wrote, from an untrusted file.

        Args:
            content: every option by name, also by one of `renamed`, but for those of
                `added`.

        Raises:
            UsageError: an option is missing, unknown, mistyped or out of range.
        """
        content, names = cls.updated(content), flat(cls)
        if missing := set(names) - set(content):
            raise UsageError(f"options are missing: {_some(sorted(missing))}")
        if unknown := set(content) - set(names):
            word = spelled(min(unknown))[:40]
            raise UsageError(
                _unknown(word if word.isprintable() else repr(word), names)
            )
        for name, value in content.items():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, str) and "\0" in part:
                    raise UsageError(f"{spelled(name)} cannot be {part!r:.80}")
        try:
            return _adapter(cls).validate_json(json.dumps(_grouped(cls, content)))
        except pydantic.ValidationError as error:
            raise UsageError(_in_words(error, names)) from None
        except RecursionError:
            raise UsageError("an option is nested too deeply") from None

    @classmethod
    def parse(cls, words: Sequence[str], more: str = "") -> Self:
        """Read options from the words of a command line, after the task's name.

        Args:
            words: what was typed.
            more: lines for the help below `description`, each of which begins with a
                space.

        Raises:
            UsageError: an option or a value is unknown, mistyped or out of range.
            SystemExit: after `--help`.
        """
        default = cls()
        if cls.presets:
            default = default.replace(**cls.presets[_preset_in(words, cls.presets)])
        parsed = _read(words, default, more)
        asked, held = flat(parsed), flat(default)
        for name in asked if parsed.resume is not None else ():
            changed = asked[name] != held[name]
            if changed and name not in {"resume", *cls.may_change}:
                may = ", ".join(map(spelled, cls.may_change)) or "nothing else"
                raise UsageError(
                    f"{spelled(name)} cannot change on --resume: the run's own options "
                    f"hold; only {may} may be given"
                )
        return parsed

    def resumed_with(self, asked: Self) -> Self:
        """Return a run's options with those changed that were given with `--resume`.

        Args:
            asked: what was given.
        """
        default, given = flat(type(self)), flat(asked)
        names = [name for name in self.may_change if given[name] != default[name]]
        return self.replace(**{name: given[name] for name in ("resume", *names)})


def flat(options: Any) -> dict[str, Any]:
    """Return every option by name, whichever group it is in; of a class, the defaults.

    Example:
        >>> from custom_lstm.tasks.digits.options import Config
        >>> flat(Config().replace(units=8))["units"]
        8
    """
    if isinstance(options, type):
        return {
            f.name: f.default
            if f.default_factory is dataclasses.MISSING
            else f.default_factory()
            for _, f in _fields(options)
        }
    return {
        f.name: getattr(options if group is None else getattr(options, group), f.name)
        for group, f in _fields(options)
    }


def groups(cls: type) -> Iterator[tuple[str, str, list[tuple[str, Any, str]]]]:
    """Yield the groups of options: name, help, and of each option name, default, help.

    Options that are in no group come first, under the name "" without a help.

    Args:
        cls: made by `options`.
    """
    helps, defaults = _docstrings(cls), flat(cls)
    alone = [field.name for group, field in _fields(cls) if group is None]
    if alone:
        yield "", "", [(name, defaults[name], helps.get(name, "")) for name in alone]
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        kind: Any = type(field.default)
        if dataclasses.is_dataclass(field.default):
            helps, defaults = _docstrings(kind), flat(kind)
            options = [
                (name, value, helps.get(name, "")) for name, value in defaults.items()
            ]
            yield field.name, kind.__doc__ or "", options


def _fields(options: Any) -> Iterator[tuple[str | None, dataclasses.Field]]:
    """Yield each option's field, and before it the name of the group that it is in."""
    for field in dataclasses.fields(options):
        if dataclasses.is_dataclass(field.default):
            group: Any = type(field.default)
            yield from ((field.name, inner) for inner in dataclasses.fields(group))
        else:
            yield None, field


def _grouped(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Sort the values of all options, by name, into their groups."""
    grouped: dict[str, Any] = {}
    for group, field in _fields(cls):
        owner = grouped if group is None else grouped.setdefault(group, {})
        owner[field.name] = values[field.name]
    return grouped


def spelled(name: str) -> str:
    """Return an option's name as one types it."""
    return f"--{name.replace('_', '-')}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return "; did you mean …?" with the nearest valid word, or nothing."""
    match = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {match[0]}?" if match else ""


def print_completion(
    words: Sequence[str], main: type[Options], others: Iterable[type[Options]]
) -> None:
    """Print the script that completes the command's words in a shell.

    Args:
        words: `COMPLETION` and a shell's name.
        main: options of the task that needs no name.
        others: those of the others.

    Raises:
        UsageError: no known shell is named.
    """
    if len(words) != 2 or words[1] not in _SHELLS:
        raise UsageError(
            f"{COMPLETION} needs one of {', '.join(_SHELLS)}, nothing else"
        )
    named = [
        Annotated[cls, tyro.conf.subcommand(cls.task, description=cls.summary)]
        for cls in (main, *others)
    ]
    fields = dataclasses.fields(main)  # type: ignore[arg-type]
    own = [(f.name, type(f.default), f.default) for f in fields]
    every = dataclasses.make_dataclass(
        "Command", [*own, ("task", functools.reduce(operator.or_, named))], kw_only=True
    )
    with contextlib.suppress(SystemExit):
        tyro.cli(
            every,
            args=list(words),
            prog=program.script(),
            description="",
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        )


def _read(words: Sequence[str], default: Options, more: str) -> Any:
    """Let tyro read the words; raise its complaint as one line."""
    cls, names = type(default), flat(default)
    if words and words[0].startswith("--tyro-"):
        raise UsageError(f"{words[0]} must be the first word after {program.name()}")
    complaint, called = io.StringIO(), program.name()
    try:
        with contextlib.redirect_stderr(complaint), _colours_as_asked():
            parsed, unknown = tyro.cli(
                cls,
                args=list(words),
                default=default,
                prog=called if cls.task == "digits" else f"{called} {cls.task}",
                description=f"{_filled(cls.description)}\n\n{more}".rstrip(),
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_complaint(complaint.getvalue(), cls)) from None
    for word in unknown:
        if word.startswith("-"):
            flags = [name for name, value in names.items() if isinstance(value, bool)]
            valid = [*names, *(f"no_{name}" for name in flags), "help", "version"]
            raise UsageError(_unknown(word.split("=")[0], valid, cls.renamed))
        raise UsageError(_unexpected(word, words, names))
    return parsed


def _unknown(
    word: str, names: Iterable[str], renamed: Mapping[str, str] | None = None
) -> str:
    now = (renamed or {}).get(word.removeprefix("--").replace("-", "_"))
    if now:
        return f"option {word} is called {spelled(now)} now"
    return f"unknown option {word}{nearest(word, map(spelled, names))}"


def _unexpected(word: str, words: Sequence[str], defaults: Mapping[str, Any]) -> str:
    """Return what is wrong with a word that is neither an option nor a value."""
    before = words[: words.index(word)]
    option = next((w.split("=")[0] for w in before[::-1] if w.startswith("--")), None)
    if option is None:
        return f"unexpected word {word}; options begin with --"
    name = option.removeprefix("--").replace("-", "_")
    flag = isinstance(defaults.get(name.removeprefix("no_")), bool)
    return f"unexpected word {word}: {option} takes {'no' if flag else 'one'} value"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed


def _not_one_of(option: str, choices: Sequence[str], given: str) -> str:
    shown = given if given.isprintable() else repr(given)
    meant = "" if given.isdecimal() else nearest(given, choices)
    return f"{option} must be one of {', '.join(choices)}, not {shown:.80}{meant}"


def _preset_in(words: Sequence[str], presets: Iterable[str]) -> str:
    """Return the preset named among the words, or the first."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default=next(iter(presets)))
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            name = parser.parse_known_args(words)[0].preset
    except SystemExit:
        raise UsageError(f"--preset needs one of {', '.join(presets)}") from None
    if name not in presets:
        raise UsageError(_not_one_of("--preset", list(presets), name))
    return name


def _in_words(error: pydantic.ValidationError, names: Iterable[str]) -> str:
    """Return pydantic's first complaint as a sentence about an option."""
    first = error.errors()[0]
    given, about = first["input"], first.get("ctx", {})
    parts = [part for part in first["loc"] if isinstance(part, str)]
    option = spelled(parts[-1]) if parts else "the options"
    shown = f"{given!r:.80}"
    match first["type"]:
        case "greater_than_equal":
            return f"{option} must be {about['ge']:g} or more, not {shown}"
        case "less_than_equal":
            return f"{option} must be {about['le']:g} or less, not {shown}"
        case "less_than":
            return f"{option} must be less than {about['lt']}, not {shown}"
        case "too_short":
            return f"{option} needs at least one value"
        case "literal_error":
            choices = re.findall(r"[^' ,]+(?=')|-?\d+", about["expected"])
            return _not_one_of(option, choices, str(given))
        case "unexpected_keyword_argument":
            return _unknown(option, names)
    message = first["msg"].replace("Input should be", "it must be")
    return f"{option} cannot be {shown}: {message}"


def _complaint(panel: str, cls: type[Options]) -> str:
    """Return tyro's framed complaint as a sentence."""
    _, *lines = re.sub(r"\x1b\[[0-9;]*m", "", panel).splitlines()
    inside = (line.strip(" │╭╮╰╯─\n") for line in lines)
    said = " ".join(itertools.takewhile(bool, inside)).removesuffix(".")
    choice = re.match(r"invalid choice '(.*)' for argument '(--.*?)'\W+Expe.*", said)
    if choice:
        *_, expected = said.partition("Expected one of ")
        return _not_one_of(choice[2], re.findall(r"'([^']*)'", expected), choice[1])
    if missing := re.match(r"Missing value for argument '(--.*?)'", said):
        return f"{missing[1]} needs a value"
    if typed := re.match(r"Error parsing --([\w-]+):(.*)", said):
        hints = {f.name: f.type for _, f in _fields(cls)}
        if kind := _number_in_words(hints.get(typed[1].replace("-", "_"))):
            values = " ".join(re.findall(r"'(.*?)'", typed[2]))
            return f"--{typed[1]} takes {kind}, not {values}"
    return said


def _number_in_words(hint: Any) -> str | None:
    """Return what an option of this type takes, if that is numbers."""
    parts = {hint}
    while inner := {arg for part in parts for arg in typing.get_args(part)}:
        parts = inner | {part for part in parts if not typing.get_args(part)}
    kinds = {int: "whole number", float: "number"}
    numbers = [kinds[part] for part in kinds if part in parts]
    if len(numbers) != 1:
        return None
    text = f"{numbers[0]}s" if Ellipsis in parts else f"a {numbers[0]}"
    return f"{text} or None" if NoneType in parts else text


def _default_hint(shown: str) -> str:
    return "" if shown in ("None", "") else f"(default: {shown})"


def _filled(text: str) -> str:
    """Break a text into lines, which tyro joins where they begin with a letter."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    words = " ".join(text.split())
    return textwrap.fill(words, width, initial_indent=" ", subsequent_indent=" ")


def _docstrings(cls: type) -> dict[str, str]:
    """Return the docstring below each field of a class on one line, or none."""
    inherited: dict[str, str] = {}
    for base in filter(dataclasses.is_dataclass, cls.__bases__):
        inherited |= _docstrings(base)
    try:
        source = inspect.getsource(cls)
    except OSError:
        return inherited
    (body,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(body, ast.ClassDef)
    return inherited | {
        field.target.id: " ".join(below.value.value.split())
        for field, below in itertools.pairwise(body.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


@contextlib.contextmanager
def _colours_as_asked() -> Iterator[None]:
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
