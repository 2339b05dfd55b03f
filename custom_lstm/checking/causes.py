"""What in a cell explains that a check fails."""

import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.checking.harness import UNCOPYABLE, CellUnderTest, to_array
from custom_lstm.checking.inputs import map_shapes
from custom_lstm.layers.building import build_cell

_SHOWN = 4
"""How many attributes are named."""


def late_weights(subject: CellUnderTest) -> str:
    """Return which weights only the first step makes, and what to write; or ""."""
    early, whole = subject.make(), subject.cell()
    shapes = map_shapes(lambda shape: (None, *shape), subject.features)
    constants = map_shapes(lambda shape: (None, *shape), subject.constants or [])
    build_cell(early, shapes, constants or None)
    count = len(whole.weights) - len(early.weights)
    before = dict(_inner_layers(early))
    late = {
        path: layer
        for path, layer in _inner_layers(whole)
        if layer.weights and not getattr(before.get(path), "built", False)
    }
    if count <= 0 or not late:
        return ""
    calls = [f"{path}.build({_input_shape(layer)})" for path, layer in late.items()]
    several = f"{count} weights are" if count > 1 else "1 weight is"
    return (
        f"{several} made by the first step only, in {_some(late)}. To have them "
        f"made before, write in `build`: {'; '.join(calls[:_SHOWN])}"
        + "; …"
        * (len(calls) > _SHOWN)
    )


def kept_tensors(subject: CellUnderTest) -> str:
    """Return which attributes `build` computed from weights, in words; or ""."""
    first, second = subject.make(), subject.make()
    for cell in (first, second):
        subject.build(cell)
    names = [
        f"self.{name}"
        for name, value in vars(first).items()
        if _is_plain_tensor(value) and _differ(value, vars(second).get(name))
    ]
    if not names:
        return ""
    return (
        f"{_some(names)}: computed from weights in `build`, so the weights' first "
        "values are all that is ever used; compute it in `call`"
    )


def lost_objects(subject: CellUnderTest) -> str:
    """Return which attributes come back from a file as mere dicts; or ""."""
    cell = subject.make()
    try:
        config = json.dumps(keras.saving.serialize_keras_object(cell.get_config()))
        loaded = type(cell).from_config(json.loads(config))
    except UNCOPYABLE:  # then nothing can be compared
        return ""
    names = [
        f"`{name}` is a {type(value).__name__}, and a dict when it is loaded"
        for name, value in vars(cell).items()
        if type(value).__module__.partition(".")[0] not in ("builtins", "keras")
        and not isinstance(value, dict)
        and isinstance(vars(loaded).get(name), dict)
    ]
    return f"{_some(names)}: let `from_config` make it of that" if names else ""


def _inner_layers(cell: Any) -> Iterator[tuple[str, Any]]:
    """Yield the layers that are attributes of a cell, or in lists that are."""
    of_torch = vars(cell).get("_modules", {})  # where PyTorch keeps layers
    for name, value in {**vars(cell), **of_torch}.items():
        if isinstance(value, keras.layers.Layer):
            yield f"self.{name}", value
        elif isinstance(value, list | tuple) and name != "_layers":
            for k, item in enumerate(value):
                if isinstance(item, keras.layers.Layer):
                    yield f"self.{name}[{k}]", item


def _input_shape(layer: Any) -> str:
    shape = (layer.get_build_config() or {}).get("input_shape")
    plain = isinstance(shape, list | tuple) and all(
        n is None or isinstance(n, int) for n in shape
    )
    return str((None, *shape[1:])) if plain and shape else "shape of its inputs"


def _is_plain_tensor(value: Any) -> bool:
    return bool(ops.is_tensor(value)) and not isinstance(value, keras.Variable)


def _differ(one: Any, other: Any) -> bool:
    same_kind = _is_plain_tensor(other) and one.shape == other.shape
    return same_kind and not np.array_equal(to_array(one), to_array(other))


def _some(names: Any) -> str:
    several = list(names)
    more = f" and {len(several) - _SHOWN} more" * (len(several) > _SHOWN)
    return ", ".join(several[:_SHOWN]) + more
