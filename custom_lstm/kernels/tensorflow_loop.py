"""Any cell over whole sequences on TensorFlow, with a backward pass of its own.

A step whose rows do not depend on each other is traced once and divided
(`custom_lstm.kernels.partition`): what does not depend on the states runs for all steps
at once, and so do the gradients of all weights, after the loop backward. Any other step
runs in a plain loop, differentiated by TensorFlow.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from custom_lstm.kernels.registry import FEW_STEPS, exporting, shares
from custom_lstm.kernels.tensorflow_step import Step, TracedStep, run_nodes
from custom_lstm.kernels.tensorflow_turns import (
    Entries,
    Turns,
    Written,
    as_function,
    compiled_by_xla,
    of_higher_order,
    of_shape,
    steps_a_turn,
    steps_of_small_graph,
    unseen,
)
from custom_lstm.typing import Tensor

LONGEST_UNROLLED = 64
"""Steps up to which a partitioned loop is written out when nobody asks for it."""

_FEW = 16
"""Numbers in a constant that steps hold themselves."""


def why_not_partitioned() -> str | None:
    """Return why no step can be partitioned now, or None."""
    return "TensorFlow runs eagerly" if tf.executing_eagerly() else None


def plain(
    step: Step,
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    unroll: bool,
    a_turn: int | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over sequences, differentiated by TensorFlow.

    Args:
        step: `(inputs, states, constants, weights)` to outputs and new states, flat.
        inputs: `(batch, time, ...)` each.
        states: before the first step; of the new ones each has the same shape.
        constants: what every step is given.
        weights: the same, without an axis for the batch.
        unroll: write the steps out; needs a known `time`.
        a_turn: how many of them one turn of the loop takes; by default what suits.

    Returns:
        Outputs, `(batch, time, ...)` each, and the last states.
    """
    if unroll or tf.executing_eagerly():
        by_step = zip(*(tf.unstack(tensor, axis=1) for tensor in inputs), strict=True)
        made, last = [], list(states)
        for each in by_step:
            outputs, last = step(list(each), last, constants, weights)
            made.append(outputs)
        return [tf.stack(column, axis=1) for column in zip(*made, strict=True)], last
    a_turn = (
        a_turn or _small_turns(inputs[0], False) or steps_a_turn(inputs[0].shape[1])
    )
    loop = _Loop(inputs[0], False, a_turn)
    given = [loop.entries(loop.turned(tensor)) for tensor in inputs]
    like = _outputs_of(step, inputs, states, constants, weights)
    arrays = [loop.written(tensor.dtype, tensor.shape[1:]) for tensor in like]

    def body(t, states, arrays):
        each = [array.read(t) for array in given]
        outputs, new = step(each, states, constants, weights)
        new = [of_shape(a, b.shape) for a, b in zip(new, states, strict=True)]
        return new, [a.write(t, b) for a, b in zip(arrays, outputs, strict=True)]

    last, arrays = loop(body, list(states), arrays)
    return [loop.turned(array.stack()) for array in arrays], last


def partitioned(
    step: Step,
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    unroll: bool,
    training: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over sequences, with the backward pass of its plan.

    Args:
        step, inputs, states, constants, weights, unroll: see `plain`.
        training: whether the gradient is expected: what it needs is kept. Without, the
            gradient runs the loop forward again.

    Returns:
        As `plain`.

    Raises:
        CannotPartition: the step has side effects, reads tensors from outside, or is
            not known to treat rows apart.
    """
    a_turn = _small_turns(inputs[0], training, [*inputs, *states, *weights])
    small = a_turn is not None
    unroll = unroll or (not small and _short(inputs[0].shape[1]))
    parts = [[*inputs, *states, *constants]]
    if not small and (count := _shares(parts[0], states)) > 1:
        split = [tf.split(tensor, count) for tensor in parts[0]]
        parts = [list(part) for part in zip(*split, strict=True)]
    sizes = [len(inputs), len(states), len(constants), len(weights)]
    some, first, fixed, _ = _groups([*parts[0], *weights], sizes)
    each = [tf.TensorSpec([t.shape[0], *t.shape[2:]], t.dtype) for t in some]
    traced = TracedStep(step, each, first, fixed, weights)
    how = {"unroll": unroll, "a_turn": a_turn or steps_a_turn(inputs[0].shape[1])}
    sequence = _differentiable(step, traced, sizes, how, training)
    made = [sequence(*part, *weights) for part in parts]
    results = made[0]
    if len(made) > 1:
        results = [tf.concat(each, axis=0) for each in zip(*made, strict=True)]
    ends = len(traced.outputs)
    return list(results[:ends]), list(results[ends:])


def _shares(rows: Sequence[Tensor], states: Sequence[Tensor]) -> int:
    """Return in how many parts, side by side, a batch runs.

    Only where all is known to have its rows, and states are vectors: what is made of
    images uses all cores by itself.
    """
    batch = rows[0].shape[0]
    vectors = all(tensor.shape.rank == 2 for tensor in states)
    whole = all(tensor.shape.rank and tensor.shape[0] == batch for tensor in rows)
    if batch is None or batch % 2 or not (vectors and whole):
        return 1
    return shares(batch, max((state.shape[1] or 0 for state in states), default=0))


def _differentiable(step, traced, sizes, how, training):
    """Return the loop, flat arguments to outputs and last states, with its gradient."""
    ends, given = len(traced.outputs), traced.has_gradients
    keep = training or how["unroll"]
    second = _second(functools.partial(_plain_results, step, sizes), given)

    @tf.custom_gradient
    def sequence(*arguments):
        hidden = [unseen(tensor, training) for tensor in arguments]
        forward = _Forward(traced, *_groups(hidden, sizes), **how, keep=keep)

        @tf.custom_gradient
        def gradient_of(*sources):
            above = [unseen(tensor, training) for tensor in sources[len(arguments) :]]
            kept = forward if keep else forward.again()
            made = [d for d in kept.backward(above, ends) if d is not None]
            return made, lambda *v: second(list(sources), list(v))

        def gradient(*above):
            made = iter(gradient_of(*arguments, *above))
            return [next(made) if there else None for there in given]

        return forward.results, gradient

    return sequence


def _plain_results(step, sizes, *arguments):
    """In a loop: a second derivative of steps written out has them four times."""
    outputs, last = plain(step, *_groups(arguments, sizes), unroll=False, a_turn=1)
    return [*outputs, *last]


def _short(time: int | None) -> bool:
    return time is not None and time <= LONGEST_UNROLLED


def _may_be_exported(like: Tensor, training: bool) -> bool:
    """Return whether the graph should be small: a device answers on one sequence."""
    return (like.shape[0] == 1 or exporting()) and not training


def _small_turns(
    like: Tensor, training: bool, differentiated: Sequence[Tensor] = ()
) -> int | None:
    """Return the steps of a turn if the graph should be small, else None.

    XLA compiles what is written out for long, and so do further derivatives.
    """
    if compiled_by_xla():
        return 1
    long = like.shape[1] is None or like.shape[1] > FEW_STEPS
    again = differentiated and long and of_higher_order(differentiated)
    if again or _may_be_exported(like, training):
        return steps_of_small_graph(like.shape[1])
    return None


class _Loop(Turns):
    """The steps of sequences, written out or as a loop over TensorArrays.

    Rows lie as suits it: all steps of a sequence together, from which steps written out
    are cut, or all sequences of a step, as TensorArrays have them.
    """

    def __init__(self, like: Tensor, unroll: bool, a_turn: int = 1):
        sizes = tf.shape(like)
        self.batch, time = (
            sizes[axis] if like.shape[axis] is None else like.shape[axis]
            for axis in (0, 1)
        )
        super().__init__(time, unroll, a_turn)
        self.rows = self.batch * self.time
        self.static_batch = like.shape[0]

    def turned(self, tensor: Tensor) -> Tensor:
        """From `(batch, time, ...)` to the loop's layout, or back."""
        if self.unroll:
            return tensor
        order = [1, 0, *range(2, tensor.shape.rank)]
        return tf.transpose(tensor, order)

    def to_rows(self, tensor: Tensor) -> Tensor:
        """From the loop's layout to rows."""
        return tf.reshape(tensor, [self.rows, *tensor.shape[2:]])

    def from_rows(self, rows: Tensor) -> Tensor:
        """From rows to the loop's layout."""
        first = (self.batch, self.time) if self.unroll else (self.time, self.batch)
        return tf.reshape(rows, [*first, *rows.shape[1:]])

    def repeated(self, tensor: Tensor) -> Tensor:
        """A constant, a row for every row."""
        if self.unroll:
            return tf.repeat(tensor, self.time, axis=0)
        return tf.tile(tensor, [self.time, *[1] * (tensor.shape.rank - 1)])

    def summed(self, rows: Tensor) -> Tensor:
        """The sum over the steps of rows, one a sequence."""
        return tf.reduce_sum(self.from_rows(rows), 1 if self.unroll else 0)

    def entries(self, tensor: Tensor) -> Any:
        """A whole sequence, in the loop's layout, as an array to read steps from."""
        if self.unroll:
            return Entries(tf.unstack(tensor, self.time, axis=1))
        array = tf.TensorArray(tensor.dtype, self.time, clear_after_read=False)
        return array.unstack(tensor)

    def array(self, dtype: Any, shape: Sequence[int | None]) -> Any:
        """An empty array with an entry `(batch, *shape)` a step."""
        if self.unroll:
            return Entries([None] * self.time)
        each = [self.static_batch, *shape]
        return tf.TensorArray(
            dtype, self.time, element_shape=each, clear_after_read=False
        )

    def written(self, dtype: Any, shape: Sequence[int | None]) -> Any:
        """An empty array of the same, which no step reads."""
        if self.unroll or None in shape:
            return self.array(dtype, shape)
        return Written(dtype, self.time, self.steps, [self.batch, *shape])

    def stacked(self, array: Any) -> Tensor:
        """The whole sequence of an array, in the loop's layout."""
        if self.unroll:
            return tf.stack(array.entries, axis=1)
        return array.stack()

    def array_rows(self, array: Any) -> Tensor:
        """The whole sequence of an array, as rows."""
        return self.to_rows(self.stacked(array))


class _Rows(dict):
    """Values as rows; those of the loop are brought there when they are asked for."""

    def __init__(self, loop: _Loop, known: dict[Any, Tensor]):
        super().__init__(known)
        self.loop = loop
        self.later: dict[Any, Callable[[], Tensor]] = {}

    def __missing__(self, value: Any) -> Tensor:
        self[value] = self.later[value]()
        return self[value]

    def __contains__(self, value: Any) -> bool:
        return super().__contains__(value) or value in self.later

    def sequence(self, value: Any) -> Tensor:
        """A value in the loop's layout."""
        return self.loop.from_rows(self[value])


class _Forward:
    """A loop forward, and what its backward pass needs."""

    def __init__(
        self, traced, inputs, states, constants, weights, *, unroll, a_turn, keep
    ):
        self._arguments = inputs, states, constants, weights
        graph, plan = traced.graph, traced.plan
        self._traced, self._plan, self._graph = traced, plan, graph
        self._loop = loop = _Loop(inputs[0], unroll, a_turn)
        once = dict(zip(graph.weights, weights, strict=True))
        run_nodes(plan.once, once, None)
        self._once = once
        self._rows = rows = _Rows(loop, once)
        for value, tensor in zip(graph.constants, constants, strict=True):
            rows.later[value] = functools.partial(loop.repeated, tensor)
        for value, tensor in zip(graph.inputs, inputs, strict=True):
            rows[value] = loop.to_rows(loop.turned(tensor))
        run_nodes(plan.before, rows, loop.rows)
        self._setup = once | dict(zip(graph.constants, constants, strict=True))
        self._arrays: dict[Any, Any] = {}
        last = self._run(states, keep)
        outputs = [self._output(value) for value in graph.outputs]
        self.results = [*outputs, *last]

    def again(self):
        """Return the same loop, with all that its backward pass needs."""
        how = {"unroll": self._loop.unroll, "a_turn": self._loop.steps}
        return _Forward(self._traced, *self._arguments, **how, keep=True)

    def _run(self, states, keep):
        graph, plan, loop = self._graph, self._plan, self._loop
        setup = dict(self._setup)
        run_nodes(plan.setup, setup, loop.batch)
        self._constants = setup
        given = {v: loop.entries(self._rows.sequence(v)) for v in plan.read}
        kept = [v for v in plan.saved if v not in graph.states] if keep else []
        looped = {v for node in plan.forward for v in node.outputs}
        made = [v for v in graph.outputs if v in looped and v not in kept]
        held = [v for v in graph.states if v in plan.saved] if keep else []
        names = [*kept, *made, *held]
        ends = states, graph.new_states
        last, arrays = self._steps(
            plan.forward, setup, graph.states, ends, given, names, read=keep
        )
        self._arrays = dict(zip(names, arrays, strict=True))
        for value, array in self._arrays.items():
            self._rows.later[value] = functools.partial(loop.array_rows, array)
        return last

    def _array(self, value, read):
        make = self._loop.array if read else self._loop.written
        return make(self._traced.dtype(value), self._traced.shape(value)[1:])

    def _output(self, value):
        loop = self._loop
        if value in self._arrays:
            return loop.turned(loop.stacked(self._arrays[value]))
        if value in self._rows:
            return loop.turned(self._rows.sequence(value))
        constant = loop.repeated(self._constants[value])
        return loop.turned(loop.from_rows(constant))

    def backward(self, above, ends):
        """Return the cotangents of inputs, states, constants and weights."""
        graph, plan, loop = self._graph, self._plan, self._loop
        rows = _Rows(loop, self._rows)
        rows.later = dict(self._rows.later)
        for value, tensor in zip(graph.output_cotangents, above[:ends], strict=True):
            tensor.set_shape([None, None, *self._traced.shape(value)[1:]])
            rows[value] = loop.to_rows(loop.turned(tensor))
        run_nodes(plan.factors, rows, loop.rows)
        setup = dict(self._setup)
        run_nodes(plan.setup_backward, setup, loop.batch)
        given = {
            v: self._arrays.get(v) or loop.entries(rows.sequence(v))
            for v in plan.read_backward
        }
        last, arrays = self._steps(
            plan.backward,
            setup,
            graph.state_cotangents,
            (above[ends:], graph.d_states),
            given,
            plan.written,
            backwards=True,
        )
        for value, array in zip(plan.written, arrays, strict=True):
            rows.later[value] = functools.partial(loop.array_rows, array)
        run_nodes(plan.after, rows, loop.rows)
        return [
            *_each(lambda v: loop.turned(rows.sequence(v)), graph.d_inputs),
            *(state if state.dtype.is_floating else None for state in last),
            *_each(lambda v: loop.summed(rows[v]), graph.d_constants),
            *_each(rows.__getitem__, graph.d_weights),
        ]

    def _steps(
        self, nodes, setup, states, ends, given, written, read=True, backwards=False
    ):
        """Run `nodes` at every step.

        `states` become `ends[1]` at each step and are `ends[0]` before the first; the
        steps read `given`, arrays by value, and write the values `written`, which
        other steps will `read`.
        """
        loop, (first, new_states) = self._loop, ends
        read_here = {value for node in nodes for value in node.kept}
        numbers = {v: _number(tensor) for v, tensor in setup.items() if v in read_here}

        def one_step(current, each):
            known = {
                value: tf.constant(number)
                for value, number in numbers.items()
                if number is not None
            }
            values = setup | known | dict(zip(states, current, strict=True))
            values.update(zip(given, each, strict=True))
            run_nodes(nodes, values, loop.batch)
            new = [
                tf.zeros_like(old) if v is None else values[v]
                for v, old in zip(new_states, current, strict=True)
            ]
            return new + [values[v] for v in written]

        step, count = as_function(one_step, loop.unroll), len(states)

        def body(t, current, arrays):
            made = step(list(current), [array.read(t) for array in given.values()])
            pairs = zip(made[:count], current, strict=True)
            new = [of_shape(after, before.shape) for after, before in pairs]
            pairs = zip(made[count:], arrays, strict=True)
            return new, [array.write(t, value) for value, array in pairs]

        arrays = [self._array(value, read) for value in written]
        return loop(body, list(first), arrays, backwards=backwards)


def _number(tensor):
    """Return the value of a small constant, else None.

    A loop gets such values as its own: other runtimes want to know the axis of a split
    where it happens.
    """
    few = (tensor.shape.num_elements() or 0) <= _FEW
    constant = few and getattr(tensor, "op", None) and tensor.op.type == "Const"
    return tf.get_static_value(tensor) if constant else None


def _each(function, values):
    """Map what is there; None stays None."""
    return [None if value is None else function(value) for value in values]


def _groups(values, sizes):
    rest, groups = list(values), []
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    return groups


def _outputs_of(step, inputs, states, constants, weights):
    """What the step returns for an output, without running it."""
    specs = [
        [tf.TensorSpec([t.shape[0], *t.shape[2:]], t.dtype) for t in inputs],
        [tf.TensorSpec(t.shape, t.dtype) for t in states],
    ]
    traced = tf.function(
        lambda each, states: step(each, states, constants, weights)[0], autograph=False
    )
    return traced.get_concrete_function(*specs).structured_outputs


def _second(plain: Callable[..., Any], given: Sequence[bool]) -> Callable[..., Any]:
    """Return the gradient of v·(gradient of the forward pass by its inputs).

    It takes the forward pass's arguments with the cotangents of its results, and v, and
    is traced once for all parts of a batch. `given` says which arguments have a
    gradient, and v has an entry for each of those.

    `tf.gradients` in a graph, because tapes do not record where TensorFlow makes
    forward derivatives of backward ones.
    """

    @tf.function(autograph=False)
    def second(sources, v):
        arguments, above = sources[: len(given)], sources[len(given) :]
        by = [a for a, there in zip(arguments, given, strict=True) if there]
        zero = {"unconnected_gradients": tf.UnconnectedGradients.ZERO}
        first = tf.gradients(plain(*arguments), by, list(above), **zero)
        products = [tf.reduce_sum(a * b) for a, b in zip(first, v, strict=True)]
        return tf.gradients(tf.add_n(products), [*arguments, *above], **zero)

    return second
