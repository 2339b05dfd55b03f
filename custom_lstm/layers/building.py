"""What a layer does with a cell before any step: it checks, prepares and builds it."""

import importlib
import warnings
from typing import Any

import keras

from custom_lstm.cells.base import is_stack, takes_constants
from custom_lstm.cells.validation import size_of_output, state_shape
from custom_lstm.typing import Nest
from custom_lstm.walk import layers_in, objects_in


def check_cell(cell: Any) -> Any:
    """Return a cell, several stacked; raise if one is a class or layer, or none.

    Raises:
        ValueError: says what `cell` is instead.
    """
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else cell
    several = isinstance(cells, list | tuple)
    if several and not cells:
        raise ValueError(f"RNN: `cell` must hold at least one cell. Received: {cell}")
    for one in cells if several else [cells]:
        if isinstance(one, type):
            raise ValueError(
                f"RNN: `cell` must be a cell, not a class. Received: {one.__name__}; "
                f"write RNN({one.__name__}(...))."
            )
        if isinstance(one, keras.layers.RNN | keras.layers.Bidirectional):
            raise ValueError(
                "RNN: `cell` must be a cell, one time step, and not a layer that runs "
                f"one over sequences. Received: the layer {type(one).__name__}"
            )
        for name in ("call", "state_size"):
            if name not in dir(one):
                raise ValueError(
                    f"RNN: `cell` must be a recurrent cell, with `{name}`. Received: "
                    f"{one!r}"
                )
    return (
        keras.layers.StackedRNNCells(list(cell)) if cells is cell and several else cell
    )


def build_cell(cell: Any, shape: Nest, constants: Nest = None) -> None:
    """Build a cell for one step of inputs, and those stacked in it.

    Args:
        cell: the cell.
        shape: of one step of inputs, or a nest of shapes.
        constants: the shapes of constants, or None.
    """
    if not isinstance(cell, keras.layers.Layer):
        return
    if is_stack(cell):
        with keras.name_scope(cell.name, caller=cell):
            for inner in cell.cells:
                build_cell(inner, shape, constants)
                batch = keras.tree.flatten(shape)[0]
                shape = keras.tree.map_structure(
                    lambda n, batch=batch: state_shape(n, batch), size_of_output(inner)
                )
        cell.built = True
    elif not cell.built and not lacks_build(cell):
        _build(cell, shape, constants)
        cell.built = True


def lacks_build(cell: keras.layers.Layer) -> bool:
    """Return whether a class leaves it to the first step to build layers in it."""
    return type(cell).build is keras.layers.Layer.build


def needs_step(cell: Any) -> bool:
    """Return whether something in a cell is built by a step alone."""
    return any(not layer.built for layer in layers_in(cell))


def rebuilt_by_layer(cell: Any) -> bool:
    """Return whether Keras could not build a cell of a file as its layer does."""
    return any(map(lacks_build, layers_in(cell)))


def without_build(config: Any) -> Any:
    """Return a cell's config without how it was built, which its layer does again.

    Keras would build it from lists in place of named tuples, and warn where a class
    has no `build`.
    """
    if isinstance(config, dict):
        return {k: without_build(v) for k, v in config.items() if k != "build_config"}
    if isinstance(config, list):
        return [without_build(entry) for entry in config]
    return config


def _build(cell: keras.layers.Layer, shape: Nest, constants: Nest) -> None:
    """Call `build` as TensorFlow 2.10 did, or else as Keras did before, with a list."""
    try:
        cell.build(shape)
    except (TypeError, ValueError, IndexError):
        listed = isinstance(constants, list) and takes_constants(cell)
        if not listed or cell.weights:
            raise
        cell.build([shape, *constants])


def use_plain_functions(cell: Any) -> None:
    """Replace every `tf.function` in a cell by what it runs, on TensorFlow.

    Its traces would keep the weights' values from when they were made. A layer's loop
    is a graph without them too.
    """
    for layer in objects_in(cell) if keras.backend.backend() == "tensorflow" else []:
        _of_tensorflow().use_plain_functions(layer)


def compiled_functions(cell: Any) -> list[str]:
    """Return the names of the `tf.function`s in a cell, on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return []
    names = map(_of_tensorflow().names_of_functions, objects_in(cell))
    return [name for some in names for name in some]


def _of_tensorflow() -> Any:
    return importlib.import_module("custom_lstm.kernels.tensorflow_functions")


def warn_of_foreign_variables(owner: str, cell: Any) -> None:
    """Warn of trainable variables that Keras does not see.

    Args:
        owner: the layer, for the warning.
        cell: its cell, built.
    """
    for layer in objects_in(cell):
        for name, value in vars(layer).items():
            several = value if isinstance(value, list | tuple) else [value]
            if not name.startswith("__") and any(map(_foreign, several)):
                warnings.warn(
                    f"{owner}: {type(layer).__name__}.{name} is a tf.Variable, which "
                    "Keras 3 neither trains nor saves. Write "
                    f'self.{name} = self.add_weight(shape=..., name="{name}")',
                    stacklevel=2,
                )


def _foreign(value: Any) -> bool:
    own = isinstance(value, keras.Variable)
    of_tensorflow = type(value).__module__.startswith("tensorflow.")
    variable = of_tensorflow and hasattr(value, "assign_add")
    return variable and not own and bool(getattr(value, "trainable", False))
