"""Endless sequences: chunk by chunk, in constant memory, many at once."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.base import layers_in
from custom_lstm.cells.validation import fits
from custom_lstm.layers.steps import intercepted
from custom_lstm.typing import Nest, Shape, States, Tensor


class Stream:
    """A recurrent layer or model that is fed endless sequences in chunks.

        y[:, a:b], s_b = f(x[:, a:b], s_a)          s: the states of every layer

    However the sequences are cut, the outputs are those of the whole ones. Kept
    between calls are the states alone, as arrays: memory does not grow with the number
    of chunks, and functions are compiled for as many shapes of chunks as there are
    (on TensorFlow for two or three at most).

    Any recurrent layer will do, of this package or Keras's, around any cell, stacked,
    inside a model of any kind and at any depth. The model stays as it is; it runs with
    its present weights, not in training. Every layer that is not recurrent must act on
    each step by itself. Whether they do is tried on the first chunk: a convolution over
    time, an attention or a numbering of steps would see the chunk's borders.

    Args:
        model: a recurrent layer, or a model with one input `(streams, steps, ...)`.
        check: whether to try, once, if a cut sequence gives the outputs of the whole;
            costs three runs of the first chunk. Layers that get a mask are not tried:
            Keras repeats outputs at masked steps, and a repetition can be cut.

    Call arguments:
        chunk: `(streams, steps, ...)`: the next steps of each stream; as many steps as
            there are, at least one. The number of streams is that of the first chunk.

    Returns:
        What the model returns for these steps, as NumPy arrays; of a layer that returns
        no sequences, the output of the last one.

    Raises:
        ValueError: if a layer cannot be carried on, or a chunk does not fit the ones
            before. The stream is then left as it was.

    Example:
        >>> from custom_lstm import LSTM
        >>> layer = LSTM(3, return_sequences=True)
        >>> x = np.random.default_rng(0).normal(size=(2, 7, 4)).astype("float32")
        >>> whole, stream = layer(x), Stream(layer)
        >>> parts = [stream(x[:, :5]), stream(x[:, 5:])]
        >>> bool(np.allclose(np.concatenate(parts, axis=1), whole, atol=1e-6))
        True
        >>> stream.reset([1])
        >>> bool(np.allclose(stream(x[:, :5])[1], whole[1, :5], atol=1e-6))
        True
    """

    def __init__(self, model: keras.layers.Layer, *, check: bool = True):
        if not isinstance(model, keras.layers.Layer):
            raise ValueError(
                "Stream: `model` must be a Keras layer or model. Received: "
                f"{type(model).__name__}"
            )
        self._model = _ModelOfStates(model)
        self._check = check
        self._shape = _input_shape(model)
        self._states: list[States] | None = None
        self._fresh = np.zeros(0, bool)

    @property
    def states(self) -> dict[str, list[np.ndarray]]:
        """The states of each recurrent layer, by name, after the last step seen."""
        layers, states = self._model.recurrent, self._states or []
        return {
            layer.name: [state.copy() for state in own]
            for layer, own in zip(layers, states, strict=False)
        }

    def __call__(self, chunk: Tensor) -> Nest:
        """Return the outputs for the next steps."""
        chunk = chunk if hasattr(chunk, "shape") else np.asarray(chunk)
        self._check_shape(tuple(chunk.shape))
        outputs, states = self._model.run(chunk, self._states, self._fresh)
        if self._check:
            self._try_a_cut(chunk, outputs, states)
            self._check = False
        self._states = states
        self._fresh = np.zeros(len(chunk), bool)
        self._shape = (len(chunk), None, *chunk.shape[2:])
        return outputs

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """Make streams begin again, from the layers' own initial states.

        Args:
            streams: their indices; by default all, of which there may then be any
                number.

        Raises:
            ValueError: if there is no such stream.
        """
        if streams is None:
            self._states = None
            if self._shape:
                self._shape = (None, *self._shape[1:])
            return
        count = len(self._fresh) if self._states else 0
        indices = list(streams) if isinstance(streams, Iterable) else [None]
        if not all(_is_index(i) and i < count for i in indices):
            raise ValueError(
                f"Stream: `streams` must be indices of the {count} streams, from 0. "
                f"Received: streams={streams!r}"
            )
        self._fresh[[int(i) for i in indices]] = True

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        expected = self._shape
        if len(shape) < 2 or 0 in shape[:2] or (expected and not fits(shape, expected)):
            names = ("streams", "steps")
            axes = [
                name if expected is None or size is None else str(size)
                for name, size in zip(names, expected or names, strict=False)
            ]
            rest = ["..."] if expected is None else map(str, expected[2:])
            raise ValueError(
                f"Stream: a chunk must have the shape ({', '.join([*axes, *rest])}), "
                "with at least one step; another number of streams needs `reset()` "
                f"first. Received shape: {shape}"
            )

    def _try_a_cut(self, chunk: Tensor, first: Nest, states: list[States]) -> None:
        """Raise if `chunk` twice at once is not `chunk` and then `chunk`."""
        if self._model.masked:
            return
        twice = np.concatenate([ops.convert_to_numpy(chunk)] * 2, axis=1)
        whole, _ = self._model({"chunk": twice})  # once: it is not worth compiling
        second, _ = self._model.run(chunk, states, np.zeros(len(chunk), bool))
        for a, b, c in zip(
            *map(keras.tree.flatten, (whole, first, second)), strict=True
        ):
            a = ops.convert_to_numpy(a)
            cut = c if a.shape == c.shape else np.concatenate([b, c], axis=1)
            if a.shape != cut.shape or not _close(a, cut):
                raise ValueError(
                    f"Stream: {self._model.model.name!r} gives other outputs for a "
                    "sequence cut in two than for the whole one. A layer besides the "
                    "recurrent ones looks at several steps, or counts them."
                )


class _ModelOfStates(keras.Model):
    """A model with the states of its recurrent layers as inputs and outputs.

    Args:
        model: a recurrent layer, or a model that holds some.
    """

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

    def run(
        self, chunk: Tensor, states: list[States] | None, fresh: np.ndarray
    ) -> tuple[Nest, list[States]]:
        """Return the outputs and the next states, as arrays, by compiled code."""
        if not self.model.built:
            self.model(chunk, training=False)
        inputs = {"chunk": chunk}
        if states is not None:
            inputs |= {"states": states, "fresh": fresh}
        return self.predict_on_batch(inputs)

    def call(self, inputs: dict[str, Any]) -> tuple[Nest, list[States]]:
        """Return the outputs and the next states.

        Args:
            inputs: "chunk"; and unless it is the first, "states", those of each
                recurrent layer, flat, and "fresh" `(streams,)`, which is True where a
                stream begins again.
        """
        after: list[States] = [[] for _ in self.recurrent]
        carried = inputs.get("states", after)
        with contextlib.ExitStack() as stack:
            for layer, old, new in zip(self.recurrent, carried, after, strict=True):
                loop = self._carrying(layer, list(old), inputs.get("fresh"), new)
                stack.enter_context(loop)
            outputs = self.model(inputs["chunk"], training=False)
        return outputs, after

    @contextlib.contextmanager
    def _carrying(
        self, layer: keras.layers.RNN, old: States, fresh: Tensor, new: States
    ) -> Iterator[None]:
        """Within this context, `layer` continues from `old` and adds to `new`."""

        def carry(loop, sequences, initial_state, mask, training, **more):
            if new:
                raise ValueError(
                    f"Stream: the layer {layer.name!r} runs twice over one chunk, and "
                    "only one of its two states can be carried on."
                )
            self.masked = self.masked or mask is not None
            if old:
                begun = keras.tree.flatten(initial_state)
                chosen = [_where(fresh, b, o) for b, o in zip(begun, old, strict=True)]
                initial_state = keras.tree.pack_sequence_as(initial_state, chosen)
            last, outputs, states = loop(
                sequences, initial_state, mask, training, **more
            )
            new.extend(keras.tree.flatten(states))
            return last, outputs, states

        with intercepted(layer, carry):
            yield


def _where(fresh: Tensor, begun: Tensor, carried: Tensor) -> Tensor:
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


def _is_index(value: Any) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and int(value) >= 0


def _input_shape(model: keras.layers.Layer) -> Shape | None:
    """Return the shape of a chunk, as far as it is known, with open batch and time."""
    config = model.get_build_config() or {}
    declared = getattr(model, "input_shape", None)
    shape = declared or config.get("input_shape")
    if shape is None:
        return None
    if not isinstance(shape, tuple) or any(map(keras.tree.is_nested, shape)):
        raise ValueError(
            f"Stream: {model.name!r} must have one input. Its inputs have the shapes "
            f"{shape}"
        )
    if declared and shape[1] and not isinstance(model, keras.Sequential):
        raise ValueError(
            f"Stream: {model.name!r} takes {shape[1]} steps, no more and no fewer; "
            f"build it with keras.Input((None, {', '.join(map(str, shape[2:]))}))."
        )
    return (None, None, *shape[2:])


def _close(whole: np.ndarray, cut: np.ndarray) -> bool:
    """Return whether two results differ by rounding at most."""
    tolerance = 1e-3 if whole.dtype.itemsize >= 4 else 5e-2
    whole, cut = whole.astype("float64"), cut.astype("float64")
    scale = np.nan_to_num(np.abs(whole)).max(initial=1)
    return np.allclose(whole, cut, rtol=0, atol=tolerance * scale, equal_nan=True)
