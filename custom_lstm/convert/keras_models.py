"""A model of Keras's recurrent layers, made again of this package's."""

from typing import Any

import keras

from custom_lstm.walk import layers_in

_KERAS = "keras.layers"
_OURS = {
    name: (home, f"custom_lstm>{name}")
    for home, names in {
        "custom_lstm.layers": ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"),
        "custom_lstm.cells": ("LSTMCell", "GRUCell", "SimpleRNNCell"),
    }.items()
    for name in names
}
"""Module and registered name by the name of the class, which is the same in Keras."""


def from_keras_model(model: keras.Model) -> keras.Model:
    """Return a copy of a model in which Keras's recurrent layers are this package's.

    `LSTM`, `GRU`, `SimpleRNN`, `RNN` and `Bidirectional`, and the cells `LSTMCell`,
    `GRUCell` and `SimpleRNNCell`, wherever they are: in models within the model, in
    other layers. All other layers are copied. Names, arguments and weights are the
    same, so that the copy answers as the model does.

    Args:
        model: functional, sequential, or of a class that has `get_config`; built. It is
            not changed.

    Returns:
        The copy; not compiled.

    Raises:
        ValueError: if the model is not built, holds no such layer, or cannot be made
            again from its config.

    Example:
        >>> from custom_lstm import trace
        >>> stock = keras.Sequential(
        ...     [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(1)]
        ... )
        >>> ours = from_keras_model(stock)
        >>> x = keras.ops.ones((2, 5, 3))
        >>> bool(keras.ops.all(abs(ours(x) - stock(x)) < 1e-6))
        True
        >>> trace(ours, x)["forget"].shape
        (2, 5, 4)
    """
    if not model.built:
        raise ValueError(
            f"`model` must be built, by an `Input` or a call. Received: {model}"
        )
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    swapped, count = _swapped(config)
    if not count:
        names = [layer.name for layer in layers_in(model)]
        raise ValueError(
            f"`model` must have a recurrent layer of Keras, {', '.join(_OURS)}. "
            f"Received a model of {', '.join(names) or 'no layers'}"
        )
    known = {type(layer).__name__: type(layer) for layer in layers_in(model)}
    of_user = {
        name: cls
        for name, cls in known.items()
        if not cls.__module__.startswith("keras")
    }
    with keras.saving.custom_object_scope(of_user):
        copy = keras.saving.deserialize_keras_object(swapped)
    copy.set_weights(model.get_weights())
    return copy


def _swapped(config: Any) -> tuple[Any, int]:
    """Return a config that names this package's classes, and how many it names."""
    if isinstance(config, list | tuple):
        parts = [_swapped(part) for part in config]
        return type(config)(part for part, _ in parts), sum(n for _, n in parts)
    if not isinstance(config, dict):
        return config, 0
    made, count = {}, 0
    for key, value in config.items():
        made[key], found = _swapped(value)
        count += found
    if config.get("module") == _KERAS and config.get("class_name") in _OURS:
        made["module"], made["registered_name"] = _OURS[config["class_name"]]
        count += 1
    return made, count
