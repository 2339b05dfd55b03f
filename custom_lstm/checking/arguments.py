"""The check that every constructor argument survives `get_config`."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import keras

from custom_lstm.checking.backends import seeded
from custom_lstm.checking.report import Breach
from custom_lstm.checking.subject import Subject

_OF_EVERY_LAYER = ("name", "trainable", "dtype")

_OTHERS: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "tanh"),
    "initializer": ("ones", "zeros"),
    "regularizer": ("l2", "l1"),
    "constraint": ("unit_norm", "non_neg"),
    "seed": (7, 8),
}
"""What to try for an argument, by the last word of its name."""


def config(subject: Subject) -> str:
    """Every constructor argument survives `get_config`.

    The cell's config names every argument, makes a cell with equal attributes and an
    equal config, and follows when an argument is given another value.
    """
    original = subject.original or subject.make()
    entries = original.get_config()
    missing = [n for n in constructor_arguments(type(original)) if n not in entries]
    if missing:
        raise Breach(
            f"get_config() to hold what {type(original).__name__}.__init__ takes",
            f"not in it: {', '.join(missing)}"
            + ". Does it begin with super().get_config()?"
            * (not set(missing).isdisjoint(_OF_EVERY_LAYER)),
        )
    copy = subject.copy(original)
    _same_attributes(original, copy)
    _same_config("a copy's", copy.get_config(), subject.copy(copy).get_config())
    changed = [name for name in entries if _follows(subject, copy, name)]
    return f"{len(entries)} entries, {len(changed)} of them with other values too"


def constructor_arguments(cls: type) -> list[str]:
    """Names of the arguments that `cls` takes: its own, and those of every layer.

    Example:

    >>> constructor_arguments(keras.layers.StackedRNNCells)
    ['cells', 'name', 'trainable', 'dtype']
    """
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    named = [
        p.name
        for p in list(parameters)[1:]
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named += [name for name in _OF_EVERY_LAYER if name not in named]
    return named


def _same_attributes(original: Any, copy: Any) -> None:
    """Raises if a plain attribute of the cell is another in its copy."""
    if original.built:
        return  # what building has set is no argument
    bookkeeping = vars(keras.layers.Layer())
    for name, value in vars(original).items():
        other = vars(copy).get(name)
        if name not in bookkeeping and _plain(value) != _plain(other):
            raise Breach(
                f"attribute `{name}` to be {value!r} after from_config(get_config())",
                f"{other!r}",
            )


def _plain(value: Any) -> Any:
    """A value that can be compared with another's, or None."""
    if isinstance(value, bool | int | float | str) or inspect.isfunction(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    with_own_config = keras.layers.Layer | keras.random.SeedGenerator
    if hasattr(value, "get_config") and not isinstance(value, with_own_config):
        return type(value).__name__, _text(value.get_config())
    return None


def _follows(subject: Subject, cell: Any, name: str) -> bool:
    """Whether another value could be given for an argument; raises if it got lost."""
    before = cell.get_config()
    for value in _other_values(name, before[name]):
        try:
            with seeded(subject.seed):
                other = type(cell).from_config({**before, name: value})
        except (TypeError, ValueError):
            continue  # not a value that this argument can have
        after = other.get_config()
        if _text(after[name]) == _text(before[name]):
            raise Breach(
                f"`{name}` in get_config() to follow the argument, {value!r}",
                f"{after[name]!r}",
            )
        _same_config(
            f"with {name}={value!r}, a copy's", after, subject.copy(other).get_config()
        )
        return True
    return False


def _other_values(name: str, value: Any) -> Iterator[Any]:
    if name == "dtype":
        return
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int) and name != "seed":
        yield value + 1
    elif isinstance(value, float):
        yield from (0.25, 0.5)
    elif name == "name":
        yield f"{value}_again"
    else:
        named = _OTHERS.get(name.rpartition("_")[2], ())
        yield from (other for other in named if other != value)


def _same_config(whose: str, config: dict[str, Any], copied: dict[str, Any]) -> None:
    for name in config.keys() | copied.keys():
        mine, theirs = (_text(entries.get(name)) for entries in (config, copied))
        if mine != theirs:
            raise Breach(f"{whose} config to have {name}={mine}", f"{name}={theirs}")


def _text(value: Any) -> str:
    """What Keras would write into a file for a value."""
    return json.dumps(keras.saving.serialize_keras_object(value), sort_keys=True)


CHECKS = (config,)
