"""One run of a model over a chunk, from given states to the next ones."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.tracing import layers_in

States = list[list[Any]]
"""For each recurrent layer its states, flat."""


class Pass(keras.Model):
    """One run of a model over a chunk, from given states to the next ones."""

    def __init__(self, model: keras.layers.Layer):
        super().__init__(name=f"stream_of_{model.name}")
        self.model = model
        within_steps = (keras.layers.TimeDistributed,)
        found = layers_in(model, leave_out=within_steps)
        self.recurrent = [x for x in found if isinstance(x, keras.layers.RNN)]
        for layer in self.recurrent:
            _check_layer(layer)
        if not self.recurrent:
            raise ValueError(f"Stream: there is no recurrent layer in {model.name!r}")
        self.run_eagerly = any(layer.unroll for layer in self.recurrent)
        self.masked = False
        self.built = True

    def run(self, chunk: Any, states: States | None, fresh: np.ndarray) -> Any:
        """Compiled; the outputs and the next states, as arrays."""
        if not self.model.built:
            self.model(chunk, training=False)
        inputs = {"chunk": chunk}
        if states is not None:
            inputs |= {"states": states, "fresh": fresh}
        return self.predict_on_batch(inputs)

    def call(self, inputs: dict[str, Any]) -> tuple[Any, States]:
        """The outputs and the next states.

        Args:
            inputs: "chunk"; and unless it is the first, "states" and "fresh"
                `(streams,)`, which is True where a stream begins anew.
        """
        after: States = [[] for _ in self.recurrent]
        carried = inputs.get("states", after)
        with contextlib.ExitStack() as stack:
            for layer, old, new in zip(self.recurrent, carried, after, strict=True):
                loop = self._carrying(layer, list(old), inputs.get("fresh"), new)
                stack.enter_context(loop)
            outputs = self.model(inputs["chunk"], training=False)
        return outputs, after

    @contextlib.contextmanager
    def _carrying(
        self, layer: keras.layers.RNN, old: list[Any], fresh: Any, new: list[Any]
    ) -> Iterator[None]:
        """While it lasts, `layer` goes on from `old` and leaves its states in `new`."""
        loop = layer.inner_loop

        def inner_loop(
            sequences: Any, initial_state: Any, mask: Any, training: Any = False
        ) -> Any:
            if new:
                raise ValueError(
                    f"Stream: the layer {layer.name!r} runs twice over one chunk; "
                    "which of its two states should go on?"
                )
            self.masked = self.masked or mask is not None
            if old:
                begun = keras.tree.flatten(initial_state)
                chosen = [_where(fresh, b, o) for b, o in zip(begun, old, strict=True)]
                initial_state = keras.tree.pack_sequence_as(initial_state, chosen)
            last, outputs, states = loop(
                sequences, initial_state, mask, training=training
            )
            new.extend(keras.tree.flatten(states))
            return last, outputs, states

        layer.inner_loop = inner_loop
        try:
            yield
        finally:
            del layer.inner_loop


def _where(fresh: Any, begun: Any, carried: Any) -> Any:
    rows = ops.reshape(fresh, (-1, *[1] * (len(begun.shape) - 1)))
    return ops.where(rows, begun, ops.cast(carried, begun.dtype))


def _check_layer(layer: keras.layers.RNN) -> None:
    if layer.go_backwards:
        raise ValueError(
            f"Stream: the layer {layer.name!r} goes backwards. It begins at the end, "
            "and an endless sequence has none."
        )
    if layer.stateful:
        raise ValueError(
            f"Stream: the layer {layer.name!r} is stateful and carries on by itself; "
            "make it with `stateful=False`."
        )
