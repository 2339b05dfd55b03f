"""Work on ONNX models: names, and loops where a function was cut."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from custom_lstm.exporting.computation import Computation
from custom_lstm.exporting.cuts import Cut, Steps

_DOMAINS = ("", "ai.onnx")


def finished(
    model: Any, computation: Computation, cuts: Sequence[Cut | None] = ()
) -> Any:
    """Return an ONNX model with the names of a computation, and no cuts.

    Args:
        model: an `onnx.ModelProto` of the computation, its inputs and outputs in order.
        computation: what was exported.
        cuts: where it was cut; None stands for an operator that is not used.

    Raises:
        ValueError: if the model has operators that ONNX does not define.
    """
    import onnx

    check_operators(model)
    used = [cut for cut in cuts if cut is not None]
    graph = model.graph
    _add_functions(model, [cut.body for cut in used if cut.body is not None])
    given = [value.name for value in graph.input]
    made = [value.name for value in graph.output]
    ports, outputs = computation.inputs, computation.outputs
    if (len(given), len(made)) != (
        len(ports) + sum(len(cut.ports) for cut in used),
        len(outputs) + sum(map(_count_given, used)),
    ):
        raise ValueError(
            f"export: the ONNX model has the inputs {given} and the outputs {made}, "
            f"not {[port.name for port in ports]} and {outputs}: what does not "
            "matter to the result was left out."
        )
    nodes = [
        *_between(onnx, used, made[len(outputs) :], given[len(ports) :], graph),
        *graph.node,
    ]
    _name(onnx, graph, nodes, computation, given, made)
    del graph.node[:]
    graph.node.extend(_sorted(nodes, graph))
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    return model


def check_step(body: Any, steps: Steps) -> None:
    """Raise a ValueError if a step in ONNX cannot be the body of a `Scan`."""
    check_operators(body)
    given, made = steps.ports(None), steps.made(None, None)
    if (len(body.graph.input), len(body.graph.output)) != (len(given), len(made)):
        raise ValueError("export: something that the step is given does not matter")


def check_operators(model: Any) -> None:
    """Raise a ValueError if an ONNX model has operators that ONNX does not define."""
    import onnx

    own = {(function.domain, function.name) for function in model.functions}
    versions = {one.domain: one.version for one in model.opset_import}
    unknown = set()
    for node in _all_nodes(model.graph.node):
        known = node.domain in _DOMAINS and onnx.defs.has(
            node.op_type, versions.get("", versions.get("ai.onnx", 1)), ""
        )
        if not known and (node.domain, node.op_type) not in own:
            unknown.add(node.op_type)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"export: ONNX cannot hold the model: it has no {names}")


def _all_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _all_nodes(attribute.g.node)


def _count_given(cut: Cut) -> int:
    """Return how many tensors a loop is given."""
    if isinstance(cut.loop, Steps):
        steps, of = cut.loop, cut.loop.counts
        held = of["outputs"] if steps.holds else 0
        return of["states"] + held + of["constants"] + of["inputs"] + steps.masked
    return 1 + len(cut.loop.states)


def _between(onnx, cuts, made, given, graph) -> Iterator[Any]:
    """Yield the operators between what the cut function returns and takes."""
    made, given = iter(made), iter(given)
    for number, cut in enumerate(cuts):
        inputs = [next(made) for _ in range(_count_given(cut))]
        outputs = [next(given) for _ in cut.ports]
        prefix = f"recurrent_{number}"
        if isinstance(cut.loop, Steps):
            yield _scan(onnx, prefix, cut, inputs, outputs)
        else:
            yield from _operator(onnx, prefix, cut.loop, inputs, outputs, graph)


def _operator(onnx, prefix, one, inputs, outputs, graph) -> Iterator[Any]:
    """Yield the nodes of one operator, which has the time first."""
    helper = onnx.helper
    x, *states = inputs
    axis, arrays = f"{prefix}_axes", {}
    for name, array in {**one.weights}.items():
        arrays[name] = f"{prefix}_{name}"
        graph.initializer.append(onnx.numpy_helper.from_array(array, arrays[name]))
    for value in (0,) if one.only_last else (0, 1):
        name = f"{axis}_{value}"
        graph.initializer.append(
            helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value])
        )
    yield helper.make_node("Transpose", [x], [f"{prefix}_x"], perm=[1, 0, 2])
    begun = []
    for name, state in zip(one.states, states, strict=True):
        begun.append(f"{prefix}_initial_{name}")
        yield helper.make_node("Unsqueeze", [state, f"{axis}_0"], [begun[-1]])
    sequence, *ends = outputs if not one.only_last else ["", *outputs]
    given = [f"{prefix}_x", arrays["W"], arrays["R"], arrays.get("B", ""), "", *begun]
    if "P" in arrays:
        given.append(arrays["P"])
    last = [f"{prefix}_last_{name}" for name in one.states]
    y = f"{prefix}_y" if sequence else ""
    yield helper.make_node(one.kind, given, [y, *last], name=prefix, **one.attributes)
    if sequence:
        yield helper.make_node("Squeeze", [y, f"{axis}_1"], [f"{y}s"])
        yield helper.make_node("Transpose", [f"{y}s"], [sequence], perm=[1, 0, 2])
    for end, name in zip(ends, last, strict=True):
        yield helper.make_node("Squeeze", [name, f"{axis}_0"], [end])


def _scan(onnx, prefix, cut, inputs, outputs) -> Any:
    """Return a `Scan` of which the body is one step.

    Of its states, the first are those of the layer; the outputs that are carried from
    step to step follow, and the constants, which stay as they are.
    """
    helper, steps, of = onnx.helper, cut.loop, cut.loop.counts
    body = _prefixed(onnx, cut.body.graph, prefix)
    given, new = list(body.input), list(body.output)
    states, made = of["states"], new[of["states"] :]
    before = given[states : states + len(made)] if steps.repeats else []
    rest = given[states + len(before) :]
    constants, scanned = rest[: of["constants"]], rest[of["constants"] :]
    if steps.holds and not before:
        before = [_value(onnx, f"{one.name}_before", one) for one in made]
    results = [*new[:states], *(made if steps.holds else ()), *constants]
    carried = len(results)
    results += () if steps.only_last else made
    named = [_value(onnx, f"{prefix}_result_{k}", one) for k, one in enumerate(results)]
    for one, value in zip(results, named, strict=True):
        body.node.append(helper.make_node("Identity", [one.name], [value.name]))
    del body.input[:], body.output[:]
    body.input.extend([*given[:states], *before, *constants, *scanned])
    body.output.extend(named)
    last = [f"{prefix}_last_{k}" for k in range(carried)]
    ends = states + (len(made) if steps.only_last else 0)
    last[:ends] = outputs[:ends]
    axes = {"scan_input_axes": [1] * len(scanned)}
    if not steps.only_last:
        axes["scan_output_axes"] = [1] * len(made)
    count, names = len(scanned), [*last, *outputs[ends:]]
    return helper.make_node(
        "Scan", inputs, names, prefix, body=body, num_scan_inputs=count, **axes
    )


def _value(onnx, name: str, like: Any) -> Any:
    value = onnx.ValueInfoProto()
    value.CopyFrom(like)
    value.name = name
    return value


def _prefixed(onnx, graph: Any, prefix: str) -> Any:
    """Return a copy of a graph in which no name is one of another graph."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    copy.name = prefix
    values = (*copy.input, *copy.output, *copy.initializer)
    names = _all_names(copy.node) | {value.name for value in values}
    _rename(copy.node, copy, {name: f"{prefix}_{name}" for name in names})
    for node in _all_nodes(copy.node):
        node.name = f"{prefix}_{node.name}"
    return copy


def _add_functions(model: Any, bodies: Iterable[Any]) -> None:
    """Add what the bodies of loops call, and the operators' versions that they need."""
    known = {(one.domain, one.name) for one in model.functions}
    domains = {one.domain for one in model.opset_import}
    for body in bodies:
        new = [one for one in body.functions if (one.domain, one.name) not in known]
        model.functions.extend(new)
        known |= {(one.domain, one.name) for one in new}
        more = [one for one in body.opset_import if one.domain not in domains]
        model.opset_import.extend(more)
        domains |= {one.domain for one in more}


def _name(onnx, graph, nodes, computation, given, made) -> None:
    """Give inputs and outputs the computation's names, by nodes that copy."""
    ports, outputs = computation.inputs, computation.outputs
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    inner = {name: f"inner_{name}" for name in _all_names(nodes)}
    taken = {port.name for port in ports} | set(outputs)
    renamed = {name: inner[name] for name in taken & set(inner)}
    _rename(nodes, graph, renamed)
    before = {new: old for old, new in renamed.items()}
    given = [renamed.get(name, name) for name in given]
    made = [renamed.get(name, name) for name in made]
    del graph.input[:]
    kept = list(graph.output)
    del graph.output[:]
    old = {value.name: value for value in kept}
    for port, name in zip(ports, given, strict=False):
        sizes = computation.named_sizes(port).shape
        element = types[before.get(name, name)]
        value = onnx.helper.make_tensor_value_info(port.name, element, sizes)
        graph.input.append(value)
        nodes.insert(0, onnx.helper.make_node("Identity", [port.name], [name]))
    for name, inside in zip(outputs, made, strict=False):
        value = old[before.get(inside, inside)]
        value.name = name
        graph.output.append(value)
        nodes.append(onnx.helper.make_node("Identity", [inside], [name]))


def _all_names(nodes: Iterable[Any]) -> set[str]:
    return {
        name for node in _all_nodes(nodes) for name in (*node.input, *node.output)
    } - {""}


def _rename(nodes: Iterable[Any], graph: Any, names: Mapping[str, str]) -> None:
    """Rename values in nodes, those of their subgraphs too, and initializers."""
    if not names:
        return
    for node in _all_nodes(nodes):
        for k, name in enumerate(node.input):
            node.input[k] = names.get(name, name)
        for k, name in enumerate(node.output):
            node.output[k] = names.get(name, name)
    inner = (a.g for node in _all_nodes(nodes) for a in node.attribute)
    for one in (graph, *inner):
        for value in (*one.input, *one.output, *one.value_info, *one.initializer):
            value.name = names.get(value.name, value.name)


def _sorted(nodes: Sequence[Any], graph: Any) -> list[Any]:
    """Return nodes so that each comes after those it needs."""
    known = {value.name for value in graph.input}
    known |= {tensor.name for tensor in graph.initializer}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    made = {name for node in nodes for name in node.output}
    left, order = list(nodes), []
    while left:
        later = []
        for node in left:
            if _needs(node) & made <= known:
                known.update(node.output)
                order.append(node)
            else:
                later.append(node)
        if len(later) == len(left):
            raise ValueError("export: the layers of the model depend on each other")
        left = later
    return order


def _needs(node: Any) -> set[str]:
    """Return what a node needs, its subgraphs from around it too."""
    needed = set(node.input) - {""}
    for attribute in node.attribute:
        graph = attribute.g
        own = {value.name for value in graph.input}
        own |= {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            own |= set(inner.output)
        for inner in graph.node:
            needed |= _needs(inner) - own
        needed |= {value.name for value in graph.output} - own
    return needed
