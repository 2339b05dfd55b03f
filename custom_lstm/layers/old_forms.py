"""Forms of inputs that layers of TensorFlow 2.10 took and Keras 3's do not."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from custom_lstm.cells.validation import shapes_text
from custom_lstm.typing import Nest, Tensor


def called_in_any_form(
    layer: Any,
    call: Callable[..., Nest],
    count: int,
    takes: bool,
    sequences: Nest,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Nest:
    """Call a layer on a list `[inputs, *states, *constants]`, ragged tensors, or plain.

    Args:
        layer: with `return_sequences`, `go_backwards`, `time_major` and the like.
        call: its plain call.
        count: number of its states.
        takes: whether it takes constants.
        sequences, args, kwargs: what it was called with.

    Returns:
        What `call` returns; with ragged inputs, the outputs of all steps ragged too.

    Raises:
        ValueError: if a list or a ragged tensor does not fit.
    """
    owner = f"{type(layer).__name__} {layer.name!r}"
    if isinstance(sequences, list):
        sequences, kwargs = _split_list(owner, sequences, count, takes, kwargs)
    ragged = Ragged.of(sequences)
    if ragged is None:
        return call(sequences, *args, **kwargs)
    if layer.time_major or kwargs.get("mask") is not None:
        raise ValueError(
            f"{owner}: a ragged tensor has the axes (batch, time, features) and is its "
            "own mask. Received: "
            + ("time_major=True" if layer.time_major else "`mask` besides")
        )
    result = call(ragged.dense(), *args, **{**kwargs, "mask": ragged.mask()})
    return ragged.restored(result, layer) if layer.return_sequences else result


def _split_list(
    owner: str, inputs: list[Tensor], count: int, takes: bool, kwargs: dict[str, Any]
) -> tuple[Tensor, dict[str, Any]]:
    """Return the inputs, and the arguments with `initial_state` and `constants`."""
    first, *rest = inputs or [None]
    only_constants = takes and 0 < len(rest) < count
    fits = len(rest) in (0, count) or takes
    clash = rest and not only_constants and kwargs.get("initial_state") is not None
    tensors = inputs and all(hasattr(tensor, "shape") for tensor in inputs)
    if not tensors or clash or not fits:
        raise ValueError(
            f"{owner}: a list of inputs means [inputs, *states, *constants], with "
            f"{count} state(s){'' if takes else ' and no constants'}; a cell that "
            "takes several inputs gets them as a tuple or dict. Received a list of "
            f"{len(inputs)}: {shapes_text(inputs)}"
        )
    states, constants = ([], rest) if only_constants else (rest[:count], rest[count:])
    kwargs = dict(kwargs)
    if states:
        kwargs["initial_state"] = states
    if constants:
        kwargs["constants"] = constants
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
