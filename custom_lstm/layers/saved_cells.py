"""Cells in saved models: classes that are not registered, and cells that are shared."""

import threading
import warnings
import weakref
from typing import Any

import keras

from custom_lstm.typing import Config
from custom_lstm.walk import objects_in

_CLASSES: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()


def remember_classes(cell: Any) -> None:
    """Remember the classes of a cell, and of layers in it, that are not registered."""
    for cls in map(type, objects_in(cell)):
        if not _is_registered(cls):
            _CLASSES[cls.__name__] = cls


def remembered_classes() -> dict[str, type]:
    """Return the classes that are not registered but known, by their names."""
    return dict(_CLASSES)


def _is_registered(cls: type) -> bool:
    of_keras = cls.__module__.startswith("keras.")
    return of_keras or keras.saving.get_registered_name(cls) != cls.__name__


class _Saving(threading.local):
    """Which layers on this thread were asked for their config since being saved."""

    def __init__(self) -> None:
        self.asked: weakref.WeakSet[Any] = weakref.WeakSet()


_SAVING = _Saving()


def note_config(layer: Any) -> None:
    """Note that a layer's config was asked for: it may be about to be saved."""
    _SAVING.asked.add(layer)


def warn_of_unregistered(layer: Any, owner: str) -> None:
    """Warn if a layer that is saved with its config has cells that are not registered.

    Args:
        layer: with a `cell`.
        owner: what the warning calls it.
    """
    if layer not in _SAVING.asked:
        return  # only weights are saved
    _SAVING.asked.discard(layer)
    classes = map(type, objects_in(layer.cell))
    names = sorted({cls.__name__ for cls in classes if not _is_registered(cls)})
    if names:
        warnings.warn(
            f"{owner} is saved with {', '.join(names)}, which another process can only "
            "load with `custom_objects`. Write above the class: "
            '@keras.saving.register_keras_serializable(package="...")',
            stacklevel=2,
        )


_USERS: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Any]]
_USERS = weakref.WeakKeyDictionary()


def note_user(cell: Any, layer: Any) -> None:
    """Note that a layer runs a cell, and those stacked in it.

    Args:
        cell: any recurrent cell.
        layer: the layer around it.
    """
    if isinstance(cell, keras.layers.Layer):
        _USERS.setdefault(cell, weakref.WeakSet()).add(layer)
    for inner in _stacked(cell):
        note_user(inner, layer)


def mark_shared(cell: Any, config: Config) -> None:
    """Make a loaded model share a cell that layers share: Keras marks the second only.

    Args:
        cell: any recurrent cell.
        config: what Keras serialized it to.
    """
    is_layer = isinstance(cell, keras.layers.Layer)
    if is_layer and len(_USERS.get(cell, ())) > 1 and _whole_model():
        config["shared_object_id"] = id(cell)
    for inner, entry in zip(_stacked(cell), _stacked_entries(config), strict=False):
        mark_shared(inner, entry)


def keep_while_loading(layer: Any, owner: Any) -> None:
    """Keep a layer that is copied while a model is loaded, as long as its owner lives.

    Keras tells a model's objects apart by their `id`, and copies such a layer by its
    config. Were it freed, the next one with its `id` would be loaded as its copy.

    Args:
        layer: the layer that is copied.
        owner: the layer that holds the copy.
    """
    if _whole_model():
        _KEPT[owner] = layer


_KEPT: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_PROBE = keras.initializers.Zeros()


def _whole_model() -> bool:
    """Return whether Keras now notes which objects of a model are the same."""
    entries = [keras.saving.serialize_keras_object(_PROBE) for _ in range(2)]
    return "shared_object_id" in entries[1]


def _stacked(cell: Any) -> list[Any]:
    return cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else []


def _stacked_entries(config: Config) -> list[Config]:
    return config["config"].get("cells", [])
