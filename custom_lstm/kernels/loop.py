"""Any cell over whole sequences: nests of any structure, masks, side effects.

A step is made a function of flat lists of tensors here; the loops themselves, one for
each backend, know nothing else:

    step(inputs, states, constants, weights) -> outputs, new states

What a step changes besides its states (a seed, moving averages, metrics) and the
losses that it adds are states of the loop as well, and reach the layer after it.
"""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from custom_lstm.kernels.partition import CannotPartition
from custom_lstm.typing import Nest, Tensor

MODULES = {
    "tensorflow": "custom_lstm.kernels.tensorflow_loop",
    "jax": "custom_lstm.kernels.jax_loop",
    "torch": "custom_lstm.kernels.pytorch_loop",
}
"""The loops, by backend."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """The steps of one call of a layer.

    Args:
        step: `(inputs, states, constants)` of one step to `(outputs, new_states,
            shown)`; the last, a nest too, is recorded and nothing else.
        inputs: nest of `(batch, time, ...)`; finite at masked steps, too: see `zeroed`.
        states: nest of what the states are before the first step.
        constants: nest of `(batch, ...)`, the same for every step.
        variables: those that the step may read or change.
        mask: boolean `(batch, time)`; where it is False the states stay. Or None.
        nonzero: boolean `(batch, time)`; where it is False the output is 0. By default
            masked steps return the output of the step before.
        unroll: whether to write the steps out.
        training: whether the gradient is expected.
        only_last: whether the outputs of the last step alone are asked for.
        rows_apart: whether no row of the batch depends on another, as far as is known.
    """

    step: Callable[[Nest, Nest, Nest], tuple[Nest, Nest, Nest]]
    inputs: Nest
    states: Nest
    constants: Nest = ()
    variables: Sequence[keras.Variable] = ()
    mask: Tensor | None = None
    nonzero: Tensor | None = None
    unroll: bool = False
    training: bool = False
    only_last: bool = False
    rows_apart: bool = True


@dataclasses.dataclass(frozen=True)
class Result:
    """What the steps made.

    Args:
        outputs: nest of `(batch, time, ...)`; of one step, if the last is all that is
            asked for.
        last: nest of `(batch, ...)`, the outputs of the last step.
        states: nest of the states after the last step.
        shown: nest of `(batch, time, ...)`. At masked steps those that are states
            are what the states were, and all else is 0.
        loss: the sum of the losses that the steps added, or None.
        loop: name of the loop that ran: "plain" or "partitioned"; or "scan".
        reason: why it is the plain one, or None.
    """

    outputs: Nest
    last: Nest
    states: Nest
    shown: Nest
    loss: Tensor | None
    loop: str
    reason: str | None


def run(steps: Steps) -> Result:
    """Run all steps, and assign what they changed.

    Args:
        steps: what to run.

    Returns:
        What they made.
    """
    backend = importlib.import_module(MODULES[keras.backend.backend()])
    flat = _Flat(steps)
    reason = None if steps.rows_apart else "its rows depend on each other"
    if reason is None and (reason := backend.why_not_partitioned()) is None:
        try:
            outputs, states = backend.partitioned(
                flat.pure,
                *flat.arguments(),
                unroll=steps.unroll,
                training=steps.training,
            )
            return flat.result(outputs, states, "partitioned", None)
        except CannotPartition as error:
            reason = str(error)
    carried = flat.arguments(with_effects=True)
    outputs, states = backend.plain(flat.effectful, *carried, unroll=steps.unroll)
    return flat.result(outputs, states, "plain", reason)


def scanned(steps: Steps, outputs: Nest, states: Nest, shown: Nest) -> Result:
    """Return what a cell has computed at once as the result of a loop.

    Args:
        steps: what a loop would run.
        outputs, states, shown: of every step, `(batch, time, ...)`.
    """
    flat = _Flat(dataclasses.replace(steps, only_last=False))
    result = flat.gathered(outputs, states, shown)
    if not steps.only_last:
        return result
    last = keras.tree.map_structure(lambda output: output[:, None], result.last)
    return dataclasses.replace(result, outputs=last)


def step_scope() -> contextlib.AbstractContextManager[Any]:
    """Return a scope in which cells may have any name, as in a layer's call.

    TensorFlow lets no name at the root of a graph begin with "_", as those of private
    classes do.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    module = importlib.import_module("custom_lstm.kernels.tensorflow_functions")
    return module.step_scope()


class _Flat:
    """The step of `Steps` as a function of flat lists."""

    def __init__(self, steps: Steps):
        self._steps = steps
        self._changes = [v for v in steps.variables if not v.trainable]
        self._weights = [v for v in steps.variables if v.trainable]
        self._changed: set[int] = set()
        self._adds_losses = False
        self._outputs: Nest = None
        self._shown: Nest = None
        self._places: list[int | None] = []

    def arguments(self, with_effects: bool = False) -> tuple[list[Tensor], ...]:
        """Return inputs, states, constants and weights for `pure` or `effectful`."""
        steps = self._steps
        inputs = keras.tree.flatten(steps.inputs)
        if steps.mask is not None:
            inputs.append(steps.mask)
        states = [
            state.value if isinstance(state, keras.Variable) else state
            for state in keras.tree.flatten(steps.states)
        ]
        changes = [variable.value for variable in self._changes]
        weights = [variable.value for variable in self._weights]
        if with_effects:
            states = [*states, *changes, ops.zeros((), keras.config.floatx())]
        else:
            weights = weights + changes
        return inputs, states, keras.tree.flatten(steps.constants), weights

    def pure(self, inputs, states, constants, weights):
        """Run one step that neither changes variables nor adds losses."""
        values, count = list(weights), len(self._weights)
        outputs, new, changes, losses = self._run(
            inputs, states, constants, values[:count], values[count:]
        )
        if any(a is not b for a, b in zip(changes, values[count:], strict=True)):
            raise CannotPartition("its step changes variables")
        if losses:
            raise CannotPartition("its step adds losses")
        return outputs, new

    def effectful(self, inputs, states, constants, weights):
        """Run one step; its states end with the variables and the sum of losses."""
        count = len(states) - len(self._changes) - 1
        *changes, loss = states[count:]
        outputs, new, after, losses = self._run(
            inputs, states[:count], constants, weights, changes
        )
        pairs = enumerate(zip(after, changes, strict=True))
        self._changed.update(k for k, (a, b) in pairs if a is not b)
        self._adds_losses = self._adds_losses or bool(losses)
        for added in losses:
            loss = loss + ops.cast(ops.sum(added), loss.dtype)
        return outputs, [*new, *after, loss]

    def _run(self, inputs, states, constants, weights, changes):
        steps, pack = self._steps, keras.tree.pack_sequence_as
        masked = steps.mask is not None
        mapping = [
            *zip(self._weights, weights, strict=True),
            *zip(self._changes, changes, strict=True),
        ]
        scope = keras.StatelessScope(state_mapping=mapping, collect_losses=True)
        with scope:
            self._outputs, made, self._shown = steps.step(
                pack(steps.inputs, inputs[:-1] if masked else inputs),
                pack(steps.states, states),
                pack(steps.constants, constants),
            )
        new = keras.tree.flatten(made)
        outputs = keras.tree.flatten([self._outputs, self._shown])
        places = [_index(output, new) for output in outputs]
        self._places = places
        pairs = zip(new, states, strict=True)
        new = [ops.cast(after, before.dtype) for after, before in pairs]
        if masked:
            pairs = zip(new, states, strict=True)
            new = [_where(inputs[-1], after, before) for after, before in pairs]
            outputs = [
                output if place is None else new[place]
                for output, place in zip(outputs, places, strict=True)
            ]
        if steps.only_last:  # it is among the last states: no step need be kept
            pairs = zip(outputs, places, strict=True)
            outputs = [output for output, place in pairs if place is None]
        known = [scope.get_current_value(variable) for variable in self._changes]
        pairs = zip(known, changes, strict=True)
        after = [before if value is None else value for value, before in pairs]
        return outputs, new, after, list(scope.losses)

    def result(self, outputs, states, loop, reason) -> Result:
        """Assign what was changed, and return the rest in its structure."""
        own, pack = len(keras.tree.flatten(self._steps.states)), self._pack_outputs
        count = len(keras.tree.flatten(self._outputs))
        shown = self._held_shown(outputs[count:], self._places[count:])
        for k in sorted(self._changed) if loop == "plain" else ():
            self._changes[k].assign(states[own + k])
        if self._steps.only_last:
            outputs, last = self._last(iter(outputs), states)
        else:
            outputs, last = self._held(outputs[:count])
        return Result(
            outputs=pack(outputs),
            last=pack(last),
            states=keras.tree.pack_sequence_as(self._steps.states, states[:own]),
            shown=keras.tree.pack_sequence_as(self._shown, shown),
            loss=states[-1] if self._adds_losses else None,
            loop=loop,
            reason=reason,
        )

    def gathered(self, outputs, states, shown) -> Result:
        """Return what all steps made at once, in its structure."""
        self._outputs, self._shown = outputs, shown
        every, before = keras.tree.flatten(states), self.arguments()[1]
        flat = keras.tree.flatten([outputs, shown])
        self._places = [_index(output, every) for output in flat]
        pairs = zip(every, before, strict=True)
        last = [ops.cast(after[:, -1], old.dtype) for after, old in pairs]
        return self.result(flat, last, "scan", None)

    def _pack_outputs(self, outputs):
        return keras.tree.pack_sequence_as(self._outputs, outputs)

    def _held_shown(self, shown, places):
        mask = self._steps.mask
        return [
            zeroed(mask, tensor) if mask is not None and place is None else tensor
            for tensor, place in zip(shown, places, strict=True)
        ]

    def _last(self, outputs, states):
        """Return the outputs of one step twice: as outputs and as the last ones."""
        mask, nonzero = self._steps.mask, self._steps.nonzero
        last = []
        for place in self._places:
            if place is None:
                (_, (output,)) = self._held([next(outputs)])
            else:
                output = states[place]
                if mask is not None:
                    acts = mask[:, -1] if nonzero is not None else ops.any(mask, axis=1)
                    output = zeroed(acts, output)
            last.append(output)
        return [output[:, None] for output in last], last

    def _held(self, outputs):
        """Return outputs and last ones, with what the layer has at masked steps."""
        mask, nonzero = self._steps.mask, self._steps.nonzero
        if mask is not None and nonzero is not mask:
            begun = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
            places = [None] * len(outputs) if self._steps.only_last else self._places
            outputs = [
                _last_before(mask, output) if place is None else output
                for output, place in zip(outputs, places, strict=False)
            ]
            outputs = [zeroed(begun, output) for output in outputs]
        last = [output[:, -1] for output in outputs]
        if mask is not None and nonzero is not None:
            last = [zeroed(mask[:, -1], output) for output in last]
            outputs = [zeroed(nonzero, output) for output in outputs]
        return outputs, last


def zeroed(nonzero: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor`, 0 where `nonzero`, which has its first axes, is False.

    So nothing behind a mask, were it NaN, reaches what is computed or differentiated.
    """
    return _where(nonzero, tensor, ops.zeros_like(tensor))


def _index(output: Tensor, states: Sequence[Tensor]) -> int | None:
    """Return which of the new states an output is, or None."""
    return next((k for k, state in enumerate(states) if state is output), None)


def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`ops.where`, each entry of the condition for all that follows its axes."""
    for _ in range(len(x.shape) - len(condition.shape)):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, x, y)


def _last_before(mask: Tensor, outputs: Tensor) -> Tensor:
    """Return at each step the output of the last step that counts; 0 if there is none.

    Args:
        mask: `(batch, time)`.
        outputs: `(batch, time, ...)`.
    """
    batch, time = ops.shape(outputs)[:2]
    numbers = ops.arange(time, dtype="int32")[None]
    last = ops.where(mask, numbers, ops.zeros_like(numbers))
    last = ops.associative_scan(ops.maximum, last, axis=1)
    last = ops.reshape(last, (batch, time))  # of which TensorFlow may lose the rank
    rows = last + ops.arange(batch, dtype="int32")[:, None] * time
    flat = ops.reshape(outputs, (batch * time, *outputs.shape[2:]))
    return ops.take(flat, rows, axis=0)
