"""What TensorFlow's loops over steps share: how the steps are taken."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from custom_lstm.typing import Tensor

STEPS_A_TURN = 4
"""Steps in one turn of a loop: to begin a turn takes about as long as a small step."""


def steps_of_small_graph(time: int | None) -> int:
    """Return how many steps a turn takes where the graph should be small.

    Args:
        time: the number of steps, or None where it is not known.

    Returns:
        Two, but where some would be left over, which would need a second loop.

    Example:
        >>> [steps_of_small_graph(time) for time in (20, 7, None)]
        [2, 1, 1]
    """
    return 2 if time is not None and time % 2 == 0 else 1


def compiled_by_xla() -> bool:
    """Return whether what is traced now is for XLA, as in Keras's `fit` by default.

    There to begin a turn costs nothing, and to compile a step some tenths of a second.
    """
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


def of_shape(tensor: Tensor, shape: Any) -> Tensor:
    """Return `tensor`, with what is known of its shape."""
    if not tf.executing_eagerly() and isinstance(tensor, tf.Tensor):
        tensor.set_shape(shape)
    return tensor


def as_function(step: Callable[..., Any], unroll: bool) -> Callable[..., Any]:
    """Return a step that is traced once, however often it is written out.

    It takes lists of tensors and Nones, of the same shapes each time.
    """
    if not unroll or tf.executing_eagerly():
        return step
    traced: list[Callable[..., Any]] = []

    def call(*lists):
        if not traced:
            function = tf.function(step, autograph=False)
            traced.append(function.get_concrete_function(*lists))
        return traced[0](*(x for one in lists for x in one if x is not None))

    return call


class Turns:
    """The steps of sequences, written out or in the turns of a loop.

    Args:
        time: the number of steps; a tensor where it is not known beforehand.
        unroll: whether to write them out; needs a known `time`.
        steps: how many of them one turn of the loop takes, each written out.
    """

    def __init__(self, time: int | Tensor, unroll: bool, steps: int = STEPS_A_TURN):
        self.time, self.unroll, self.steps = time, unroll, steps

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
        t, *values = self._turns(body, self.steps, stride, t, *values)
        if self.steps > 1 and (
            not isinstance(self.time, int) or self.time % self.steps
        ):
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
