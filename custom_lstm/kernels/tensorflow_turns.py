"""The steps of a sequence on TensorFlow: written out, or a loop of constant size."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

STEPS_A_TURN = 4
"""Steps in one turn of a loop: to begin a turn takes about as long as a small step."""


class Loop:
    """The steps of sequences like one, written out or as a loop over TensorArrays.

    Whole sequences lie as suits it: `(batch, time, ...)`, from which steps written out
    are cut, or `(time, batch, ...)`, as TensorArrays have them. Entries step by step
    are a list or a tensor: `[1:]` leaves out the first of either.
    """

    def __init__(self, like: Any, unroll: bool):
        self.dtype, self.unroll = like.dtype, unroll
        known = like.shape[1]
        self.time = tf.shape(like)[1] if known is None else known
        self.batch_axis = 0 if unroll else 1

    def __call__(
        self, body: Callable[..., Any], *values: Any, backwards: bool = False
    ) -> Any:
        """Run `values = body(t, *values)` for every t."""
        if self.unroll:
            for t in reversed(range(self.time)) if backwards else range(self.time):
                values = body(t, *values)
            return values
        t, stride = (self.time - 1, -1) if backwards else (0, 1)
        for steps in (STEPS_A_TURN, 1):  # what is left over goes step by step
            t, *values = self._turns(body, steps, stride, t, *values)
        return values

    def _turns(self, body, steps: int, stride: int, t: Any, *values: Any) -> Any:
        """A loop each turn of which takes several steps, while there are that many."""

        def enough(t, *_):
            last = t + (steps - 1) * stride
            return last < self.time if stride > 0 else last >= 0

        def turn(t, *values):
            for _ in range(steps):
                values, t = body(t, *values), t + stride
            return t, *values

        most = self.time // steps
        return tf.while_loop(enough, turn, (t, *values), maximum_iterations=most)

    def turn(self, tensor: Any) -> Any:
        """From `(batch, time, width)` to the loop's layout, or back."""
        return tensor if self.unroll else tf.transpose(tensor, (1, 0, 2))

    def from_rows(self, rows: Any, batch_major: bool) -> Any:
        """Rows, one a step, as `(batch, time, width)` or `(time, batch, width)`."""
        first, second = (-1, self.time) if batch_major else (self.time, -1)
        return tf.reshape(rows, (first, second, rows.shape[-1]))

    def array(self, more: int = 0) -> Any:
        """An empty array with an entry a step, and `more`."""
        if self.unroll:
            return _Entries([None] * (self.time + more))
        return tf.TensorArray(self.dtype, self.time + more, clear_after_read=False)

    def read(self, tensor: Any) -> Any:
        """A whole sequence as such an array; None stays None."""
        if tensor is None:
            return None
        entries = tf.unstack(tensor, self.time, axis=1) if self.unroll else tensor
        return self.load(entries)

    def save(self, array: Any) -> Any:
        """An array's entries as tensors, which can leave the function they are in."""
        return array.entries if self.unroll else array.stack()

    def load(self, entries: Any, more: int = 0) -> Any:
        """The array that `save` was given, with an entry a step, and `more`."""
        if self.unroll:
            return _Entries(entries)
        size = self.time + more
        array = tf.TensorArray(entries.dtype, size, clear_after_read=False)
        return array.unstack(entries)

    def stacked(self, entries: Any) -> Any:
        """The whole sequence of what `save` returned, or of a part of it."""
        return tf.stack(entries, axis=1) if self.unroll else entries


class _Entries:
    """A TensorArray's methods over a plain list."""

    def __init__(self, entries: list[Any]):
        self.entries = entries

    def read(self, t: int) -> Any:
        return self.entries[t]

    def write(self, t: int, value: Any) -> "_Entries":
        self.entries[t] = value
        return self
