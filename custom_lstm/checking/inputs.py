"""What a cell under test is fed: shapes as the caller gives them, and data of them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from custom_lstm.typing import Nest


def is_shape(value: Any) -> bool:
    """Return whether a value is a shape: a tuple of positive integers, or one.

    Example:
        >>> is_shape(3), is_shape((8, 8, 3)), is_shape([3, 4]), is_shape((0,))
        (True, True, False, False)
    """
    several = value if isinstance(value, tuple) and value else (value,)
    return all(
        isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in several
    )


def read_shapes(name: str, value: Any) -> Nest:
    """Return a nest of shapes, integers as shapes of one axis.

    Args:
        name: of the argument, for the error.
        value: an integer, a tuple of them, or lists, tuples and dicts of these.

    Raises:
        ValueError: if there is anything else in it.

    Example:
        >>> read_shapes("features", {"image": (8, 8, 3), "action": 2})
        {'image': (8, 8, 3), 'action': (2,)}
    """
    if is_shape(value):
        return (value,) if isinstance(value, int) else value
    if isinstance(value, dict) and value:
        return {key: read_shapes(name, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple) and value:
        inner = [read_shapes(name, each) for each in value]
        return type(value)(*inner) if hasattr(value, "_fields") else type(value)(inner)
    raise ValueError(
        f"check_cell: `{name}` must be a positive integer, the width of the inputs, or "
        "a tuple of them, the shape of one step, such as (8, 8, 3), or a list, tuple "
        f"or dict of these. Received: {name}={value!r}"
    )


def map_shapes(function: Callable[[tuple[int, ...]], Any], shapes: Nest) -> Nest:
    """Apply a function to every shape in a nest that `read_shapes` returned."""
    return keras.tree.map_shape_structure(lambda s: function(tuple(s)), shapes)


def draw(shapes: Nest, first: Sequence[int], seed: Any) -> Nest:
    """Draw standard normal arrays, with axes before those of the shapes.

    Args:
        shapes: a nest of shapes.
        first: lengths of the axes before.
        seed: of NumPy's generator.
    """
    rng = np.random.default_rng(seed)
    return map_shapes(
        lambda shape: rng.normal(size=(*first, *shape)).astype("float32"), shapes
    )


def each(function: Callable[..., Any], *nests: Nest) -> Nest:
    """Apply a function to every array in nests of one structure."""
    return keras.tree.map_structure(function, *nests)


def words(shapes: Nest) -> str:
    """Return what inputs are, in words.

    Example:
        >>> words((3,)), words([(8, 8, 3), (2,)])
        ('3 features', 'inputs [(8, 8, 3), (2,)]')
    """
    one = isinstance(shapes, tuple) and len(shapes) == 1 and isinstance(shapes[0], int)
    return f"{shapes[0]} features" if one else f"inputs {shapes}"
