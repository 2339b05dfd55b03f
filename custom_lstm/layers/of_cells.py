"""Layers made of cell classes: the cell's arguments and the layer's in one call."""

import difflib
import functools
import inspect
import re
from collections.abc import Hashable
from typing import Any

import keras

from custom_lstm.cells.base import AbstractRNNCell
from custom_lstm.layers.gated_rnn import GatedRNN, arguments_of
from custom_lstm.layers.rnn import RNN
from custom_lstm.typing import Config

_OF_EVERY_LAYER = {
    "activity_regularizer": (None, "penalty on the output."),
    "name": (None, "of the layer."),
    "dtype": (None, 'a dtype, or a policy such as "mixed_bfloat16".'),
    "trainable": (True, "whether training changes the weights."),
}
"""Default and meaning, by name."""
_OF_OLD_LAYERS = (
    "batch_input_shape",
    "batch_size",
    "dynamic",
    "input_dim",
    "input_length",
    "input_shape",
    "weights",
)
"""What `RNN` takes besides: see `renew_arguments`."""


class CellRNN(GatedRNN):
    """Base of the layers that `layer_class_of` makes of cell classes.

    Args:
        *args, **kwargs: the cell's arguments, and by keyword the layer's.

    Raises:
        TypeError: if there is no such argument, or one is missing.
    """

    __signature__: inspect.Signature

    def __init__(self, *args: Any, **kwargs: Any):
        given = _arguments(type(self), args, kwargs)
        options = {name: given.pop(name) for name in self._of_cell if name in given}
        super().__init__(options, **given)


def _arguments(cls: type[CellRNN], args: tuple[Any, ...], kwargs: Config) -> Config:
    """Return the arguments of a layer by name, or raise a TypeError that names one."""
    old = {name: kwargs[name] for name in _OF_OLD_LAYERS if name in kwargs}
    own = {name: value for name, value in kwargs.items() if name not in old}
    known = cls.__signature__.parameters
    for name in own:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(
                f"{cls.__name__} has no argument {name!r}.{hint} It takes "
                f"{', '.join(known)}."
            )
    try:
        bound = cls.__signature__.bind(*args, **own)
    except TypeError as error:
        raise TypeError(
            f"{cls.__name__}: {error}. It takes {', '.join(known)}."
        ) from None
    return {**bound.arguments, **old}


def layer_class_of(cell_class: type[AbstractRNNCell], module: str) -> type[CellRNN]:
    """Return a layer class of a cell class, named as it without "Cell".

    It is `RNN` around such a cell, and takes the arguments of both; those of the cell
    are attributes of it, and entries of its config. It is registered with Keras under
    the package name of the cell, or "Custom" if that is not registered.

    Args:
        cell_class: of cells that step vectors.
        module: the module where the layer class can be imported from.

    Raises:
        ValueError: if an argument of the cell has the name of something else in a
            layer.

    Example:
        >>> from custom_lstm.cells import MGUCell
        >>> layer = layer_class_of(MGUCell, __name__)(4, variant=2, return_state=True)
        >>> output, h = layer(keras.ops.ones((2, 5, 3)))
        >>> layer.variant, tuple(output.shape)
        (2, (2, 4))
    """
    of_cell = arguments_of(cell_class)
    of_layer = _layer_parameters()
    taken = [n for n in of_cell if n in of_layer or hasattr(RNN, n)]
    if taken:
        raise ValueError(
            f"{cell_class.__name__}: no layer can be made of it, as a layer has "
            f"something else of the name {taken[0]!r}, an argument of the cell."
        )
    parameters = [*of_cell.values(), *of_layer.values()]
    name = cell_class.__name__.removesuffix("Cell")
    members = {
        "__module__": module,
        "__doc__": _docstring(cell_class, of_cell),
        "__signature__": inspect.Signature(parameters),
        "cell_class": cell_class,
        "cell_name": _snake_case(cell_class.__name__),
    }
    made = type(name, (CellRNN,), members)
    package, *_, last = keras.saving.get_registered_name(cell_class).partition(">")
    made = keras.saving.register_keras_serializable(package if last else "Custom")(made)
    # Files of version 0.1 name every such layer so.
    keras.saving.get_custom_objects().setdefault(f"custom_lstm>{name}", made)
    return made


@functools.cache
def _layer_parameters() -> dict[str, inspect.Parameter]:
    """Return the arguments of `RNN` but the cell, and of every layer, by keyword."""
    _, _, *own = inspect.signature(RNN.__init__).parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    found = {p.name: p.replace(kind=kind) for p in own if p.kind is not p.VAR_KEYWORD}
    more = {
        name: inspect.Parameter(name, kind, default=default)
        for name, (default, _) in _OF_EVERY_LAYER.items()
    }
    return {**found, **more}


def _snake_case(name: str) -> str:
    """Return a class's name as Keras names its objects: `ind_rnn_cell`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _docstring(
    cell_class: type[AbstractRNNCell], of_cell: dict[str, inspect.Parameter]
) -> str:
    """Return the cell's equations and source, and the arguments of cell and layer."""
    told: dict[str, str] = {}
    for cls in reversed(cell_class.__mro__):
        told |= _entries(cls)
    of_layer = _entries(RNN) | {n: text for n, (_, text) in _OF_EVERY_LAYER.items()}
    told |= {name: of_layer[name] for name in _layer_parameters()}
    about = re.split(r"\n(?=\w[\w ]*:\n)", inspect.getdoc(cell_class) or "")[0].strip()
    of_the_rest = re.sub(r"\n\s+", "\n", told.get("**kwargs", ""))
    _, *weights = re.split(r"\.\s+", of_the_rest, maxsplit=1)
    arguments = [
        f"    {name}: {told.get(name, 'see the cell.')}"
        for name in (*of_cell, *_layer_parameters())
    ]
    parts = [
        f"`{cell_class.__name__}` over whole sequences: `custom_lstm.RNN` around it.",
        about,
        *weights,
        "\n".join(["Args:", *arguments]),
        "Call arguments:\n    sequences: `(batch, time, features)`.\n"
        "    initial_state, mask, training: see `custom_lstm.RNN`.",
        "Raises:\n    TypeError: if there is no such argument.\n"
        "    ValueError: if an argument is out of range.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


@functools.cache
def _entries(cls: Hashable) -> dict[str, str]:
    """Return what the section "Args" of a class's own docstring says, by name."""
    text = inspect.cleandoc(vars(cls).get("__doc__") or "")
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", text + "\n", re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(
        r"^    (\*{0,2}\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", section[1], re.MULTILINE
    )
    return {name: told for names, told in entries for name in names.split(", ")}
