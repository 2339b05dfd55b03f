"""What TensorFlow's loops over steps share: how the steps are taken."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from custom_lstm.typing import Tensor

STEPS_A_TURN = 4
"""Steps in one turn of a loop: to begin a turn takes about as long as a small step."""


class Turns:
    """The steps of sequences, written out or in the turns of a loop.

    Args:
        time: the number of steps; a tensor where it is not known beforehand.
        unroll: whether to write them out; needs a known `time`.
    """

    def __init__(self, time: int | Tensor, unroll: bool):
        self.time, self.unroll = time, unroll

    def __call__(
        self, body: Callable[..., Any], *values: Any, backwards: bool = False
    ) -> Any:
        """Run `values = body(t, *values)` for every t."""
        if self.unroll:
            for t in range(self.time)[:: -1 if backwards else 1]:
                values = body(t, *values)
            return values
        stride = -1 if backwards else 1
        t = tf.convert_to_tensor(self.time - 1 if backwards else 0)
        t, *values = self._turns(body, STEPS_A_TURN, stride, t, *values)
        if not isinstance(self.time, int) or self.time % STEPS_A_TURN:
            t, *values = self._turns(body, 1, stride, t, *values)  # what is left over
        return values

    def _turns(self, body, steps, stride, t, *values):
        """Loop in turns of several steps, while there are that many left."""

        def enough(t, *_):
            last = t + (steps - 1) * stride
            return last < self.time if stride > 0 else last >= 0

        def turn(t, *values):
            for _ in range(steps):
                values, t = body(t, *values), t + stride
            return t, *values

        most = self.time // steps
        return tf.while_loop(enough, turn, (t, *values), maximum_iterations=most)


class Entries:
    """A TensorArray's methods over a plain list, for steps that are written out."""

    def __init__(self, entries: list[Any]):
        self.entries = entries

    def read(self, t: int) -> Tensor:
        """Return the entry of a step."""
        return self.entries[t]

    def write(self, t: int, value: Tensor) -> "Entries":
        """Set the entry of a step."""
        self.entries[t] = value
        return self
