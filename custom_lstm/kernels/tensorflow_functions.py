"""How cells of others run in graphs: their `tf.function`s, and their names."""

import inspect
import types
from typing import Any

import tensorflow as tf


def names_of_functions(layer: Any) -> list[str]:
    """Return the names of an object's methods and attributes that are `tf.function`s.

    Args:
        layer: any object.
    """
    places = [vars(cls) for cls in type(layer).__mro__] + [vars(layer)]
    found = [name for place in places for name in place if _is_function(place[name])]
    return sorted({f"{type(layer).__name__}.{name}" for name in found})


def use_plain_functions(layer: Any) -> None:
    """Replace the `tf.function`s among an object's methods and attributes.

    Python's `if`, `for` and `while` over tensors still become those of TensorFlow.

    Args:
        layer: any object; those without such functions stay as they are.
    """
    for cls in reversed(type(layer).__mro__):
        for name, value in vars(cls).items():
            if _is_function(value):
                method = types.MethodType(_plain(value), layer)
                object.__setattr__(layer, name, method)
    for name, value in list(vars(layer).items()):
        if _is_function(value):
            object.__setattr__(layer, name, _plain(value))


def _is_function(value: Any) -> bool:
    return hasattr(value, "get_concrete_function") and hasattr(value, "python_function")


def _plain(function: Any) -> Any:
    """Return what a `tf.function` runs, not converted where there is no source."""
    python = function.python_function
    try:
        inspect.getsource(python)
    except (OSError, TypeError):
        return python
    return tf.autograph.to_graph(python)


def step_scope() -> Any:
    """Return a scope of names for one step."""
    return tf.name_scope("step")
