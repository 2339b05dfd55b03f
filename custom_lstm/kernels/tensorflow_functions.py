"""How cells of others run in graphs: their `tf.function`s, and their names."""

import inspect
import types
from typing import Any

import tensorflow as tf


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
