"""The contract of a recurrent cell: one time step, written in two halves."""

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.old_arguments import (
    accepted,
    batch_size_of,
    initial_arguments,
    parameters_of,
    renew_arguments,
    weight_arguments,
    with_old_arguments,
)
from custom_lstm.cells.validation import (
    Sizes,
    built_once,
    check_new_states,
    check_states,
    check_step,
    fits,
    listed,
    output_size_of,
    same_shapes,
    standardized_property,
    state_shape,
    state_size_of,
    with_checked_config,
)
from custom_lstm.typing import BatchSize, DType, Nest, Shape, Tensor
from custom_lstm.walk import layers_in

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

    - `state_size`: the width of its state; a list of widths, if it has several; a
      `StateShape` in place of a width, if a state is not a vector; or any nest of
      them. An attribute set in `__init__` or `build`, or a property.
    - `output_size`: the width of its output, if it is not that of the first state.
    - `build(input_shape)`: makes the weights; `input_shape` is `(batch, features)`.
      May be left out if all weights are in sub-layers.
    - `step(projected, states, training=False)`, and where it pays
      `project(inputs, training=False)`; or else `call(inputs, states, training=False)`.
      Both halves may leave `training` out. `project` sees the inputs of one step,
      `(batch, ...)`, and those of all steps, `(batch, time, ...)`, and keeps these
      first axes.
    - optionally an argument `constants` of `project`, `step` or `call`: the list of
      what the layer is called with as `constants`, the same at every step. `project`
      sees them with an axis of length 1 where the inputs of all steps have `time`.
    - optionally `scan(projected, states, mask)`, if all steps can be computed at once:
      from what `project` returned for all steps, the states before the first, and the
      mask `(batch, time)` or None, the outputs and the states of every step,
      `(batch, time, ...)`. `custom_lstm.RNN` calls it in place of its loop where
      `why_not_scanned` returns None.
    - optionally `state_names`, and `observe` in the step, for `custom_lstm.trace`;
      `begin_sequence`, which returns what is drawn once per sequence; the steps find
      it in `drawn`.

    Inputs, states and outputs may be nests: lists, tuples, named tuples, dicts. The
    states come in the nest that `state_size` is; one alone comes in a list.

    Decorate it with `@keras.saving.register_keras_serializable(package=...)`, so that
    models that hold it can be saved and loaded.

    Cells written for TensorFlow 2.10's `tf.keras.layers.AbstractRNNCell` work as they
    are: `state_size` may hold `tf.TensorShape`s, `get_initial_state` may have the
    old signature `(inputs=None, batch_size=None, dtype=None)`, and the constructor
    takes the old positional arguments.

    Args:
        trainable, name, dtype: as every Keras layer has them.
        dynamic: of no effect; Keras 3 has no such layers.
        **kwargs: the other arguments of a Keras layer.

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
    scan: Callable[..., Any] | None = None
    """All steps at once, in cells that can: see the class."""

    def __init__(
        self,
        trainable: bool = True,
        name: str | None = None,
        dtype: DType | None = None,
        dynamic: bool = False,
        **kwargs: Any,
    ):
        cls = type(self)
        if cls.call is AbstractRNNCell.call and not hasattr(cls, "step"):
            raise TypeError(
                f"{cls.__name__} must define `step(projected, states)`, best together "
                "with `project(inputs)`, or else `call(inputs, states)`."
            )
        kwargs, _ = renew_arguments(kwargs)
        super().__init__(trainable=trainable, name=name, dtype=dtype, **kwargs)

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
        if "build" in cls.__dict__:
            cls.build = built_once(cls.__dict__["build"])  # type: ignore[method-assign]
        if "get_config" in cls.__dict__:
            method = cls.__dict__["get_config"]
            cls.get_config = with_checked_config(method)  # type: ignore[method-assign]

    @property
    def state_size(self) -> Sizes:
        """Width or `StateShape` of the state, or a nest of them."""
        if "_state_size" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} must say how large its states are: set "
                "`self.state_size` in `__init__` or `build`, or make it a property."
            )
        return state_size_of(self._state_size)

    @state_size.setter
    def state_size(self, sizes: Any) -> None:
        self._state_size = state_size_of(sizes)

    @property
    def output_size(self) -> Any:
        """Width of the output, or a nest of them: unless set, that of state 0."""
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
            Tensors `(batch_size, width)`, one per state, in the nest that
            `state_size` is; one alone in a list.

        Raises:
            ValueError: if `batch_size` or `dtype` is not valid.
        """
        batch_size, dtype, inputs = initial_arguments(batch_size, dtype, inputs)
        batch_size = batch_size_of(batch_size, inputs)
        dtype = keras.backend.standardize_dtype(dtype or self.compute_dtype)
        begin_outside(self, batch_size)
        return keras.tree.map_structure(
            lambda size: ops.zeros(state_shape(size, batch_size), dtype),
            listed(self.state_size),
        )

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Make a weight, as Keras's layers do, or with the name first, as once."""
        args, kwargs = weight_arguments(args, kwargs)
        return super().add_weight(*args, **kwargs)

    def build(self, input_shape: Shape) -> None:
        """Build the weights: here those of sub-layers, by one symbolic step."""
        own = type(self).build is AbstractRNNCell.build
        if own and not takes_constants(self):  # else the layer builds it, with them
            symbol = functools.partial(keras.KerasTensor, dtype=self.compute_dtype)
            inputs = keras.tree.map_shape_structure(symbol, input_shape)
            batch = keras.tree.flatten(inputs)[0].shape[0]
            states = keras.tree.map_structure(
                lambda x: keras.KerasTensor((batch, *x.shape[1:]), x.dtype),
                self._first_states(),
            )
            self.compute_output_spec(inputs, states)

    def project(self, inputs: Tensor) -> Tensor:
        """Compute what depends on the inputs alone: by default the inputs themselves.

        Args:
            inputs: `(batch, features)`, or `(batch, time, features)`: all steps.

        Returns:
            A tensor, or a nest of them, with the same first axes.
        """
        return inputs

    def call(
        self,
        inputs: Tensor,
        states: Nest,
        training: bool | None = False,
        constants: Nest = None,
    ) -> tuple[Tensor, Nest]:
        """Compute one time step.

        Args:
            inputs: `(batch, features)`.
            states: list of `(batch, width)`, as `state_size` says.
            training: whether dropout and its like are on.
            constants: what is the same at every step, if the layer was given some.

        Returns:
            `(output, new_states)`: a tensor `(batch, output_size)` and a list like
            `states`.
        """
        cls, given = type(self), {"training": training, "constants": constants}
        projected = self.project(inputs, **accepted(cls.project, given))
        return self.step(projected, states, **accepted(cls.step, given))

    def __call__(
        self, inputs: Tensor, states: Nest, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Nest]:
        """Run `call` and check what goes in and what comes out.

        The new states come back in the nest in which the states were given: as a
        list, a tuple, or bare, if it is one.
        """
        first = keras.tree.flatten(inputs)[0]
        batch = first.shape[0] if getattr(first, "shape", ()) else None
        if self.built or hasattr(self, "state_size"):
            states_given = self._in_nest(states, batch)
        else:  # `build` will say how large the states are
            states_given = listed(states)
        result = super().__call__(inputs, states_given, *args, **kwargs)
        self._check_step(result, batch)
        output, new_states = result
        flat = keras.tree.flatten(new_states)
        return output, keras.tree.pack_sequence_as(states, flat)

    def _in_nest(self, states: Nest, batch: int | None) -> Nest:
        """Return states in the nest that `state_size` is, after a check."""
        sizes, flat = listed(self.state_size), keras.tree.flatten(states)
        self._check_states("the states", states, batch)
        same = len(flat) == len(keras.tree.flatten(sizes))  # unlike the first states
        return keras.tree.pack_sequence_as(sizes, flat) if same else listed(states)

    def _check_step(self, result: Any, batch: int | None) -> None:
        check_step(self, result, batch)
        self._check_states("the new states", result[1], batch)

    def _check_states(self, what: str, states: Nest, batch: int | None) -> None:
        """Raise unless states are as `state_size` or the cell's own first ones say."""
        try:
            check_states(type(self).__name__, what, states, self.state_size, batch)
        except ValueError:
            if type(self).get_initial_state is AbstractRNNCell.get_initial_state:
                raise
            if not same_shapes(states, self._first_states()):
                raise

    def _first_states(self) -> Nest:
        """Return what one sequence begins with, none being begun."""
        with in_sequence(self, None):
            return listed(self.get_initial_state(batch_size=1))

    def why_not_scanned(self, masked: bool, training: bool | None) -> str | None:
        """Return why `scan` cannot take the place of the steps, or None if it can.

        Args:
            masked: whether there is a mask.
            training: whether dropout and its like are on.
        """
        name = type(self).__name__
        return f"{name} has no `scan`" if self.scan is None else None

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
        observer = _CALLS.observers.get(id(self))  # AutoGraph reads no walrus
        if observer is not None:
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


def takes_constants(cell: Any) -> bool:
    """Return whether a cell, or one of those stacked or split, takes `constants`.

    Args:
        cell: any recurrent cell, or its class.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> takes_constants(LSTMCell(2))
        False
    """
    if is_stack(cell):
        return any(map(takes_constants, cell.cells))
    cls: Any = cell if isinstance(cell, type) else type(cell)
    halves = issubclass(cls, AbstractRNNCell) and cls.call is AbstractRNNCell.call
    methods = (cls.project, cls.step) if halves else (cls.call,)
    return any("constants" in parameters_of(method) for method in methods)


def is_stack(cell: Any) -> bool:
    """Return whether a cell is `keras.layers.StackedRNNCells`, with its own `call`."""
    stack = keras.layers.StackedRNNCells
    return isinstance(cell, stack) and type(cell).call is stack.call


def contract_cells(cell: Any) -> list[AbstractRNNCell]:
    """Return the cells that are `AbstractRNNCell`s: a cell, and those within it.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> stack = keras.layers.StackedRNNCells([LSTMCell(2), keras.layers.GRUCell(2)])
        >>> [type(cell).__name__ for cell in contract_cells(stack)]
        ['LSTMCell']
    """
    return [layer for layer in layers_in(cell) if isinstance(layer, AbstractRNNCell)]


def project_sequence(
    cell: AbstractRNNCell,
    sequences: Nest,
    training: bool | None = False,
    constants: Nest = None,
) -> Nest:
    """Compute `cell.project` for all steps at once.

    Args:
        cell: one that splits.
        sequences: `(batch, time, features)`, or a nest of them.
        training: passed on, if `project` takes it.
        constants: the same; `(batch, ...)` each.

    Returns:
        A tensor `(batch, time, ...)`, or a nest of them.

    Raises:
        ValueError: if `project` did not keep the first two axes.
    """
    if constants is not None:
        constants = keras.tree.map_structure(lambda c: ops.expand_dims(c, 1), constants)
    given = {"training": training, "constants": constants}
    projected = cell.project(sequences, **accepted(type(cell).project, given))
    received = [tuple(x.shape) for x in keras.tree.flatten(sequences)]
    for tensor in keras.tree.flatten(projected):
        shape = tuple(getattr(tensor, "shape", ()))
        if len(shape) < 3 or not fits(shape[:2], received[0][:2]):
            raise ValueError(
                f"{type(cell).__name__}.project must keep the first two axes, (batch, "
                "time), when it is given whole sequences. It received "
                f"{', '.join(map(str, received))} and returned "
                f"{shape or type(tensor)}."
            )
    return projected


def run_cell(
    cell: Any,
    inputs: Nest,
    states: Nest,
    training: bool | None = False,
    constants: Nest = None,
    projected: bool = False,
) -> tuple[Nest, Nest]:
    """Run one step of any cell, of stacked ones one after the other.

    Args:
        cell: any recurrent cell.
        inputs: of one step.
        states: as the cell's `get_initial_state` gives them.
        training: passed on, if the cell takes it.
        constants: the same.
        projected: whether `inputs` are what `project` returned, of the cell, or of
            the first of a stack.

    Returns:
        Output, and the new states in the nest of `states`.

    Raises:
        ValueError: if what a step returns does not fit.
    """
    if is_stack(cell):
        stacked: list[Nest] = []
        for k, (inner, own) in enumerate(zip(cell.cells, states, strict=True)):
            hoisted = projected and k == 0
            inputs, new = run_cell(inner, inputs, own, training, constants, hoisted)
            stacked.append(new)
        flat = keras.tree.flatten(stacked)
        return inputs, keras.tree.pack_sequence_as(states, flat)
    given = {"training": training, "constants": constants}
    batch = keras.tree.flatten(inputs)[0].shape[0]
    if projected:
        own = cell._in_nest(states, batch)
        result = cell.step(inputs, own, **accepted(type(cell).step, given))
        cell._check_step(result, batch)
    else:
        step = cell if callable(cell) else cell.call
        result = step(inputs, listed(states), **accepted(type(cell).call, given))
        check_new_states(cell, result, states)
    output, new = result
    return output, keras.tree.pack_sequence_as(states, keras.tree.flatten(new))


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
