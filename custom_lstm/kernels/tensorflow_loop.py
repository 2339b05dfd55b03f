"""The steps of a sequence on TensorFlow: written out, or a loop of constant size."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class Loop:
    """The steps of sequences like one, written out or as a loop over TensorArrays."""

    def __init__(self, like: Any, unroll: bool):
        self.dtype, self.unroll = like.dtype, unroll
        known = like.shape[1]
        self.time = tf.shape(like)[1] if known is None else known

    def __call__(
        self, body: Callable[..., Any], *values: Any, backwards: bool = False
    ) -> Any:
        """Run `values = body(t, *values)` for every t."""
        if self.unroll:
            for t in reversed(range(self.time)) if backwards else range(self.time):
                values = body(t, *values)
            return values
        first, stride = (self.time - 1, -1) if backwards else (0, 1)
        _, *values = tf.while_loop(
            lambda t, *_: t >= 0 if backwards else t < self.time,
            lambda t, *values: (t + stride, *body(t, *values)),
            (first, *values),
            maximum_iterations=self.time,
        )
        return values

    def array(self, more: int = 0) -> Any:
        """An empty array with an entry a step, and `more`."""
        if self.unroll:
            return _Entries([None] * (self.time + more))
        return tf.TensorArray(self.dtype, self.time + more, clear_after_read=False)

    def read(self, tensor: Any, more: int = 0) -> Any:
        """A time-major tensor as such an array; None stays None."""
        if tensor is None:
            return None
        if self.unroll:
            return _Entries(tf.unstack(tensor, self.time + more))
        array = tf.TensorArray(tensor.dtype, self.time + more, clear_after_read=False)
        return array.unstack(tensor)

    def save(self, array: Any) -> Any:
        """An array as tensors, which can leave the function that made them."""
        if array is None:
            return None
        return array.entries if self.unroll else array.stack()

    def load(self, saved: Any, more: int = 0) -> Any:
        """The array that `save` was given."""
        return _Entries(saved) if self.unroll and saved else self.read(saved, more)


class _Entries:
    """A TensorArray's methods over a plain list."""

    def __init__(self, entries: list[Any]):
        self.entries = entries

    def read(self, t: int) -> Any:
        return self.entries[t]

    def write(self, t: int, value: Any) -> "_Entries":
        self.entries[t] = value
        return self

    def stack(self) -> Any:
        return tf.stack(self.entries)
