"""Any cell over whole sequences on JAX, with a derivative of its own.

A step is traced once and divided (`custom_lstm.kernels.partition`): what does not
depend on the states runs for all steps at once. Let s_{t+1} = f(x_t, s_t, W); then

    ds_{t+1} = ∂f/∂s_t · ds_t + e_t        e_t = ∂f/∂x_t · dx_t + ∂f/∂W · dW

where all e_t are computed at once, before the loop. JAX transposes that for gradients:
its loop backward only leads from the cotangent of a state to that of the one before,
and those of W are one product for all steps, after the loop. Since it is a rule for
forward mode, derivatives of any order and mode, and `jax.vmap`, are JAX's as well.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from custom_lstm.kernels.jax_eager import compiled_once
from custom_lstm.kernels.jax_step import (
    Linear,
    Step,
    TracedStep,
    Values,
    is_real,
    merged,
    parted,
    run,
    run_for_all_steps,
    value_of,
)
from custom_lstm.kernels.partition import CannotPartition
from custom_lstm.kernels.registry import exporting
from custom_lstm.typing import Tensor


def why_not_partitioned() -> str | None:
    """Return why no step can be partitioned now, or None."""
    return "the model is being exported" if exporting() else None


def plain(
    step: Step,
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    unroll: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over sequences, differentiated by JAX.

    Args:
        step: `(inputs, states, constants, weights)` to outputs and new states, flat.
        inputs: `(batch, time, ...)` each.
        states: before the first step; of the new ones each has the same shape.
        constants: what every step is given.
        weights: the same, without an axis for the batch.
        unroll: write the steps out.

    Returns:
        Outputs, `(batch, time, ...)` each, and the last states.
    """

    def loop(inputs, states, constants, weights):
        def body(states: Any, each: Any) -> Any:
            outputs, new = step(list(each), list(states), constants, weights)
            return [jnp.asarray(state) for state in new], outputs

        by_step = [jnp.moveaxis(tensor, 1, 0) for tensor in inputs]
        states = [jnp.asarray(state) for state in states]
        last, outputs = jax.lax.scan(body, states, by_step, unroll=unroll)
        return [jnp.moveaxis(tensor, 0, 1) for tensor in outputs], last

    given = [list(inputs), list(states), list(constants), list(weights)]
    return loop(*given) if _is_traced(given) else compiled_once(loop, given)


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
    """Run a step over sequences, with the derivative of its plan.

    Args:
        step, inputs, states, constants, weights, unroll: see `plain`.
        training: of no effect: JAX knows whether there is a derivative to be taken.

    Returns:
        As `plain`.

    Raises:
        CannotPartition: nothing is traced; or see `TracedStep`.
    """
    if not _is_traced([*inputs, *states, *constants, *weights]):
        raise CannotPartition("JAX runs eagerly")
    by_step = [jnp.moveaxis(tensor, 1, 0) for tensor in inputs]
    states = [jnp.asarray(state) for state in states]
    each = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in by_step]
    traced = TracedStep(step, each, states, constants, weights)
    sequence = _differentiable(traced, unroll)
    ends, last = sequence(by_step, states, traced.arguments)
    return [jnp.moveaxis(ends[k], 0, 1) for k in traced.outputs], last


def _is_traced(given: Any) -> bool:
    return any(isinstance(tensor, jax.core.Tracer) for tensor in jax.tree.leaves(given))


def _differentiable(traced: TracedStep, unroll: bool) -> Any:
    """Return the loop, `(inputs, states, weights)` to the ends and the last states."""

    @jax.custom_jvp
    def sequence(inputs, states, weights):
        forward = _Forward(traced, inputs, states, weights, unroll=unroll, keep=False)
        return forward.ends, forward.last

    def derivative(primals, tangents):
        forward = _Forward(traced, *primals, unroll=unroll, keep=True)
        made = forward.ends, forward.last
        return made, forward.tangents(*tangents)

    sequence.defjvp(derivative, symbolic_zeros=True)
    return sequence


class _Forward:
    """A loop forward, and the linear map of its tangents.

    Attributes:
        ends: what the steps gave, `(time, ...)` each.
        last: the last states.
    """

    def __init__(self, traced, inputs, states, weights, *, unroll, keep):
        self._traced, self._unroll = traced, unroll
        self._time = inputs[0].shape[0]
        self._length = self._time if isinstance(self._time, int) else None
        self._same = traced.fixed | dict(zip(traced.weights, weights, strict=True))
        run(operations(traced.plan.once), self._same)
        self._rows: Values = dict(zip(traced.inputs, inputs, strict=True))
        self._run_rows(traced.plan.before)
        ends = {end for end in traced.ends if not hasattr(end, "val")}
        kept = [v for v in traced.plan.saved if keep and v not in traced.states]
        saved = [v for v in kept if v not in ends]
        self.last, self.ends, made = self._run(states, saved)
        self._rows.update(zip(saved, made, strict=True))
        self._rows.update(
            (end, made)
            for end, made in zip(traced.ends, self.ends, strict=True)
            if end in ends
        )
        for k, state in enumerate(traced.states) if keep else ():
            if state in traced.plan.saved and state not in self._rows:
                after = self.ends[traced.new_states[k]]
                self._rows[state] = jnp.concatenate([states[k][None], after[:-1]])

    def _run_rows(self, nodes):
        run_for_all_steps(operations(nodes), self._same, self._rows, self._time)

    def _run(self, states, saved):
        traced, plan = self._traced, self._traced.plan

        def body(current, each):
            values = self._same | dict(zip(traced.states, current, strict=True))
            values.update(zip(plan.read, each, strict=True))
            run(operations(plan.forward), values)
            ends = [jnp.asarray(value_of(end, values)) for end in traced.ends]
            new = [ends[k] for k in traced.new_states]
            return new, (ends, [values[v] for v in saved])

        read = [self._rows[v] for v in plan.read]
        last, (ends, made) = jax.lax.scan(
            body, states, read, self._length, unroll=self._unroll
        )
        return last, ends, made

    def tangents(self, d_inputs, d_states, d_weights):
        """Return the tangents of `ends` and `last`, given those of the arguments."""
        traced = self._traced
        self._run_rows(traced.plan.after)
        shifts = self._shifts(d_inputs, d_weights)
        still = [False for _ in d_inputs], [False for _ in d_weights]
        linear = traced.linear([*still[0], *(True for _ in d_states), *still[1]])
        rows, filled = self._residuals(linear)
        first = [
            d if _is_there(d) else jnp.zeros(state.aval.shape, state.aval.dtype)
            for d, state in zip(d_states, traced.states, strict=True)
            if is_real(state.aval)
        ]
        real = [k for k, there in enumerate(traced.real_ends) if there]
        places = [real.index(k) for k in traced.new_states if k in real]

        def body(current, each):
            rows, shift = each
            made = linear(filled(rows), current)
            if shift:
                made = [a + b for a, b in zip(made, shift, strict=True)]
            return [made[k] for k in places], made

        last, ends = jax.lax.scan(
            body, first, (rows, shifts), self._length, unroll=self._unroll
        )
        return _with_zeros(ends, self.ends), _with_zeros(last, self.last)

    def _shifts(self, d_inputs, d_weights) -> list[Tensor]:
        """Return the tangents of the ends as if those of the states were 0.

        An empty list if all others are 0.
        """
        traced, count = self._traced, len(self._traced.states)
        tangents = [*d_inputs, *(None for _ in range(count)), *d_weights]
        moving = [d is not None and _is_there(d) for d in tangents]
        if not any(moving):
            return []
        linear = traced.linear(moving)
        residuals, changing = self._all_residuals(linear)
        changing += [True for d in d_inputs if _is_there(d)]
        changing += [False for d in d_weights if _is_there(d)]
        some = [d for d in (*d_inputs, *d_weights) if _is_there(d)]
        return linear.for_all_steps(residuals, some, changing, self._time)

    def _residuals(self, linear: Linear) -> tuple[list[Tensor], Any]:
        """Return those that change with time, and what adds the others to them."""
        residuals, changing = self._all_residuals(linear)
        rows, others = parted(changing, residuals)
        return rows, lambda rows: merged(changing, rows, others)

    def _all_residuals(self, linear: Linear) -> tuple[list[Any], list[bool]]:
        """Return all that are read, None for the rest, and whether they change."""
        found, changing = [], []
        for atom, reads in zip(self._traced.residuals, linear.reads, strict=True):
            rows = not hasattr(atom, "val") and atom in self._rows
            changing.append(reads and rows)
            same = self._rows if rows else self._same
            found.append(value_of(atom, same) if reads else None)
        return found, changing


def operations(nodes):
    """Return the equations of nodes."""
    return [node.op for node in nodes]


def _is_there(tangent: Any) -> bool:
    """Return whether it is the tangent of a float and not known to be 0."""
    return not isinstance(tangent, SymbolicZero) and is_real(tangent)


def _with_zeros(tangents, primals):
    """Return tangents of floats, and among them those of all else."""
    real = [is_real(primal) for primal in primals]
    zeros = [np.zeros(p.shape, jax.dtypes.float0) for p in primals if not is_real(p)]
    return merged(real, tangents, zeros)
