"""Running a cell over sequences, in several ways, and comparing what comes out."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from custom_lstm.checking.report import Breach
from custom_lstm.checking.subject import structure_of, zero_states

RTOL, ATOL = 1e-4, 1e-5
"""How far two ways to the same float32 result may part."""

_LISTED = 4
"""How many differences are listed."""

Pair = tuple[str, Any, Any]
"""What it is, what came, what was expected."""


class Run(NamedTuple):
    """Outputs of all steps `(batch, time, width)`, and the last states, as NumPy."""

    outputs: np.ndarray
    states: list[np.ndarray]

    def pairs(self, expected: "Run") -> list[Pair]:
        """This run against another, piece by piece."""
        if len(self.states) != len(expected.states):
            raise Breach(f"{len(expected.states)} states", f"{len(self.states)} states")
        states = zip(self.states, expected.states, strict=True)
        return [
            ("outputs", self.outputs, expected.outputs),
            *((f"state {k}", mine, theirs) for k, (mine, theirs) in enumerate(states)),
        ]


class Step(NamedTuple):
    """What one step returned: the output, and the new states as a flat list."""

    output: Any
    states: list[Any]


def step(cell: Any, inputs: Any, states: Any) -> Step:
    """One step by `call` itself, past whatever guards `__call__`.

    Args:
        cell: a built cell.
        inputs: `(batch, features)`.
        states: arrays or tensors, flat or as the cell takes them.

    Returns:
        What the cell returned.

    Raises:
        Breach: if that is not a pair of one tensor and states.
    """
    result = cell.call(tensor(inputs, cell), pack(cell, states))
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise Breach("a pair (output, new_states)", shapes(keras.tree.flatten(result)))
    output, new_states = result
    if keras.tree.is_nested(output):
        raise Breach("one tensor as output", shapes(keras.tree.flatten(output)))
    return Step(output, keras.tree.flatten(new_states))


def run(
    cell: Any,
    inputs: np.ndarray,
    layer: Any = keras.layers.RNN,
    states: Sequence[Any] | None = None,
    mask: Any = None,
    training: bool = False,
    unroll: bool = True,
    **options: Any,
) -> Run:
    """The cell over whole sequences, in a layer.

    Args:
        cell: a cell.
        inputs: `(batch, time, features)`.
        layer: class of the layer.
        states: before the first step, flat.
        mask: `(batch, time)`.
        training: whether dropout is on.
        unroll: of the layer, as the following. Quicker for few steps.
        **options: other arguments.
    """
    options |= {"return_sequences": True, "return_state": True, "unroll": unroll}
    rnn = layer(cell, **options)
    return call(rnn, inputs, states=states, mask=mask, training=training)


def call(
    rnn: Any,
    inputs: np.ndarray,
    states: Sequence[Any] | None = None,
    mask: Any = None,
    training: bool = False,
) -> Run:
    """A layer that returns sequences and states, called."""
    outputs, *last = rnn(
        ops.convert_to_tensor(inputs),
        initial_state=None if states is None else pack(rnn.cell, states),
        mask=None if mask is None else ops.convert_to_tensor(mask, "bool"),
        training=training,
    )
    return Run(array(outputs), [array(state) for state in keras.tree.flatten(last)])


def walk(cell: Any, inputs: np.ndarray) -> Run:
    """The cell over whole sequences, one call after the other, in Python."""
    states, outputs = initial_states(cell, inputs.shape[0]), []
    for x in inputs.swapaxes(0, 1):
        output, states = cell(tensor(x, cell), pack(cell, states))
        outputs.append(array(output))
    last = [array(state) for state in keras.tree.flatten(states)]
    return Run(np.stack(outputs, axis=1), last)


def initial_states(cell: Any, batch: int) -> list[np.ndarray]:
    """What a cell begins with, flat: zeros, if it does not say."""
    begin = getattr(cell, "get_initial_state", None)
    states = begin(batch_size=batch) if begin else zero_states(cell, batch)
    return [array(state) for state in keras.tree.flatten(states)]


def tensor(values: Any, cell: Any) -> Any:
    """`values` as a tensor of the cell's compute dtype."""
    return ops.cast(ops.convert_to_tensor(values), cell.compute_dtype)


def pack(cell: Any, states: Any) -> Any:
    """States as tensors, in the structure of `state_size`."""
    flat = [tensor(state, cell) for state in keras.tree.flatten(states)]
    return keras.tree.pack_sequence_as(structure_of(cell), flat)


def array(values: Any) -> np.ndarray:
    """A tensor as NumPy; what NumPy has no type for, as float32."""
    if keras.backend.standardize_dtype(values.dtype) == "bfloat16":
        values = ops.cast(values, "float32")
    return ops.convert_to_numpy(values)


def shapes(tensors: Iterable[Any]) -> str:
    """The shapes of `tensors`, in words.

    Example:

    >>> shapes([np.zeros((3, 4)), np.zeros((3, 2))]), shapes([]), shapes([None])
    ('(3, 4), (3, 2)', 'nothing', 'NoneType')
    """
    words = (
        str(tuple(t.shape)) if hasattr(t, "shape") else type(t).__name__
        for t in tensors
    )
    return ", ".join(words) or "nothing"


def agree(
    clause: str, pairs: Iterable[Pair], rtol: float = RTOL, atol: float = ATOL
) -> str:
    """Says how close arrays are, if they are close enough.

    Args:
        clause: what makes them equal, for the error.
        pairs: names, arrays, and expected arrays.
        rtol: allowed difference, relative to what is expected.
        atol: allowed difference besides.

    Raises:
        Breach: says which parted, by how much, and where most.

    Example:

    >>> agree("halves add up", [("sum", np.array([1.0]), np.array([1.0]))])
    'largest difference 0.0e+00'
    """
    largest, apart = 0.0, []
    for name, actual, expected in pairs:
        if actual.shape != expected.shape:
            apart.append(f"{name} of shape {actual.shape}, not {expected.shape}")
            continue
        difference = np.abs(np.float64(actual) - np.float64(expected))
        largest = max(largest, float(np.max(difference, initial=0.0)))
        if not np.all(difference <= atol + rtol * np.abs(expected)):
            apart.append(_worst(name, actual, expected, difference))
    if len(apart) > _LISTED:
        apart[_LISTED:] = [f"and {len(apart) - _LISTED} more"]
    if apart:
        raise Breach(f"{clause} (rtol {rtol:g}, atol {atol:g})", "\n".join(apart))
    return f"largest difference {largest:.1e}"


def _worst(name: str, actual: Any, expected: Any, difference: Any) -> str:
    finite = np.where(np.isnan(difference), np.inf, difference)
    if not finite.ndim:
        return f"{name}: {actual:.6g} instead of {expected:.6g}"
    where = np.unravel_index(np.argmax(finite), finite.shape)
    place = [int(index) for index in where]
    return (
        f"{name} {actual.shape}: {actual[where]:.6g} instead of {expected[where]:.6g} "
        f"at {place}, where they part most"
    )


@contextlib.contextmanager
def during(what: str) -> Iterator[None]:
    """Adds to errors raised within what was going on."""
    try:
        yield
    except Breach as breach:
        raise Breach(breach.expected, f"{what}: {breach.seen}") from breach
    except Exception as error:
        error.add_note(what)
        raise
