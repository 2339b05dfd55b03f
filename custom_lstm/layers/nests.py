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


def known_size(size: Any) -> int | None:
    """Return a size; None where JAX has a symbol for it.

    What PyTorch traces for ONNX has a tensor for it.
    """
    return int(size) if isinstance(size, int) or hasattr(size, "item") else None


def known_shape(tensor: Tensor) -> tuple[int | None, ...]:
    """Return a tensor's shape, as far as it is known."""
    return tuple(map(known_size, tensor.shape))


def masks_in(nest: Nest) -> list[Tensor]:
    """Return the masks in a nest, in which None stands for no mask."""
    return [mask for mask in keras.tree.flatten(nest) if mask is not None]


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


def form_of(nest: Nest) -> tuple[str, ...] | int | None:
    """Return what a file of a model does not keep of inputs that are a tuple.

    Args:
        nest: the shapes of inputs.

    Returns:
        The names of a named tuple, the length of another, or None.
    """
    shape = keras.tree.map_shape_structure(lambda _: 0, nest)
    if not isinstance(shape, tuple):
        return None
    return getattr(shape, "_fields", None) or len(shape)


def of_form(nest: Nest, form: tuple[str, ...] | int | None) -> Nest:
    """Return a list as the tuple, named or not, that it was before it was saved.

    Args:
        nest: inputs, or their shapes.
        form: see `form_of`; None leaves the nest as it is.

    Example:
        >>> of_form(["t", "x"], ("times", "values")), of_form(["x", "y"], 2)
        (Inputs(times='t', values='x'), ('x', 'y'))
    """
    count = form if isinstance(form, int) else len(form or ())
    lost = isinstance(nest, list | tuple) and not hasattr(nest, "_fields")
    if not count or not lost or len(nest) != count:
        return nest
    return tuple(nest) if isinstance(form, int) else _named(form)(*nest)


@functools.cache
def _named(fields: Any) -> Any:
    return collections.namedtuple("Inputs", fields)  # noqa: PYI024 - made at run time
