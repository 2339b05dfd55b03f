"""Forms of inputs that layers of TensorFlow 2.10 took and Keras 3's do not.

Also how cells whose classes are not registered are found again in this process.
"""

import threading
import warnings
import weakref
from typing import Any, Self

import keras
from keras import ops

from custom_lstm.cells.base import layers_in, takes_constants
from custom_lstm.cells.validation import shapes_text
from custom_lstm.typing import Nest, Tensor


def split_list(
    owner: str, inputs: list[Tensor], cell: Any, kwargs: dict[str, Any]
) -> tuple[Tensor, dict[str, Any]]:
    """Read `[inputs, *states, *constants]`, the old form of a call.

    Args:
        owner: who was called, for the error.
        inputs: the list.
        cell: tells how many states there are, and whether it takes constants.
        kwargs: the other arguments of the call.

    Returns:
        The inputs, and the arguments with `initial_state` and `constants`.

    Raises:
        ValueError: if the list holds neither states nor constants that fit.
    """
    count = len(keras.tree.flatten(cell.state_size))
    first, *rest = inputs if inputs else [None]
    takes = takes_constants(cell)
    whole = [x for x in inputs if hasattr(x, "shape")]
    right = len(rest) in (0, count) or (takes and len(rest) > count)
    only_constants = takes and 0 < len(rest) < count
    clash = rest and kwargs.get("initial_state") is not None and not only_constants
    if first is None or len(whole) < len(inputs) or clash or not (right or takes):
        raise ValueError(
            f"{owner}: a list of inputs means [inputs, *states, *constants], with "
            f"{count} state(s){'' if takes else ' and no constants'}; a cell that "
            "takes several inputs gets them as a tuple or dict. Received a list of "
            f"{len(inputs)}: {shapes_text(inputs)}"
        )
    kwargs = dict(kwargs)
    if only_constants:
        kwargs["constants"] = rest
    elif rest:
        kwargs["initial_state"] = rest[:count]
        if rest[count:]:
            kwargs["constants"] = rest[count:]
    return first, kwargs


class Ragged:
    """A ragged tensor of sequences, as a dense one with a mask.

    Args:
        tensor: a `tf.RaggedTensor` whose second axis, time, is ragged.
    """

    def __init__(self, tensor: Any):
        self.tensor = tensor
        self.lengths = tensor.row_lengths()

    @classmethod
    def of(cls, inputs: Nest) -> Self | None:
        """Return the ragged tensor that `inputs` are, or None if they are none.

        Raises:
            ValueError: if other axes than time are ragged.
        """
        if not (hasattr(inputs, "row_lengths") and hasattr(inputs, "to_tensor")):
            return None
        if inputs.ragged_rank != 1:
            raise ValueError(
                "Only the time axis of a ragged tensor, its second, may be ragged. "
                f"Received: ragged_rank={inputs.ragged_rank}, shape {inputs.shape}"
            )
        return cls(inputs)

    def dense(self) -> Tensor:
        """Return the sequences, filled up with zeros."""
        return self.tensor.to_tensor()

    def mask(self) -> Tensor:
        """Return which steps there are, `(batch, time)`."""
        time = ops.shape(self.dense())[1]
        return ops.arange(time, dtype=self.lengths.dtype)[None] < self.lengths[:, None]

    def restored(self, result: Nest, layer: Any) -> Nest:
        """Return what a layer returned, outputs of all steps made ragged again."""
        several = isinstance(result, tuple) and (
            layer.return_state or layer.return_all_states
        )
        outputs, *rest = result if several else (result,)
        if layer.return_all_states:
            rest[-1] = self._ragged(rest[-1], layer.go_backwards)
        outputs = self._ragged(outputs, layer.go_backwards)
        return (outputs, *rest) if several else outputs

    def _ragged(self, nest: Nest, backwards: bool) -> Nest:
        make = type(self.tensor).from_tensor

        def ragged(tensor: Tensor) -> Any:
            if backwards:  # the steps that there are come last
                time = ops.shape(tensor)[1]
                absent = time - ops.cast(self.lengths, "int32")[:, None]
                order = (ops.arange(time, dtype="int32")[None] + absent) % time
                order = ops.reshape(order, (-1, time, *[1] * (len(tensor.shape) - 2)))
                tensor = ops.take_along_axis(tensor, order, axis=1)
            return make(tensor, lengths=self.lengths)

        return keras.tree.map_structure(ragged, nest)


_CLASSES: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()


def remember_classes(cell: Any) -> None:
    """Remember the classes of a cell, and of layers in it, that are not registered."""
    layers = layers_in(cell) if isinstance(cell, keras.layers.Layer) else [cell]
    for cls in map(type, layers):
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
    cell = layer.cell
    layers = layers_in(cell) if isinstance(cell, keras.layers.Layer) else [cell]
    names = sorted({type(x).__name__ for x in layers if not _is_registered(type(x))})
    if names:
        warnings.warn(
            f"{owner} is saved with {', '.join(names)}, which another process can only "
            "load with `custom_objects`. Write above the class: "
            '@keras.saving.register_keras_serializable(package="...")',
            stacklevel=2,
        )
