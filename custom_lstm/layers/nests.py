"""Nests of tensors and shapes, as layers take and return them."""

import collections
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from custom_lstm.typing import Nest, Tensor


def symbol(dtype: Any) -> Callable[..., keras.KerasTensor]:
    """Return a function from shapes to symbolic tensors of a dtype."""
    return lambda shape: keras.KerasTensor(tuple(shape), dtype=dtype)


def as_constants(constants: Nest) -> Nest:
    """Return constants in a list or dict, as a step takes them, or None."""
    if constants is None or isinstance(constants, dict):
        return constants
    return list(constants) if isinstance(constants, list | tuple) else [constants]


def in_turn(states: Nest) -> list[Nest]:
    """Return states as a layer returns them, one after the other."""
    return list(states) if isinstance(states, list | tuple) else [states]


def swapped(nest: Nest) -> Nest:
    """Return tensors with their first two axes exchanged."""
    return keras.tree.map_structure(
        lambda x: None if x is None else ops.swapaxes(x, 0, 1), nest
    )


def swapped_symbols(nest: Nest) -> Nest:
    """Return symbolic tensors of the shapes that `swapped` would give."""

    def swapped(x: Tensor) -> Tensor:
        if x is None or len(x.shape) < 2:
            return x
        shape = tuple(x.shape)
        dtype = keras.backend.standardize_dtype(x.dtype)
        return keras.KerasTensor((*shape[1::-1], *shape[2:]), dtype=dtype)

    return keras.tree.map_structure(swapped, nest)


def cast_real(tensor: Tensor, dtype: str) -> Tensor:
    """Return a tensor of real numbers in a dtype; of any other kind, as it is."""
    tensor = ops.convert_to_tensor(tensor)
    real = "float" in keras.backend.standardize_dtype(tensor.dtype)
    return ops.cast(tensor, dtype) if real else tensor


def with_fields(nest: Nest, fields: tuple[str, ...] | None) -> Nest:
    """Return a list or tuple as a named tuple, as it was before it was saved.

    Args:
        nest: inputs, or their shapes.
        fields: the names; None leaves the nest as it is.

    Example:
        >>> with_fields([1, 2], ("times", "values"))
        Inputs(times=1, values=2)
    """
    plain = isinstance(nest, list | tuple) and not hasattr(nest, "_fields")
    if not fields or not plain or len(nest) != len(fields):
        return nest
    return _named(fields)(*nest)


@functools.cache
def _named(fields: tuple[str, ...]) -> Any:
    return collections.namedtuple("Inputs", fields)  # noqa: PYI024 - made at run time
