"""Any cell over whole sequences on PyTorch: a loop in Python."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from custom_lstm.typing import Tensor


def why_not_partitioned() -> str | None:
    """Return why no step can be partitioned now, or None."""
    return "the backend is PyTorch"


def plain(
    step: Callable[..., tuple[list[Tensor], list[Tensor]]],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    unroll: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over sequences, differentiated by PyTorch.

    Args:
        step: `(inputs, states, constants, weights)` to outputs and new states, flat.
        inputs: `(batch, time, ...)` each.
        states: before the first step.
        constants: what every step is given.
        weights: the same, without an axis for the batch.
        unroll: of no effect: the steps are always written out, but where their number
            is not known, in what `torch.export` traces.

    Returns:
        Outputs, `(batch, time, ...)` each, and the last states.
    """
    if isinstance(inputs[0].shape[1], torch.SymInt):
        return _scanned(step, inputs, states, constants, weights)
    made, states = [], list(states)
    for each in zip(*(tensor.unbind(1) for tensor in inputs), strict=True):
        outputs, states = step(list(each), states, constants, weights)
        made.append(outputs)
    return [torch.stack(column, 1) for column in zip(*made, strict=True)], states


def _scanned(step, inputs, states, constants, weights):
    """Run as many steps as there will be, by one operation of the graph.

    The step is traced before: what PyTorch puts into that operation may read and set
    nothing of Python's. Both operations are PyTorch's own, without a public name yet.
    """
    from torch._higher_order_ops.scan import scan

    by_step = [tensor.movedim(1, 0) for tensor in inputs]
    fixed, count = [x.clone() for x in (*constants, *weights)], len(constants)
    ends: list[int] = []

    def flat(*tensors):
        given = iter(tensors)
        each, now, others = (
            [next(given) for _ in group] for group in (inputs, states, fixed)
        )
        outputs, new = step(each, now, others[:count], others[count:])
        ends[:] = [len(outputs)]
        new = [a.to(b.dtype) for a, b in zip(new, states, strict=True)]
        return [tensor.clone() for tensor in (*outputs, *new)]

    traced, constant = _traced(flat, [*(x[:, 0] for x in inputs), *states, *fixed])
    fixed += [tensor.clone() for tensor in constant]

    def body(states, each):
        made = traced(*each, *states, *fixed)
        return made[ends[0] :], made[: ends[0]]

    last, made = scan(body, [state.clone() for state in states], by_step)
    return [tensor.movedim(0, 1) for tensor in made], list(last)


def _traced(function, tensors):
    """Return a function as a graph, and the constants that follow its arguments."""
    from torch._subclasses.fake_tensor import unset_fake_temporarily
    from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx

    sizes = [[_size(n) for n in tensor.shape] for tensor in tensors]
    with disable_proxy_modes_tracing(), unset_fake_temporarily(), torch.no_grad():
        example = [
            torch.zeros(size, dtype=tensor.dtype)
            for size, tensor in zip(sizes, tensors, strict=True)
        ]
        graph = make_fx(function)(*example)
    places = [node for node in graph.graph.nodes if node.op == "placeholder"]
    held = [node for node in graph.graph.nodes if node.op == "get_attr"]
    constant = [getattr(graph, node.target) for node in held]
    with graph.graph.inserting_after(places[-1]):
        for node in reversed(held):
            node.replace_all_uses_with(graph.graph.placeholder(node.name))
            graph.graph.erase_node(node)
    graph.recompile()
    return graph, constant


def _size(size: Any) -> int:
    """Return a size, of one that is not known that of the example."""
    return size if isinstance(size, int) else size.node.hint
