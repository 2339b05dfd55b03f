"""The steps of any cell over whole sequences: who runs them, and who looks on."""

import collections
import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.base import (
    AbstractRNNCell,
    contract_cells,
    in_sequence,
    is_stack,
    observed,
    project_sequence,
    run_cell,
    splits,
)
from custom_lstm.cells.validation import names_of_states, size_of_output, state_shape
from custom_lstm.kernels import loop, registry
from custom_lstm.layers.nests import masks_in
from custom_lstm.typing import BatchSize, DType, Nest, States, Tensor

Loop = Callable[..., tuple[Nest, Nest, States]]


def run_steps(
    cell: Any,
    sequences: Nest,
    states: Nest,
    mask: Nest = None,
    *,
    dtype: DType,
    constants: Nest = None,
    training: bool | None = False,
    go_backwards: bool = False,
    unroll: bool = False,
    zero_output_for_mask: bool = False,
    only_last: bool = False,
    show: bool = False,
    kernel: str = "auto",
) -> loop.Result:
    """Run a cell over all steps, its inputs projected before if they can be.

    Args:
        cell: any recurrent cell.
        sequences: `(batch, time, ...)`, or a nest of them.
        states: before the first step, in the nest of the cell's `get_initial_state`.
        mask: boolean `(batch, time)`; of a nest, the first that is not None.
        dtype: the compute dtype of the layer.
        constants: what every step is given, if the cell takes it: `(batch, ...)` each.
        training: whether dropout and its like are on.
        go_backwards, unroll, zero_output_for_mask: see `custom_lstm.RNN`.
        only_last: whether the outputs of the last step alone are asked for.
        show: whether the result is to hold the states, and what cells `observe`, of
            every step in `shown`, by name.
        kernel: "auto", "loop" or "scan": see `custom_lstm.RNN`.

    Returns:
        What the steps made.

    Raises:
        ValueError: if the cell cannot be scanned, and is to be.
    """
    mask, every = boolean_mask(mask), keras.tree.map_structure
    if mask is not None:
        sequences = every(functools.partial(loop.zeroed, mask), sequences)
    head = cell.cells[0] if is_stack(cell) else cell
    hoisted = splits(head) and head.compute_dtype == dtype
    if hoisted:
        sequences = project_sequence(head, sequences, training, constants)
    nonzero = mask
    if go_backwards:
        sequences = every(lambda tensor: ops.flip(tensor, 1), sequences)
        mask = None if mask is None else ops.flip(mask, 1)
        nonzero = nonzero if unroll else mask  # unrolled, Keras's are not turned round
    options = {"training": training, "projected": hoisted, "show": show}
    step, fixed = _step_of(cell, constants, options)
    steps = loop.Steps(
        step,
        sequences,
        states,
        fixed,
        getattr(cell, "variables", ()),
        mask=mask,
        nonzero=nonzero if zero_output_for_mask else None,
        unroll=unroll,
        training=bool(training),
        only_last=only_last and not show,
    )
    given = hoisted, mask is not None, training, unroll
    reason = "" if kernel == "loop" else registry.why_not_scanned(cell, *given)
    if reason is None:
        return _scanned(cell, steps, show)
    if kernel == "scan":
        raise ValueError(f"RNN kernel 'scan' cannot run here: {reason}.")
    return loop.run(steps)


def _scanned(cell: AbstractRNNCell, steps: loop.Steps, show: bool) -> loop.Result:
    """Let a cell compute all steps at once, and see what it shows."""
    seen: dict[str, Tensor] = {}
    looking = _observing(cell, seen) if show else contextlib.nullcontext()
    with looking:
        outputs, states = cell.scan(steps.inputs, steps.states, steps.mask)  # type: ignore[misc]
    shown = {**seen, **_named(cell, states)} if show else {}
    return loop.scanned(steps, outputs, states, shown)


def _step_of(cell: Any, constants: Nest, options: dict[str, Any]) -> tuple[Any, Nest]:
    """Return a step of a cell, and what it is given at every step, as one nest."""
    cells = contract_cells(cell)
    drawn = {str(k): c.drawn for k, c in enumerate(cells) if c.drawn is not None}
    fixed = {"drawn": drawn} | ({} if constants is None else {"constants": constants})
    return functools.partial(_step, cell, cells, options), fixed


def one_step(
    cell: Any,
    inputs: Nest,
    states: Nest,
    constants: Nest = None,
    *,
    training: bool | None = False,
    projected: bool = False,
    show: bool = False,
) -> tuple[Nest, Nest, dict[str, Tensor]]:
    """Run one step of a cell, and see what it shows.

    Args:
        cell, inputs, states, constants, training, projected: see `run_cell`.
        show: whether to look.

    Returns:
        Output, new states, and by name the states and what cells `observe`.
    """
    seen: dict[str, Tensor] = {}
    looking = _observing(cell, seen) if show else contextlib.nullcontext()
    with loop.step_scope(), looking:
        output, new = run_cell(cell, inputs, states, training, constants, projected)
    return output, new, {**seen, **_named(cell, new)} if show else {}


def _step(cell, cells, options, inputs, states, fixed):
    """Run one step in which each of `cells` finds what it drew."""
    constants = fixed.get("constants")
    with contextlib.ExitStack() as stack:
        for k, one in enumerate(cells):
            stack.enter_context(in_sequence(one, fixed["drawn"].get(str(k))))
        return one_step(cell, inputs, states, constants, **options)


@contextlib.contextmanager
def _observing(cell: Any, seen: dict[str, Tensor]) -> Iterator[None]:
    """While it lasts, what `cell`, or the cells in it, observe goes to `seen`."""
    with contextlib.ExitStack() as stack:
        for prefix, inner in _prefixed(cell):
            for one in contract_cells(inner):

                def observer(values: dict[str, Tensor], prefix: str = prefix) -> None:
                    seen.update({prefix + k: v for k, v in values.items()})

                stack.enter_context(observed(one, observer))
        yield


def _named(cell: Any, states: Nest) -> dict[str, Tensor]:
    """Return the states by name."""
    flat = keras.tree.flatten(states)
    return dict(zip(names_shown(cell), flat, strict=True))


def names_shown(cell: Any) -> list[str]:
    """Return the names of a cell's states, those of stacked cells with their numbers.

    Example:
        >>> from custom_lstm import LSTMCell, RNN
        >>> names_shown(RNN([LSTMCell(2), LSTMCell(3)]).cell)
        ['0/h', '0/c', '1/h', '1/c']
    """
    return [
        prefix + name
        for prefix, inner in _prefixed(cell)
        for name in names_of_states(inner)
    ]


def _prefixed(cell: Any) -> list[tuple[str, Any]]:
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [(f"{index}/", inner) for index, inner in enumerate(cell.cells)]
    return [("", cell)]


@contextlib.contextmanager
def sequence_begun(
    cell: Any,
    batch_size: BatchSize,
    training: bool | None,
) -> Iterator[None]:
    """While it lasts, every cell in `cell` has drawn what it draws for a sequence.

    Args:
        cell: any recurrent cell.
        batch_size: number of sequences.
        training: whether it is for training.
    """
    with contextlib.ExitStack() as stack:
        for one in contract_cells(cell):
            drawn = one.begin_sequence(batch_size, training)
            stack.enter_context(in_sequence(one, drawn))
        yield


@contextlib.contextmanager
def keras_dropout(cell: Any, sequences: Nest, states: Nest) -> Iterator[None]:
    """While it lasts, Keras's own cells keep the dropout masks of a sequence.

    Args:
        cell: any recurrent cell.
        sequences: `(batch, time, ...)`, or a nest of them.
        states: before the first step.
    """
    first = keras.tree.flatten(sequences)[0]
    cells = list(_with_keras_dropout(cell, None, states))
    for one, its_inputs, its_states in cells:
        one.get_dropout_mask(first[:, 0] if its_inputs is None else its_inputs)
        one.get_recurrent_dropout_mask(keras.tree.flatten(its_states)[0])
    try:
        yield
    finally:
        for one, *_ in cells:
            one.reset_dropout_mask()
            one.reset_recurrent_dropout_mask()


def _with_keras_dropout(cell, inputs, states):
    if is_stack(cell):
        for inner, own in zip(cell.cells, states, strict=True):
            yield from _with_keras_dropout(inner, inputs, own)
            batch = ops.shape(keras.tree.flatten(states)[0])[0]
            size = keras.tree.flatten(size_of_output(inner))[0]
            inputs = ops.zeros(state_shape(size, batch))
    elif hasattr(cell, "get_dropout_mask") and not isinstance(cell, AbstractRNNCell):
        yield cell, inputs, states


def check_steps(owner: str, layer: keras.layers.RNN) -> None:
    """Raise a ValueError unless a layer can be run on step by step, or chunk by chunk.

    Args:
        owner: who wants to, for the message.
        layer: any recurrent layer.

    Example:
        >>> from custom_lstm import LSTM
        >>> check_steps("Stream", LSTM(2, go_backwards=True, name="back"))
        Traceback (most recent call last):
        ...
        ValueError: Stream: the layer 'back' goes backwards. It begins at the end of a
        sequence, so that no later step can follow; make it with `go_backwards=False`.
    """
    if layer.go_backwards:
        raise ValueError(
            f"{owner}: the layer {layer.name!r} goes backwards. It begins at the end "
            "of a sequence, so that no later step can follow; make it with "
            "`go_backwards=False`."
        )
    if getattr(layer, "time_major", False):
        raise ValueError(
            f"{owner}: the layer {layer.name!r} takes the time first, and here the "
            "batch comes first; make it with `time_major=False`."
        )


def boolean_mask(mask: Nest) -> Tensor | None:
    """Return the first mask in a nest as booleans `(batch, time)`, or None."""
    masks = masks_in(mask)
    if not masks:
        return None
    mask = ops.cast(masks[0], "bool")
    return mask if len(mask.shape) == 2 else ops.squeeze(mask, -1)


class _Loops(threading.local):
    """What runs on this thread around the loops of layers, by the layers' ids."""

    def __init__(self) -> None:
        self.around: dict[int, list[Loop]] = collections.defaultdict(list)


_LOOPS = _Loops()
_INTERCEPTED: collections.Counter[int] = collections.Counter()
_INTERCEPTING = threading.Lock()


@contextlib.contextmanager
def intercepted(layer: keras.layers.RNN, around: Loop) -> Iterator[None]:
    """While it lasts, calls of a layer on this thread run `around` its loop.

    Args:
        layer: any recurrent layer, of Keras too.
        around: called as `around(loop, sequences, initial_state, mask, training,
            **more)` in place of `loop`; `more` may hold `constants`.
    """
    key = id(layer)

    def dispatch(sequences, initial_state, mask, training=False, **more):
        loop = functools.partial(type(layer).inner_loop, layer)
        for wrapper in _LOOPS.around.get(key, ()):
            loop = functools.partial(wrapper, loop)
        return loop(sequences, initial_state, mask, training, **more)

    with _INTERCEPTING:
        _INTERCEPTED[key] += 1
        layer.inner_loop = dispatch
    _LOOPS.around[key].append(around)
    try:
        yield
    finally:
        _LOOPS.around[key].pop()
        with _INTERCEPTING:
            _INTERCEPTED[key] -= 1
            if not _INTERCEPTED[key]:
                del _INTERCEPTED[key], layer.inner_loop
