"""The contract of a recurrent cell: one time step, written in two halves."""

import contextlib
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.validation import (
    Sizes,
    batch_size_of,
    check_states,
    check_step,
    output_size_of,
    standardized_property,
    state_size_of,
    with_old_arguments,
)
from custom_lstm.typing import BatchSize, DType, Nest, Shape, Tensor

Observer = Callable[[dict[str, Tensor]], None]
"""Takes what a step shows by `AbstractRNNCell.observe`, by name."""


class _Calls(threading.local):
    """What the calls in progress on this thread must know of their cells.

    A cell belongs to all threads, so none of this can be an attribute of it.
    """

    def __init__(self) -> None:
        self.drawn: dict[int, Nest] = {}
        """By id of the cell, within `in_sequence`."""
        self.begun: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        """The same outside of it, from `get_initial_state` on."""
        self.unused: weakref.WeakSet = weakref.WeakSet()
        """Cells of which no step has looked at what was drawn outside."""
        self.observers: dict[int, Observer] = {}
        """By id of the cell, within `observed`."""


_CALLS = _Calls()


class AbstractRNNCell(keras.layers.Layer):
    """Base class of recurrent cells: what happens in one time step.

    A cell says how large its states are and how one step goes. The step is best
    written in two halves,

        projected = project(inputs)                  what depends on the inputs alone
        output, new_states = step(projected, states) what needs the states

    because `custom_lstm.RNN` then projects all steps of a sequence at once, in one
    large matrix product, before its loop begins. A cell may instead override `call`
    alone, as Keras's own cells do; then nothing is hoisted, and all else works.
    Any cell runs in `keras.layers.RNN`, `Bidirectional` and `StackedRNNCells`.

    A subclass provides:

    - `state_size`: the width of its state; a list of widths, if it has several.
      An attribute set in `__init__`, or a property.
    - `output_size`: the width of its output, if it is not that of the first state.
    - `build(input_shape)`: makes the weights; `input_shape` is `(batch, features)`.
      May be left out if all weights are in sub-layers.
    - `step(projected, states, training=False)`, and where it pays
      `project(inputs, training=False)`; or else `call(inputs, states, training=False)`.
      Both halves may leave `training` out. `project` works on the last axis alone
      and keeps the others: it sees `(batch, features)` and `(batch, time, features)`.
    - optionally `state_names`, and `observe` in the step, for `custom_lstm.trace`;
      `begin_sequence`, which returns what is drawn once per sequence; the steps find
      it in `drawn`.

    Decorate it with `@keras.saving.register_keras_serializable(package=...)`, so that
    models that hold it can be saved and loaded.

    Cells written for TensorFlow 2.10's `tf.keras.layers.AbstractRNNCell` work as they
    are: `state_size` may hold `tf.TensorShape`s, and `get_initial_state` may have the
    old signature `(inputs=None, batch_size=None, dtype=None)`.

    Raises:
        TypeError: on construction, if there is neither a `call` nor a `step`.
        ValueError: on a call, if states or outputs are not what was promised.

    Example:
        >>> @keras.saving.register_keras_serializable(package="readme")
        ... class Leaky(AbstractRNNCell):
        ...     def __init__(self, units, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.units = self.state_size = units
        ...     def build(self, input_shape):
        ...         self.kernel = self.add_weight(shape=(input_shape[-1], self.units))
        ...     def project(self, inputs):
        ...         return ops.matmul(inputs, self.kernel)
        ...     def step(self, projected, states):
        ...         h = 0.9 * states[0] + projected
        ...         return h, [h]
        >>> tuple(keras.layers.RNN(Leaky(3))(ops.ones((2, 5, 4))).shape)
        (2, 3)
    """

    state_names: tuple[str, ...] | None = None
    """What `custom_lstm.trace` calls the states. By default "h" if there is one."""

    step: Callable[..., Any]

    def __init__(self, **kwargs: Any):
        cls = type(self)
        if cls.call is AbstractRNNCell.call and not hasattr(cls, "step"):
            raise TypeError(
                f"{cls.__name__} must define `step(projected, states)`, best together "
                "with `project(inputs)`, or else `call(inputs, states)`."
            )
        super().__init__(**kwargs)

    def __init_subclass__(cls, **kwargs: Any):
        """Let subclasses write sizes and `get_initial_state` in the old way too."""
        super().__init_subclass__(**kwargs)
        readers = {"state_size": state_size_of, "output_size": output_size_of}
        for name, reader in readers.items():
            own = cls.__dict__.get(name)
            if isinstance(own, property):
                setattr(cls, name, standardized_property(own, reader))
        if "get_initial_state" in cls.__dict__:
            method = cls.__dict__["get_initial_state"]
            cls.get_initial_state = with_old_arguments(method)  # type: ignore[method-assign]

    @property
    def state_size(self) -> Sizes:
        """Width of the state, or a (nested) list of widths."""
        if "_state_size" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} must say how large its states are: set "
                "`self.state_size` in `__init__`, or define it as a property."
            )
        return state_size_of(self._state_size)

    @state_size.setter
    def state_size(self, sizes: Any) -> None:
        self._state_size = state_size_of(sizes)

    @property
    def output_size(self) -> int:
        """Width of the output: unless set, that of the first state."""
        if "_output_size" in self.__dict__:
            return self._output_size
        return keras.tree.flatten(self.state_size)[0]

    @output_size.setter
    def output_size(self, size: Any) -> None:
        self._output_size = output_size_of(size)

    def get_initial_state(
        self,
        batch_size: BatchSize | None = None,
        dtype: DType | None = None,
        inputs: Tensor | None = None,
    ) -> list[Nest]:
        """Return the states before the first step: zeros.

        Args:
            batch_size: number of sequences. By default that of `inputs`, or 1.
            dtype: by default the cell's compute dtype.
            inputs: a tensor `(batch, ...)`; only its batch size is used.

        Returns:
            A list of tensors `(batch_size, width)`, one per state.

        Raises:
            ValueError: if `batch_size` or `dtype` is not valid.
        """
        batch_size = batch_size_of(batch_size, inputs)
        dtype = keras.backend.standardize_dtype(dtype or self.compute_dtype)
        begin_outside(self, batch_size)
        return self._for_each_state(lambda size: ops.zeros((batch_size, size), dtype))

    def build(self, input_shape: Shape) -> None:
        """Build the weights: here those of sub-layers, by one symbolic step."""
        if type(self).build is AbstractRNNCell.build:
            symbol = functools.partial(keras.KerasTensor, dtype=self.compute_dtype)
            states = self._for_each_state(lambda size: symbol((input_shape[0], size)))
            self.compute_output_spec(symbol(tuple(input_shape)), states)

    def _for_each_state(self, make: Callable[[int], Tensor]) -> list[Nest]:
        sizes = self.state_size
        listed = sizes if isinstance(sizes, list) else [sizes]
        return keras.tree.map_structure(make, listed)

    def project(self, inputs: Tensor) -> Tensor:
        """Compute what depends on the inputs alone: by default the inputs themselves.

        Args:
            inputs: `(batch, features)`, or `(batch, time, features)`: all steps.

        Returns:
            One tensor, with the same axes but the last.
        """
        return inputs

    def call(
        self, inputs: Tensor, states: Nest, training: bool | None = False
    ) -> tuple[Tensor, Nest]:
        """Compute one time step.

        Args:
            inputs: `(batch, features)`.
            states: list of `(batch, width)`, as `state_size` says.
            training: whether dropout and its like are on.

        Returns:
            `(output, new_states)`: a tensor `(batch, output_size)` and a list like
            `states`.
        """
        projected = self.project(inputs, **_training(type(self).project, training))
        return self.step(projected, states, **_training(type(self).step, training))

    def __call__(
        self, inputs: Tensor, states: Nest, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Nest]:
        """Run `call` and check what goes in and what comes out.

        The new states come back in the nest in which the states were given: as a
        list, a tuple, or bare, if it is one.
        """
        first = keras.tree.flatten(inputs)[0]
        batch = first.shape[0] if getattr(first, "shape", ()) else None
        owner = type(self).__name__
        check_states(owner, "the states", states, self.state_size, batch)
        listed = states if keras.tree.is_nested(states) else [states]
        result = super().__call__(inputs, listed, *args, **kwargs)
        check_step(self, result, batch)
        output, new_states = result
        flat = keras.tree.flatten(new_states)
        return output, keras.tree.pack_sequence_as(states, flat)

    def begin_sequence(
        self, batch_size: BatchSize, training: bool | None = True
    ) -> Nest:
        """Draw what must stay the same over the steps of a sequence: a hook.

        `custom_lstm.RNN` calls it before every loop, and hands what it returns to
        every step. `keras.layers.RNN` tells a cell of a new sequence only by asking
        for its initial state, so that `get_initial_state` calls it too, not knowing
        whether it is for training.

        Args:
            batch_size: number of sequences.
            training: False if the sequence is certainly not for training.

        Returns:
            A nest of tensors `(batch_size, ...)`, which the steps find in `drawn`.
        """
        return None

    @property
    def drawn(self) -> Nest:
        """What `begin_sequence` returned for the sequence in progress, or None."""
        if id(self) in _CALLS.drawn:
            return _CALLS.drawn[id(self)]
        _CALLS.unused.discard(self)
        return _CALLS.begun.get(self)

    def observe(self, **values: Tensor) -> None:
        """Show tensors of this step, by name, to `custom_lstm.trace` if it looks.

        Args:
            **values: tensors `(batch, width)`; the same names in every step.
        """
        if (observer := _CALLS.observers.get(id(self))) is not None:
            observer(values)


def splits(cell: keras.layers.Layer) -> bool:
    """Return whether a cell has two halves, so that the first can be hoisted.

    Args:
        cell: any recurrent cell.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> splits(LSTMCell(2)), splits(keras.layers.LSTMCell(2))
        (True, False)
    """
    cls = type(cell)
    return (
        isinstance(cell, AbstractRNNCell)
        and cls.call is AbstractRNNCell.call
        and cls.project is not AbstractRNNCell.project
    )


def project_sequence(
    cell: AbstractRNNCell, sequences: Tensor, training: bool | None = False
) -> Tensor:
    """Compute `cell.project` for all steps at once.

    Args:
        cell: one that splits.
        sequences: `(batch, time, features)`.
        training: passed on, if `project` takes it.

    Returns:
        A tensor `(batch, time, ...)`.

    Raises:
        ValueError: if `project` did not keep the first two axes.
    """
    projected = cell.project(sequences, **_training(type(cell).project, training))
    shape = tuple(getattr(projected, "shape", ()))
    if len(shape) < 3 or shape[1] != sequences.shape[1]:
        raise ValueError(
            f"{type(cell).__name__}.project must return one tensor and change its "
            f"last axis only, also for whole sequences. It received "
            f"{tuple(sequences.shape)} and returned {shape or type(projected)}."
        )
    return projected


def step_projected(
    cell: AbstractRNNCell, projected: Tensor, states: Nest, training: bool | None
) -> tuple[Tensor, Nest]:
    """Run `cell.step` on what `project` returned, and check what comes out."""
    result = cell.step(projected, states, **_training(type(cell).step, training))
    check_step(cell, result, projected.shape[0])
    return result


@contextlib.contextmanager
def in_sequence(cell: AbstractRNNCell, drawn: Nest) -> Iterator[None]:
    """While it lasts, steps of a cell on this thread find `drawn` in `cell.drawn`.

    Args:
        cell: the cell.
        drawn: what its `begin_sequence` returned.
    """
    with _entry(_CALLS.drawn, cell, drawn):
        yield


def begin_outside(cell: AbstractRNNCell, batch_size: BatchSize) -> None:
    """Begin a sequence that another loop than `custom_lstm.RNN`'s runs."""
    if id(cell) not in _CALLS.drawn:
        _CALLS.begun[cell] = cell.begin_sequence(batch_size)
        _CALLS.unused.add(cell)


def ensure_begun_outside(cell: AbstractRNNCell, batch_size: BatchSize) -> None:
    """Begin such a sequence, unless one has begun of which no step has been run."""
    if cell not in _CALLS.unused:
        begin_outside(cell, batch_size)


def end_outside(cell: AbstractRNNCell) -> None:
    """Forget what was drawn by `begin_outside`."""
    _CALLS.begun.pop(cell, None)
    _CALLS.unused.discard(cell)


@contextlib.contextmanager
def observed(cell: AbstractRNNCell, observer: Observer) -> Iterator[None]:
    """While it lasts, `observer` is called with what steps on this thread `observe`.

    Args:
        cell: the cell.
        observer: takes a dict of tensors by name. While one observer is inside
            the context of another, only the inner one is called.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> cell, seen = LSTMCell(2), {}
        >>> with observed(cell, seen.update):
        ...     cell.observe(gate=0.5)
        >>> seen
        {'gate': 0.5}
    """
    with _entry(_CALLS.observers, cell, observer):
        yield


@contextlib.contextmanager
def _entry(entries: dict[int, Any], cell: Any, value: Any) -> Iterator[None]:
    """While it lasts, a dict has an entry for a cell."""
    before = entries.get(id(cell), _MISSING)
    entries[id(cell)] = value
    try:
        yield
    finally:
        if before is _MISSING:
            del entries[id(cell)]
        else:
            entries[id(cell)] = before


_MISSING = object()


@functools.cache
def _takes_training(half: Callable[..., Any]) -> bool:
    return "training" in inspect.signature(half).parameters


def _training(half: Callable[..., Any], training: bool | None) -> dict[str, Any]:
    return {"training": training} if _takes_training(half) else {}
