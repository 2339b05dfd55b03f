"""Linear recurrences over all steps of a sequence at once."""

from typing import Any

import numpy as np
from keras import ops

from custom_lstm.typing import Tensor

CHUNK = 16
"""Steps in a chunk, where the number of steps leaves it free."""
_CHUNKS = range(32, 7, -1)
"""Lengths of chunks that are tried first, as no step need then be added."""
_OPEN_LEVELS = 4
"""How often chunks are made of chunks if the number of steps is not known: enough for
a million steps."""
_MOST_CHUNKS = 2**16
"""As many as there can be then."""


def linear_scan(decay: Tensor, inputs: Tensor, initial: Tensor) -> Tensor:
    """Compute the states of a linear recurrence at all steps:

        s_t = a_t∘s_{t−1} + b_t

    The steps are cut into chunks, of which all go one step together; the states at the
    chunks' ends are the same problem again, a sixteenth as long (Blelloch 1990,
    "Prefix sums and their applications", section 1.4, with blocks). Only products and
    sums of what the loop would multiply and add are formed: with 0 ≤ a ≤ 1 nothing can
    overflow, and what has decayed to 0 is 0.

    Args:
        decay: a, `(batch, time, ...)`.
        inputs: b, of the same shape.
        initial: s before the first step, `(batch, ...)`.

    Returns:
        s after every step, `(batch, time, ...)`.

    Example:
        >>> ones = ops.ones((1, 5, 1))
        >>> states = linear_scan(0.5 * ones, ones, ops.ones((1, 1)))
        >>> ops.convert_to_numpy(states)[0, :, 0]
        array([1.5    , 1.75   , 1.875  , 1.9375 , 1.96875], dtype=float32)
    """
    time = decay.shape[1]
    if time is None:
        return _of_open_length(decay, inputs, initial, _OPEN_LEVELS)
    if time <= CHUNK:
        return _stepwise(
            ops.unstack(decay, time, 1), ops.unstack(inputs, time, 1), initial
        )
    length = next((n for n in _CHUNKS if time % n == 0), CHUNK)
    padded = -time % length
    states = _in_chunks(*_padded(decay, inputs, padded), initial, length, linear_scan)
    return states[:, :time] if padded else states


def _stepwise(decay: list[Tensor], inputs: list[Tensor], state: Tensor) -> Tensor:
    states = []
    for a, b in zip(decay, inputs, strict=True):
        state = a * state + b
        states.append(state)
    return ops.stack(states, axis=1)


def _padded(decay: Tensor, inputs: Tensor, steps: Any) -> tuple[Tensor, Tensor]:
    """Add steps that leave the state as it is."""
    if isinstance(steps, int) and steps == 0:
        return decay, inputs
    shape = (*ops.shape(decay)[:1], steps, *ops.shape(decay)[2:])
    return (
        ops.concatenate([decay, ops.ones(shape, decay.dtype)], axis=1),
        ops.concatenate([inputs, ops.zeros(shape, inputs.dtype)], axis=1),
    )


def _in_chunks(decay, inputs, initial, length, scan):
    """Scan chunks of equal length side by side, and `scan` what is at their ends."""
    batch, time, *rest = ops.shape(decay)
    chunked = (batch, -1, length, *rest)
    a = ops.unstack(ops.reshape(decay, chunked), length, axis=2)
    b = ops.unstack(ops.reshape(inputs, chunked), length, axis=2)
    decays, states = [a[0]], [b[0]]
    for t in range(1, length):
        decays.append(a[t] * decays[-1])
        states.append(a[t] * states[-1] + b[t])
    ends = scan(decays[-1], states[-1], initial)
    before = ops.concatenate([ops.expand_dims(initial, 1), ends[:, :-1]], axis=1)
    inner = zip(decays[:-1], states[:-1], strict=True)
    every = [state + decay * before for decay, state in inner]
    return ops.reshape(ops.stack([*every, ends], axis=2), (batch, time, *rest))


def _of_open_length(decay, inputs, initial, levels):
    """Scan chunks of chunks, as if there were as many steps as there can be."""
    time = ops.shape(decay)[1]
    if levels == 0:
        steps = _padded(decay, inputs, CHUNK - time)
        a, b = (ops.unstack(x, CHUNK, axis=1) for x in steps)
        return _stepwise(a, b, initial)[:, :time]

    def scan(decay: Tensor, inputs: Tensor, initial: Tensor) -> Tensor:
        return _of_open_length(decay, inputs, initial, levels - 1)

    steps = _padded(decay, inputs, -time % CHUNK)
    return _in_chunks(*steps, initial, CHUNK, scan)[:, :time]


def constant_scan(
    A: np.ndarray, B: np.ndarray, signals: Tensor, initial: Tensor
) -> Tensor:
    """Compute the states of a linear system that stays the same, at all steps:

        s_t = A·s_{t−1} + B·u_t

    Within a chunk the states are sums of the powers of A, taken in float64, times what
    goes in; the states at the chunks' ends follow from each other by doubling.

    Args:
        A: `(order, order)`.
        B: `(order,)`.
        signals: u, `(batch, time, signals)`: each drives a system of its own.
        initial: s before the first step, `(batch, signals, order)`.

    Returns:
        s after every step, `(batch, time, signals, order)`.

    Example:
        >>> half, one = np.array([[0.5]]), np.array([1.0])
        >>> states = constant_scan(half, one, ops.ones((1, 3, 1)), ops.ones((1, 1, 1)))
        >>> ops.convert_to_numpy(states)[0, :, 0, 0]
        array([1.5  , 1.75 , 1.875], dtype=float32)
    """
    batch, time = ops.shape(signals)[:2]
    count, order, dtype = signals.shape[2], len(B), signals.dtype
    powers = [np.eye(order)]
    for _ in range(CHUNK):
        powers.append(A @ powers[-1])
    lags = np.subtract.outer(np.arange(CHUNK), np.arange(CHUNK))  # of t behind s
    response = np.where(
        (lags >= 0)[..., None], np.stack([P @ B for P in powers])[abs(lags)], 0.0
    )
    short = -time % CHUNK
    zeros = ops.zeros((batch, short, count), dtype)
    padded = ops.concatenate([signals, zeros], axis=1)
    chunks = ops.reshape(padded, (batch, -1, CHUNK, count))
    turns = ops.convert_to_tensor(np.stack(powers[1:]), dtype)
    response = ops.convert_to_tensor(response, dtype)
    alone = ops.einsum("bnsu,tso->bntuo", chunks, response)
    ends = _doubled(alone[:, :, -1], initial, powers[-1])
    before = ops.concatenate([ops.expand_dims(initial, 1), ends[:, :-1]], axis=1)
    states = alone + ops.einsum("bnuo,tpo->bntup", before, turns)
    return ops.reshape(states, (batch, -1, count, order))[:, :time]


def _doubled(inputs: Tensor, initial: Tensor, A: np.ndarray) -> Tensor:
    """Compute s_n = A·s_{n−1} + v_n for all n, `(batch, n, signals, order)`."""
    first = inputs[:, :1] + ops.expand_dims(_turned(initial, A), 1)
    states = ops.concatenate([first, inputs[:, 1:]], axis=1)
    known, length = inputs.shape[1], ops.shape(inputs)[1]
    reach = 1
    while reach < (_MOST_CHUNKS if known is None else known):
        shift = min(reach, known) if known is not None else ops.minimum(reach, length)
        earlier = states[:, : length - shift]
        late = ops.concatenate([ops.zeros_like(states[:, :shift]), earlier], axis=1)
        states = states + _turned(late, A)
        A, reach = A @ A, 2 * reach
    return states


def _turned(states: Tensor, A: np.ndarray) -> Tensor:
    return ops.matmul(states, ops.convert_to_tensor(A.T, states.dtype))
