"""A cell's step on JAX: traced, divided, and with the linear map of its tangents.

A step is traced together with its residuals, what the linear map of its tangents reads.
All that is not in the loop runs for all steps at once, with time as one more axis: a
step may well mix the rows of its batch, since only states lead from step to step.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from custom_lstm.kernels.partition import CannotPartition, Graph, Node, partition
from custom_lstm.typing import Tensor

Step = Callable[..., tuple[list[Tensor], list[Tensor]]]
"""`(inputs, states, constants, weights)`, all flat lists, to outputs and new states."""
Values = dict[Any, Tensor]
"""Tensors by the variables of a jaxpr."""


class TracedStep:
    """The operations of a step and of its residuals, in parts.

    What a step gives are its ends: the new states, and those outputs that are none of
    them. Of arguments and ends only floats have tangents.

    Args:
        step: see `Step`.
        inputs, states, constants, weights: examples; `inputs` those of one step.

    Attributes:
        arguments: values of the weights, with constants and what the step reads from
            outside itself among them.
        inputs, states, weights: their variables, and
        ends: those of the ends.
        new_states, outputs: which of the ends each is.
        residuals, fixed: variables of the residuals, values of known ones.
        plan: the parts; `after` makes the residuals.

    Raises:
        CannotPartition: the step has side effects, or holds an operation that is not
            known to have a derivative and to run for all steps at once.
    """

    def __init__(
        self,
        step: Step,
        inputs: Sequence[Any],
        states: Sequence[Any],
        constants: Sequence[Any],
        weights: Sequence[Any],
    ):
        tensors = [*inputs, *states, *constants, *weights]
        sizes = [len(inputs), len(states), len(constants), len(weights)]

        def flat(*arguments):
            outputs, new_states = step(*cut(arguments, sizes))
            return [jnp.asarray(end) for end in (*new_states, *outputs)]

        closed = jax.make_jaxpr(flat)(*map(_like, tensors))
        _check_operations(closed.jaxpr)
        self.arguments = [*constants, *weights, *closed.consts]
        made = [id(end) for end in closed.jaxpr.outvars]
        unique = list(dict.fromkeys(made))
        places = [unique.index(end) for end in made]
        self.new_states, self.outputs = cut(places, [len(states), len(places)])
        starts = [*closed.jaxpr.invars, *closed.jaxpr.constvars]
        ends = [closed.jaxpr.outvars[made.index(end)] for end in unique]
        self._starts = [_like(start.aval) for start in starts]
        self._real_starts = [is_real(start) for start in self._starts]
        self.real_ends = [is_real(end.aval) for end in ends]
        self._sizes = [len(inputs), len(states), len(self.arguments)]
        traced = self._with_residuals(
            functools.partial(_evaluate, closed.jaxpr.eqns, starts, ends)
        )
        jaxpr = traced.jaxpr
        self.inputs, self.states, self.weights = cut(jaxpr.invars, self._sizes)
        self.ends, self.residuals = cut(jaxpr.outvars, [len(ends), None])
        self.fixed: Values = dict(zip(jaxpr.constvars, traced.consts, strict=True))
        self.plan = partition(self._graph(jaxpr.eqns))

    def _with_residuals(self, evaluate: Callable[..., list[Tensor]]) -> Any:
        """Return the jaxpr of a step that gives its residuals as well."""

        def linearized(*arguments):
            real, fixed = parted(self._real_starts, arguments)

            def moving(*real):
                made = evaluate(merged(self._real_starts, real, fixed))
                return parted(self.real_ends, made)

            made, linear, others = jax.linearize(moving, *real, has_aux=True)
            residuals, self._linear = jax.tree.flatten(linear)
            return [*merged(self.real_ends, made, others), *residuals]

        return _inlined(jax.make_jaxpr(linearized)(*self._starts))

    def _graph(self, equations: Iterable[Any]) -> Graph:
        """Describe the operations; all that is the same at every step as weights."""
        nodes = []
        for equation in equations:
            read = tuple(v for v in equation.invars if not _is_literal(v))
            nodes.append(Node(equation, read, tuple(equation.outvars), read))
        return Graph(
            nodes=nodes,
            inputs=self.inputs,
            states=self.states,
            constants=[],
            weights=self.weights,
            outputs=[],
            new_states=_variables(self.ends),
            output_cotangents=[],
            state_cotangents=[],
            d_inputs=[],
            d_states=[],
            d_constants=[],
            d_weights=_variables(self.residuals),
        )

    def linear(self, moving: Sequence[bool]) -> "Linear":
        """Return the linear map of the tangents of some arguments.

        Args:
            moving: for each input, state and weight whether it has one that is not 0.
        """
        moving = chosen(self._real_starts, moving)
        starts = chosen(self._real_starts, self._starts)
        zeros = [jnp.zeros(start.shape, start.dtype) for start in starts]

        def mapped(residuals, *tangents):
            linear = jax.tree.unflatten(self._linear, residuals)
            some, others = parted(moving, zeros)

            def of_some(*some):
                return linear(*merged(moving, some, others))

            return jax.jvp(of_some, tuple(some), tangents)[1]

        like = [_like(residual.aval) for residual in self.residuals]
        closed = jax.make_jaxpr(mapped)(like, *chosen(moving, starts))
        return Linear(_inlined(closed), len(like))


class Linear:
    """A linear map of tangents, given residuals.

    Args:
        closed: the jaxpr of `(residuals, *tangents)`.
        count: number of residuals.

    Attributes:
        reads: for each residual whether it is read at all.
    """

    def __init__(self, closed: Any, count: int):
        self._closed, jaxpr = closed, closed.jaxpr
        self._needed = _needed(jaxpr)
        read = {id(v) for equation in self._needed for v in equation.invars}
        read.update(id(end) for end in jaxpr.outvars)
        self.reads = [id(start) in read for start in jaxpr.invars[:count]]

    def _values(self, residuals, tangents) -> Values:
        jaxpr = self._closed.jaxpr
        given = [*self._closed.consts, *residuals, *tangents]
        return dict(zip([*jaxpr.constvars, *jaxpr.invars], given, strict=True))

    def __call__(
        self, residuals: Sequence[Tensor | None], tangents: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the tangents of those ends that are floats, at one step."""
        values = self._values(residuals, tangents)
        run(self._needed, values)
        return [value_of(end, values) for end in self._closed.jaxpr.outvars]

    def for_all_steps(
        self, residuals, tangents, changing: Sequence[bool], time: int
    ) -> list[Tensor]:
        """Return them for all steps at once.

        Args:
            residuals, tangents: as for one step, but those that change with time
                `(time, ...)`.
            changing: which of both change.
            time: number of steps.
        """
        mask = [False for _ in self._closed.consts] + list(changing)
        given = self._values(residuals, tangents)
        rows, values = map(dict, parted(mask, list(given.items())))
        run_for_all_steps(self._needed, values, rows, time)
        return [
            rows[end]
            if not _is_literal(end) and end in rows
            else _repeated(value_of(end, values), time)
            for end in self._closed.jaxpr.outvars
        ]


def run(equations: Iterable[Any], values: Values) -> None:
    """Run operations of one step.

    Args:
        equations: in an order in which they can be run.
        values: what they read; the results are added.
    """
    for equation in equations:
        results = _results(equation, [value_of(v, values) for v in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))


def run_for_all_steps(
    equations: Iterable[Any], values: Values, rows: Values, time: int
) -> None:
    """Run operations for all steps at once.

    Args:
        equations: in an order in which they can be run.
        values: what they read that is the same at every step; results are added.
        rows: what changes, `(time, ...)` each; results are added.
        time: number of steps.
    """
    for equation in equations:
        changing = [not _is_literal(v) and v in rows for v in equation.invars]
        pairs = zip(equation.invars, changing, strict=True)
        given = [rows[v] if where else value_of(v, values) for v, where in pairs]
        if any(changing):
            results = _results_for_all_steps(equation, given, changing, time)
        else:
            results = _results(equation, given)
        into = rows if any(changing) else values
        into.update(zip(equation.outvars, results, strict=True))


def value_of(atom: Any, values: Values) -> Tensor:
    """Return the value of a variable, or of a literal."""
    return atom.val if _is_literal(atom) else values[atom]


def _repeated(tensor: Tensor, time: int) -> Tensor:
    tensor = jnp.asarray(tensor)
    return jnp.broadcast_to(tensor, (time, *tensor.shape))


def is_real(tensor: Any) -> bool:
    """Return whether a tensor has a tangent."""
    return jnp.issubdtype(tensor.dtype, jnp.inexact)


def parted(mask: Sequence[bool], values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the values where the mask is True, and the others."""
    return chosen(mask, values), chosen([not where for where in mask], values)


def chosen(mask: Sequence[bool], values: Sequence[Any]) -> list[Any]:
    """Return the values where the mask is True."""
    return [value for value, where in zip(values, mask, strict=True) if where]


def merged(mask: Sequence[bool], these: Sequence[Any], others: Sequence[Any]) -> list:
    """Undo `parted`."""
    where_true, where_false = iter(these), iter(others)
    return [next(where_true if where else where_false) for where in mask]


def cut(values: Sequence[Any], sizes: Sequence[int | None]) -> list[list[Any]]:
    """Return groups of values of these sizes; None takes what is left."""
    rest, groups = list(values), []
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[len(groups[-1]) :]
    return groups


def _like(tensor: Any) -> jax.ShapeDtypeStruct:
    weak = getattr(tensor, "weak_type", False)
    return jax.ShapeDtypeStruct(tensor.shape, tensor.dtype, weak_type=weak)


def _is_literal(atom: Any) -> bool:
    return hasattr(atom, "val")


def _variables(atoms: Iterable[Any]) -> list[Any]:
    return [None if _is_literal(atom) else atom for atom in atoms]


def _needed(jaxpr: Any) -> list[Any]:
    """Return the equations that the results depend on."""
    wanted, found = {id(end) for end in jaxpr.outvars}, []
    for equation in reversed(jaxpr.eqns):
        if any(id(made) in wanted for made in equation.outvars):
            wanted.update(map(id, equation.invars))
            found.append(equation)
    return found[::-1]


def _inlined(closed: Any) -> Any:
    """Return a jaxpr without calls of jitted functions."""
    jaxpr = closed.jaxpr
    starts = [*jaxpr.constvars, *jaxpr.invars]

    def run(*arguments):
        given = [*closed.consts, *arguments]
        return _evaluate(_needed(jaxpr), starts, jaxpr.outvars, given)

    return jax.make_jaxpr(run)(*(_like(start.aval) for start in jaxpr.invars))


def _evaluate(equations, starts, ends, arguments) -> list[Tensor]:
    """Run equations, with those of jitted functions among them one by one."""
    values = dict(zip(starts, arguments, strict=True))
    results: Sequence[Tensor]
    for equation in equations:
        given = [value_of(v, values) for v in equation.invars]
        if equation.primitive.name in _CALLS:
            closed = equation.params["jaxpr"]
            inner, everything = closed.jaxpr, [*closed.consts, *given]
            own = [*inner.constvars, *inner.invars]
            results = _evaluate(inner.eqns, own, inner.outvars, everything)
        else:
            results = _results(equation, given)
        values.update(zip(equation.outvars, results, strict=True))
    return [value_of(end, values) for end in ends]


def _results_for_all_steps(equation, given, changing, time) -> Sequence[Tensor]:
    """Run an operation for all steps at once, whose rows make one batch of a product.

    `jax.vmap` alone would do, but then XLA copies what the gradient multiplies.
    """
    if _is_product_of_rows(equation, changing):
        lhs, rhs = given
        rows = lhs.reshape(time * lhs.shape[1], *lhs.shape[2:])
        (made,) = _results(equation, [rows, rhs])
        return [made.reshape(time, lhs.shape[1], *made.shape[1:])]
    run = jax.vmap(
        lambda *each: _results(equation, each),
        in_axes=[0 if where else None for where in changing],
        axis_size=time,
    )
    return run(*given)


def _is_product_of_rows(equation: Any, changing: Sequence[bool]) -> bool:
    """Return whether it multiplies each row of what changes by what does not."""
    if equation.primitive.name != "dot_general" or list(changing) != [True, False]:
        return False
    (contracted, _), (batched, _) = equation.params["dimension_numbers"]
    sharded = equation.params.get("out_sharding") is not None
    return not (sharded or batched or 0 in contracted)


def _results(equation: Any, given: Sequence[Tensor]) -> Sequence[Tensor]:
    primitive = equation.primitive
    params = primitive.get_bind_params(equation.params)
    functions, params = params if isinstance(params, tuple) else ((), params)
    with equation.ctx.manager:
        results = primitive.bind(*functions, *given, **params)
    return results if primitive.multiple_results else [results]


_CALLS = {"jit", "pjit"}
"""Calls of jitted functions, which are written out."""
_KNOWN = {
    *("abs", "acos", "acosh", "add", "add_any", "and", "argmax", "argmin", "asin"),
    *("asinh", "atan", "atan2", "atanh", "broadcast_in_dim", "cbrt", "ceil", "clamp"),
    *("concatenate", "conj", "conv_general_dilated", "convert_element_type", "copy"),
    *("copy_p", "cos", "cosh", "cumlogsumexp", "cummax", "cummin", "cumprod"),
    *("cumsum", "digamma", "div", "dot_general", "dynamic_slice", "eq", "erf"),
    *("dynamic_update_slice", "erf_inv", "erfc", "exp", "exp2", "expand_dims", "expm1"),
    *("floor", "gather", "ge", "gt", "imag", "integer_pow", "iota", "is_finite"),
    *("le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne"),
    *("neg", "nextafter", "not", "or", "pad", "pow", "real", "reduce_and"),
    *("reduce_max", "reduce_min", "reduce_or", "reduce_precision", "reduce_prod"),
    *("reduce_sum", "reduce_window_max", "reduce_window_min", "reduce_window_sum"),
    *("rem", "reshape", "rev", "round", "rsqrt", "scatter", "scatter-add"),
    *("scatter_add", "select_and_gather_add", "select_n", "shift_left", "sign"),
    *("shift_right_arithmetic", "shift_right_logical", "sin", "sinh", "slice", "sort"),
    *("split", "sqrt", "square", "squeeze", "stop_gradient", "sub", "tan", "tanh"),
    *("tile", "top_k", "transpose", "xor"),
}
"""Operations with a derivative, if they need one, that `jax.vmap` can map."""


def _check_operations(jaxpr: Any) -> None:
    """Raise `CannotPartition` unless every operation is known."""
    if jaxpr.effects:
        raise CannotPartition("its step has side effects")
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in _CALLS:
            _check_operations(equation.params["jaxpr"].jaxpr)
        elif name == "custom_jvp_call":
            _check_operations(equation.params["call_jaxpr"].jaxpr)
        elif name not in _KNOWN:
            raise CannotPartition(
                f"its step holds an operation that is not known to "
                f"run for all steps at once ({name})"
            )
