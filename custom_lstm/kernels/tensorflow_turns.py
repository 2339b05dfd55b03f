"""What TensorFlow's loops over steps share: how the steps are taken."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record
from tensorflow.python.ops import control_flow_util, gradients_util

from custom_lstm.typing import Tensor

_MOST_A_TURN = 4
"""Steps in one turn of a loop: to begin a turn takes about as long as a small step."""


def steps_a_turn(time: int | None) -> int:
    """Return how many steps a turn takes where a loop should run fast.

    Args:
        time: the number of steps, or None where it is not known.

    Returns:
        About four, so that none are left over if possible: those need a second loop.

    Example:
        >>> [steps_a_turn(time) for time in (100, 65, 66, 67, None)]
        [4, 5, 3, 4, 4]
    """
    fitting = (n for n in (_MOST_A_TURN, 5, 3) if time is not None and time % n == 0)
    return next(fitting, _MOST_A_TURN)


_SMALL = 2
"""Steps in a turn where the graph should be small."""


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
    return _SMALL if time is not None and time % _SMALL == 0 else 1


def compiled_by_xla() -> bool:
    """Return whether what is traced now is for XLA, as in Keras's `fit` by default.

    There to begin a turn costs nothing, and to compile a step some tenths of a second.
    """
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


def of_higher_order(tensors: Iterable[Tensor]) -> bool:
    """Return whether tapes may ask for gradients of the gradients by tensors.

    Each order has the steps again, so that what is written out is compiled for long.
    """
    read = [tf.convert_to_tensor(tensor) for tensor in tensors]  # variables too
    kind = gradients_util.PossibleTapeGradientTypes(read)
    return bool(kind == gradients_util.POSSIBLE_GRADIENT_TYPES_HIGHER_ORDER)


def is_recorded() -> bool:
    """Return whether a tape, or an accumulator, may watch what runs eagerly now."""
    return bool(record.could_possibly_record())


def of_shape(tensor: Tensor, shape: Any) -> Tensor:
    """Return `tensor`, with what is known of its shape."""
    if not tf.executing_eagerly() and isinstance(tensor, tf.Tensor):
        tensor.set_shape(shape)
    return tensor


def unseen(tensor: Tensor, training: bool) -> Tensor:
    """Hide a tensor from tapes, which are given the gradient otherwise.

    In a graph, forward mode would take what is stopped for constant: there it raises.

    Args:
        tensor: of any type.
        training: whether this is for training. A model that answers must hold no
            operation that other runtimes do not know; there a gradient raises that
            only forward mode asks for, at the price that tapes watch what is computed.

    Raises:
        LookupError: in forward mode, inside a `tf.function`.
    """
    of_numbers = tensor.dtype.is_floating or tensor.dtype.is_complex
    if of_numbers and tf.inside_function():
        return tf.stop_gradient(_prevented(tensor)) if training else _watched(tensor)
    return tf.stop_gradient(tensor)


def _prevented(tensor):
    message = "there is no forward mode inside a tf.function: call it eagerly"
    return tf.raw_ops.PreventGradient(input=tensor, message=message)


@tf.custom_gradient
def _watched(tensor):
    return tf.stop_gradient(tensor), _prevented


def as_function(step: Callable[..., Any], unroll: bool) -> Callable[..., Any]:
    """Return a step that is traced once, however often it is written out.

    It takes lists of tensors and Nones, of the same shapes each time. Loops hold the
    step itself: as a function it would take a few percent longer.
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

    def __init__(self, time: int | Tensor, unroll: bool, steps: int):
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
        known = isinstance(self.time, int)
        t = tf.convert_to_tensor(self.time - 1 if backwards else 0)
        if not known or self.time >= self.steps:
            t, *values = self._turns(body, self.steps, stride, t, *values)
        if self.steps > 1 and (not known or self.time % self.steps):
            t, *values = self._turns(body, 1, stride, t, *values)  # what is left over
        return values

    def _turns(self, body, steps, stride, t, *values):
        """Loop in turns of several steps, while there are that many left."""
        whole = tf.nest.flatten(values)

        def enough(t, *_):
            last = t + (steps - 1) * stride
            return last < self.time if stride > 0 else last >= 0

        def turn(t, *flat):
            place = t // steps if steps == self.steps else t % self.steps
            now = tf.nest.pack_sequence_as(values, list(map(_gathered, whole, flat)))
            for _ in range(steps):
                now, t = body(t, *now), t + stride
            return t, *(_put(place, value) for value in tf.nest.flatten(now))

        flat = [v.array(steps) if isinstance(v, Written) else v for v in whole]
        most = self.time // steps
        t, *flat = tf.while_loop(enough, turn, (t, *flat), maximum_iterations=most)
        pairs = zip(whole, flat, strict=True)
        ends = [
            old.replaced(steps, new) if isinstance(old, Written) else new
            for old, new in pairs
        ]
        return t, *tf.nest.pack_sequence_as(values, ends)


class Written:
    """What steps write and none reads: a TensorArray with one entry a turn.

    That is the only form of which other runtimes know that it is an output of a loop.

    Args:
        dtype: of the entries.
        time: the number of steps; a tensor where it is not known beforehand.
        steps: how many of them a turn takes.
        sizes: of what a step writes; tensors where they are not known beforehand.
    """

    def __init__(
        self, dtype: Any, time: int | Tensor, steps: int, sizes: Sequence[int | Tensor]
    ):
        self._dtype, self._sizes = dtype, list(sizes)
        shape = [size if isinstance(size, int) else None for size in sizes]
        turns = {steps: time // steps, **({1: time % steps} if steps > 1 else {})}
        self._turns = {
            one: count
            for one, count in turns.items()
            if not isinstance(count, int) or count
        }
        self._arrays = {
            one: tf.TensorArray(dtype, count, element_shape=[one, *shape])
            for one, count in self._turns.items()
        }

    def array(self, steps: int) -> Any:
        """Return the array of turns of this many steps."""
        return self._arrays[steps]

    def replaced(self, steps: int, array: Any) -> "Written":
        """Return the same, with this array for turns of this many steps."""
        other = copy.copy(self)
        other._arrays = {**self._arrays, steps: array}
        return other

    def stack(self) -> Tensor:
        """Return `(time, ...)`."""
        parts = []
        for one, array in self._arrays.items():
            entries = self._entries(array, [one, *self._sizes])
            count = self._turns[one] * one  # of no sequences, no size tells it
            parts.append(tf.reshape(entries, [count, *self._sizes]))
        return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

    def _entries(self, array: Any, sizes: list[int | Tensor]) -> Tensor:
        """Stack an array, which may be empty and of shapes known at run time alone."""
        if tf.executing_eagerly() or all(isinstance(size, int) for size in sizes):
            return array.stack()
        return tf.raw_ops.TensorListStack(
            input_handle=array.flow, element_shape=sizes, element_dtype=self._dtype
        )


class _Gathered:
    """What the steps of one turn write, and where it will go."""

    def __init__(self, array: Any):
        self.array = array
        self.entries: list[Tensor] = []

    def write(self, t: Tensor, value: Tensor) -> "_Gathered":
        """Keep the entry of a step."""
        self.entries.append(value)
        return self


def _gathered(whole: Any, value: Any) -> Any:
    return _Gathered(value) if isinstance(whole, Written) else value


def _put(place: Tensor, value: Any) -> Any:
    """Write what a turn gathered; all else stays as it is."""
    if not isinstance(value, _Gathered):
        return value
    return value.array.write(place, tf.stack(value.entries))


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
