"""Layers within layers."""

from collections.abc import Iterator
from typing import Any

import keras


def layers_in(
    model: Any, leave_out: tuple[type, ...] = ()
) -> Iterator[keras.layers.Layer]:
    """Yield all layers in a layer or model, itself included, once each, at any depth.

    Args:
        model: where to look; in what is no layer there are none.
        leave_out: classes of layers that are passed over, with all that is in them.

    Example:
        >>> cell = keras.layers.LSTMCell(2)
        >>> [type(layer).__name__ for layer in layers_in(keras.layers.RNN(cell))]
        ['RNN', 'LSTMCell']
    """
    seen: set[int] = set()

    def walk(value: Any) -> Iterator[keras.layers.Layer]:
        if isinstance(value, keras.layers.Layer):
            if id(value) in seen or isinstance(value, leave_out):
                return
            seen.add(id(value))
            yield value
            value = vars(value)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                yield from walk(item)

    yield from walk(model)


def objects_in(cell: Any) -> list[Any]:
    """Return the layers in a cell, itself included; or it alone if it is no layer."""
    return list(layers_in(cell)) or [cell]
