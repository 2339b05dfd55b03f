"""Endless sequences: chunk by chunk, in constant memory, many at once."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.validation import fits
from custom_lstm.layers.steps import boolean_mask, check_steps, intercepted
from custom_lstm.typing import Nest, Shape, States, Tensor
from custom_lstm.walk import layers_in

PIECES = (5, 1, 7, 3)
"""Steps of the pieces in which a sequence is tried after the first chunk."""
REMEMBERED = 64
"""Steps kept, at most, while there are too few different ones to try a cut with."""


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
    each step by itself. Whether they do is tried on the first chunk, with other data: a
    convolution over time, an attention, a mean over all steps or a numbering of steps
    would see the chunk's borders.

    Args:
        model: a recurrent layer, or a model with one input `(streams, steps, ...)`.
        check: whether to try, once, if cut sequences give the outputs of whole ones.
            These are made of the steps of the first chunk in random order, and, of
            floats, of numbers in their range; masked steps are left out. Integers that
            are all the same are kept until another comes: only then a cut can be tried.
            It costs four runs of the first chunk. A model that draws random numbers
            where it answers cannot be tried.

    Call arguments:
        chunk: `(streams, steps, ...)`: the next steps of each stream; as many steps as
            there are, at least one. The number of streams is that of the first chunk.

    Returns:
        What the model returns for these steps, as NumPy arrays; of a layer that returns
        no sequences, the output of the last one.

    Raises:
        ValueError: if a layer cannot be carried on, which it names where it can, or a
            chunk does not fit the ones before. The stream is then left as it was.

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
        self._trial = _Trial(self._model) if check else None
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
        if self._trial and self._trial.is_done_with(ops.convert_to_numpy(chunk)):
            self._trial = None
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


class _Trial:
    """The trial whether a model gives for cut sequences what it gives for whole ones.

    Args:
        model: with its states as inputs and outputs.
    """

    def __init__(self, model: "_ModelOfStates"):
        self._model = model
        self._steps: np.ndarray | None = None
        self._rng = np.random.default_rng(0)

    def is_done_with(self, chunk: np.ndarray) -> bool:
        """Try cuts of sequences like `chunk`, if it has steps enough to make some.

        Args:
            chunk: `(streams, steps, ...)`, which the model has just run.

        Returns:
            Whether that was possible.

        Raises:
            ValueError: the model gives other outputs for a cut sequence.
        """
        streams, time = chunk.shape[:2]
        steps = self._that_count(chunk)
        if self._steps is not None:
            steps = np.concatenate([self._steps, steps])
        floats = steps.dtype.name.startswith(("float", "bfloat"))
        if not len(steps) or not (floats or np.any(steps != steps[:1])):
            self._steps = steps[:REMEMBERED]
            return False
        self._try(self._drawn(steps, streams, 2 * time), (time, time), compiled=True)
        draw = self._wide if floats else self._drawn
        self._try(draw(steps, streams, sum(PIECES)), PIECES)
        return True

    def _that_count(self, chunk: np.ndarray) -> np.ndarray:
        """Return the finite steps of a chunk that no recurrent layer must leave out."""
        counts = np.reshape(_finite(chunk), (*chunk.shape[:2], -1)).all(-1)
        if self._model.masked:
            self._model.run_once(chunk)
            for mask in self._model.masks:
                if mask.shape == counts.shape:
                    counts &= mask
        return chunk[counts]

    def _drawn(self, steps: np.ndarray, streams: int, time: int) -> np.ndarray:
        """Return sequences of some of the steps, in random order."""
        return steps[self._rng.integers(len(steps), size=(streams, time))]

    def _wide(self, steps: np.ndarray, streams: int, time: int) -> np.ndarray:
        """Return sequences of numbers between those in the steps, 0 and 1.

        The steps of one chunk may be too like each other to show what later ones do.
        """
        each = steps.astype("float64")
        low, high = np.minimum(each.min(0), 0), np.maximum(each.max(0), 1)
        drawn = self._rng.uniform(size=(streams, time, *steps.shape[1:]))
        return (low + (high - low) * drawn).astype(steps.dtype)

    def _try(
        self, whole: np.ndarray, lengths: Sequence[int], compiled: bool = False
    ) -> None:
        """Raise unless `whole` and its pieces of these lengths give the same outputs.

        Args:
            whole: `(streams, steps, ...)`.
            lengths: of the pieces.
            compiled: whether pieces are run by the code for chunks of their length.
        """
        pieces = np.split(whole, np.cumsum(lengths)[:-1], axis=1)
        run = self._model.run if compiled else self._model.run_once
        expected = _arrays(self._model.run_once(whole)[0])
        if not all(map(np.all, self._model.masks)):
            return  # outputs are repeated at masked steps, and a repetition can be cut
        if not all(np.all(_finite(array)) for array in expected):
            return
        parts, states = [], None
        for piece in pieces:
            outputs, states = run(piece, states, np.zeros(len(whole), bool))
            parts.append(_arrays(outputs))
        if not _agree(expected, parts) and not self._draws(whole, expected):
            raise ValueError(
                f"Stream: {self._at_fault(whole, pieces)} gives other outputs for a "
                "sequence cut in pieces than for the whole one. It looks at several "
                "steps, or counts them, and has no state that could be carried on."
            )

    def _draws(self, whole: np.ndarray, expected: list[np.ndarray]) -> bool:
        """Return whether a second run differs for random numbers alone."""
        kept = [
            variable
            for variable in self._model.model.non_trainable_variables
            if variable.name != "seed_generator_state"
        ]
        before = _arrays([variable.value for variable in kept])
        again = _arrays(self._model.run_once(whole)[0])
        after = _arrays([variable.value for variable in kept])
        changed = any(np.any(a != b) for a, b in zip(before, after, strict=True))
        return not changed and not _agree(expected, [again])

    def _at_fault(self, whole: np.ndarray, pieces: Sequence[np.ndarray]) -> str:
        """Name the first layer of which the inputs agree and the outputs do not."""
        calls, by_piece = self._calls([whole]), self._calls(pieces)
        model = self._model.model
        for k, (layer, inputs, outputs) in enumerate(calls):
            same = by_piece[k :: len(calls)]
            if [each for each, _, _ in same] != [layer] * len(pieces):
                break  # other layers run over a piece than over the whole
            agree = _agree(inputs, [each for _, each, _ in same])
            if agree and not _agree(outputs, [each for _, _, each in same]):
                inside = "" if layer is model else f" in {model.name!r}"
                return f"the layer {layer.name!r} ({type(layer).__name__}){inside}"
        return f"{model.name!r}"

    def _calls(self, pieces: Sequence[np.ndarray]) -> list[tuple[Any, Any, Any]]:
        """Return the calls of all layers, inner ones first: layer, inputs, outputs."""
        calls: list[tuple[Any, Any, Any]] = []
        states = None
        by_step = keras.layers.TimeDistributed
        outside = layers_in(self._model.model, leave_out=(keras.layers.RNN,))
        whole = [layer for layer in outside if isinstance(layer, by_step)]
        leave_out = (by_step, keras.layers.RNN)
        others = layers_in(self._model.model, leave_out=leave_out)
        with _RECORDING, contextlib.ExitStack() as stack:
            for layer in [*others, *whole, *self._model.recurrent]:
                stack.enter_context(_recorded(layer, calls))
            for piece in pieces:
                fresh = np.zeros(len(piece), bool)
                _, states = self._model.run_once(piece, states, fresh)
        return calls


_RECORDING = threading.Lock()


@contextlib.contextmanager
def _recorded(layer: keras.layers.Layer, calls: list[Any]) -> Iterator[None]:
    """Within this context, calls of `layer` on this thread are added to `calls`."""
    call, thread = layer.call, threading.get_ident()

    def recording(*args, **kwargs):
        outputs = call(*args, **kwargs)
        if threading.get_ident() == thread:
            with contextlib.suppress(TypeError, NotImplementedError):  # of tracers
                calls.append((layer, _arrays((args, kwargs)), _arrays(outputs)))
        return outputs

    layer.call = recording
    try:
        yield
    finally:
        del layer.call


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
        self.masks: list[np.ndarray] = []
        self._notes = False
        self.built = True

    def run_once(
        self,
        chunk: np.ndarray,
        states: list[States] | None = None,
        fresh: np.ndarray | None = None,
    ) -> tuple[Nest, list[States]]:
        """Return the outputs and the next states without compiling anything for it.

        `masks` are then those of the recurrent layers.
        """
        self.masks, self._notes = [], True
        try:
            return self(_inputs(chunk, states, fresh))
        finally:
            self._notes = False

    def run(
        self, chunk: Tensor, states: list[States] | None, fresh: np.ndarray
    ) -> tuple[Nest, list[States]]:
        """Return the outputs and the next states, as arrays, by compiled code."""
        if not self.model.built:
            self.model(chunk, training=False)
        return self.predict_on_batch(_inputs(chunk, states, fresh))

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

    def _note(self, mask: Tensor | None) -> None:
        if mask is not None:
            self.masked = True
            if self._notes:
                self.masks.append(ops.convert_to_numpy(mask))

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
            self._note(boolean_mask(mask))
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


def _inputs(
    chunk: Tensor, states: list[States] | None, fresh: np.ndarray | None
) -> dict[str, Any]:
    """Return what `_ModelOfStates` is called with; a first chunk has no states."""
    carried = {} if states is None else {"states": states, "fresh": fresh}
    return {"chunk": chunk, **carried}


def _where(fresh: Tensor, begun: Tensor, carried: Tensor) -> Tensor:
    rows = ops.reshape(fresh, (-1, *[1] * (len(begun.shape) - 1)))
    return ops.where(rows, begun, ops.cast(carried, begun.dtype))


def _check_layer(layer: keras.layers.RNN) -> None:
    check_steps("Stream", layer)
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


def _arrays(nest: Nest) -> list[np.ndarray]:
    """Return the tensors in a nest as arrays; all else is left out."""
    return [
        ops.convert_to_numpy(leaf)
        for leaf in keras.tree.flatten(nest)
        if hasattr(leaf, "shape")
    ]


def _agree(whole: list[np.ndarray], parts: list[list[np.ndarray]]) -> bool:
    """Return whether arrays of a whole sequence are, together, those of its parts."""
    if any(len(part) != len(whole) for part in parts):
        return False
    for expected, *pieces in zip(whole, *parts, strict=True):
        found = pieces[-1]
        if expected.shape != found.shape:
            rows = {(*piece.shape[:1], *piece.shape[2:]) for piece in pieces}
            if len(rows) > 1 or expected.ndim < 2:
                return False
            found = np.concatenate(pieces, axis=1)
        if expected.shape != found.shape or not _close(expected, found):
            return False
    return True


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind not in "OSU"


def _finite(array: np.ndarray) -> np.ndarray:
    if not _is_number(array):
        return np.ones(array.shape, bool)
    return np.isfinite(array.astype("float64"))


def _close(whole: np.ndarray, cut: np.ndarray) -> bool:
    """Return whether two results differ by rounding at most."""
    if not _is_number(whole):
        return bool(np.all(whole == cut))
    tolerance = 1e-3 if whole.dtype.itemsize >= 4 else 5e-2
    whole, cut = whole.astype("float64"), cut.astype("float64")
    scale = np.nan_to_num(np.abs(whole)).max(initial=1e-2)
    return np.allclose(whole, cut, rtol=0, atol=tolerance * scale, equal_nan=True)
