"""A cell's step as a graph, divided into what must run in a loop and what need not.

Let a step be (y_t, s_{t+1}) = f(x_t, s_t; k, W), with constants k (one row for each
sequence, the same at every step) and weights W, and let its rows not depend on each
other. Then of the operations of f and of its vector-Jacobian product only some have to
be run step by step:

    once        what depends on W and k alone
    before      what depends on x, not on s: all steps at once, as rows
    forward     what depends on s: in the loop over the steps
    factors     of the backward pass, what depends on no cotangent of a later step: rows
    backward    what leads from the cotangent of s_{t+1} to that of s_t: in the loop
    after       the cotangents of x, k and W, as rows: one product for all steps

The operations are a backend's own; here they are known by their inputs and outputs.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Value = Hashable
"""Names one tensor of the graph."""


class CannotPartition(Exception):
    """A step has side effects, or may mix rows; the message says what was found."""


@dataclass(frozen=True)
class Node:
    """One operation.

    Args:
        op: the backend's own operation.
        inputs, outputs: the values that it reads and makes.
        kept: those of `inputs` whose content is read; of the others only the shape.
        sized: whether the result depends on the number of rows.
    """

    op: Any
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    kept: tuple[Value, ...]
    sized: bool = False


@dataclass(frozen=True)
class Graph:
    """The graph of a step and of its vector-Jacobian product.

    Args:
        nodes: in an order in which they can be run.
        inputs, states, constants, weights: x_t, s_t, k and W.
        outputs, new_states: y_t and s_{t+1}.
        output_cotangents, state_cotangents: of y_t and s_{t+1}.
        d_inputs, d_states, d_constants, d_weights: the cotangents that come out; None
            where there is none.
    """

    nodes: Sequence[Node]
    inputs: Sequence[Value]
    states: Sequence[Value]
    constants: Sequence[Value]
    weights: Sequence[Value]
    outputs: Sequence[Value]
    new_states: Sequence[Value]
    output_cotangents: Sequence[Value]
    state_cotangents: Sequence[Value]
    d_inputs: Sequence[Value | None]
    d_states: Sequence[Value | None]
    d_constants: Sequence[Value | None]
    d_weights: Sequence[Value | None]


@dataclass(frozen=True)
class Plan:
    """A graph, divided; see the module.

    Operations that depend on k, or on the number of rows, and on nothing that changes
    with time, belong to every part that needs them: a loop runs them in its `setup`.

    Args:
        once, before, setup, forward, factors, setup_backward, backward, after: the
            operations of each part.
        read: what the loop forward reads at each step, of x and of what `before` made.
        saved: what of the states and of its results the backward pass needs.
        read_backward: what the loop backward reads at each step.
        written: what of its results `after` needs.
    """

    once: list[Node]
    before: list[Node]
    setup: list[Node]
    forward: list[Node]
    factors: list[Node]
    setup_backward: list[Node]
    backward: list[Node]
    after: list[Node]
    read: list[Value]
    saved: list[Value]
    read_backward: list[Value]
    written: list[Value]


def partition(graph: Graph) -> Plan:
    """Divide the graph of a step.

    Args:
        graph: of a step whose rows do not depend on each other.

    Returns:
        Its parts, each in an order in which it can be run.

    Example:
        >>> double = Node("2x", ("x",), ("p",), ("x",))
        >>> add = Node("p+s", ("p", "s"), ("h",), ("p", "s"))
        >>> plan = partition(
        ...     Graph([double, add], ["x"], ["s"], [], [], ["h"], ["h"], ["dy"],
        ...           ["ds"], [None], [None], [], [])
        ... )
        >>> [node.op for node in plan.before], [node.op for node in plan.forward]
        (['2x'], ['p+s'])
        >>> plan.read
        ['p']
    """
    on = _dependencies(graph)

    def changing(node: Node) -> frozenset[str]:
        return on(node) & {"x", "s", "dy", "ds"}

    step = _needed(graph, [*graph.outputs, *graph.new_states], set())
    forward = [node for node in step if "s" in on(node)]
    before = [node for node in step if changing(node) == {"x"}]
    back = _needed(graph, graph.d_states, set(_made(step)))
    backward = [node for node in back if "ds" in on(node)]
    factors = [node for node in back if changing(node) and "ds" not in on(node)]

    once = [node for node in _all_needed(graph) if not on(node)]
    constant = set(_made(once))
    of_rows = {*graph.inputs, *_made(before)}
    of_loop = {*graph.states, *_made(forward)}
    rows_later = of_rows | of_loop | {*graph.output_cotangents, *_made(factors)}
    of_backward = {*graph.state_cotangents, *_made(backward)}
    wanted = [*graph.d_inputs, *graph.d_constants, *graph.d_weights]
    known_later = constant | rows_later
    after = _needed(graph, wanted, known_later | of_backward)

    ends = {value for value in graph.d_states if value is not None}
    later = _kept([*factors, *backward, *after]) | ends | set(wanted)
    read_forward = _kept(forward) | {*graph.outputs, *graph.new_states}
    return Plan(
        once=once,
        before=_with_sized(graph, before, constant),
        setup=_needed(graph, read_forward, constant | of_rows | of_loop),
        forward=forward,
        factors=_with_sized(graph, factors, constant | of_rows | of_loop),
        setup_backward=_needed(graph, _kept(backward) - of_backward, known_later),
        backward=backward,
        after=after,
        read=_in_order(_kept(forward) | set(graph.new_states), of_rows, graph),
        saved=_in_order(later, of_loop, graph),
        read_backward=_in_order(_kept(backward) | ends, rows_later, graph),
        written=_in_order(_kept(after) | set(wanted), of_backward, graph),
    )


def _dependencies(graph: Graph) -> Callable[[Node], frozenset[str]]:
    """Return what a node depends on, of x, s, k, dy, ds and n, the number of rows."""
    found: dict[Value, frozenset[str]] = {}
    for name, values in (
        ("x", graph.inputs),
        ("s", graph.states),
        ("k", graph.constants),
        ("dy", graph.output_cotangents),
        ("ds", graph.state_cotangents),
    ):
        found.update(dict.fromkeys(values, frozenset((name,))))
    for node in graph.nodes:
        parts = [found.get(value, frozenset()) for value in node.kept]
        size = {"n"} if node.sized else set()
        found.update(dict.fromkeys(node.outputs, frozenset(size).union(*parts)))
    return lambda node: found[node.outputs[0]]


def _needed(graph: Graph, targets: Iterable[Any], known: set[Value]) -> list[Node]:
    """Return the nodes that make `targets` from the graph's inputs and `known`."""
    maker = {value: node for node in graph.nodes for value in node.outputs}
    todo, found = [target for target in targets if target is not None], set()
    while todo:
        value = todo.pop()
        if value in known or value not in maker or id(maker[value]) in found:
            continue
        found.add(id(maker[value]))
        todo.extend(maker[value].kept)
    return [node for node in graph.nodes if id(node) in found]


def _all_needed(graph: Graph) -> list[Node]:
    gradients = [*graph.d_states, *graph.d_inputs, *graph.d_constants]
    targets = [*graph.outputs, *graph.new_states, *gradients, *graph.d_weights]
    return _needed(graph, targets, set())


def _with_sized(graph: Graph, nodes: list[Node], known: set[Value]) -> list[Node]:
    """Return `nodes` and those that they need besides."""
    return _needed(graph, _made(nodes), known - set(_made(nodes)))


def _made(nodes: Iterable[Node]) -> Iterable[Value]:
    return (value for node in nodes for value in node.outputs)


def _kept(nodes: Iterable[Node]) -> set[Value]:
    return {value for node in nodes for value in node.kept}


def _in_order(wanted: set[Any], among: set[Value], graph: Graph) -> list[Value]:
    """Return the values that are in both sets, in the graph's order."""
    sources = [*graph.inputs, *graph.states]
    sources += [*graph.output_cotangents, *graph.state_cotangents]
    everything = [*sources, *_made(graph.nodes)]
    return [value for value in everything if value in wanted and value in among]
