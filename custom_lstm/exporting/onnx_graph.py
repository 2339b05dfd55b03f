"""Work on ONNX models: names, and recurrent operators where a function was cut."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from custom_lstm.exporting.computation import Computation, Cut

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
    given = [value.name for value in graph.input]
    made = [value.name for value in graph.output]
    ports, outputs = computation.inputs, computation.outputs
    cut_ports = [name for cut in used for name in _cut_names(cut)]
    if (len(given), len(made)) != (
        len(ports) + sum(len(cut.ports) for cut in used),
        len(outputs) + len(cut_ports),
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


def _cut_names(cut: Cut) -> list[str]:
    """Return what an operator is given: the sequence and the first states."""
    return ["x", *cut.operator.states]


def _between(onnx, cuts, made, given, graph) -> Iterator[Any]:
    """Yield the operators between what the cut function returns and takes."""
    made, given = iter(made), iter(given)
    for number, cut in enumerate(cuts):
        inputs = [next(made) for _ in _cut_names(cut)]
        outputs = [next(given) for _ in cut.ports]
        prefix = f"recurrent_{number}"
        yield from _operator(onnx, prefix, cut, inputs, outputs, graph)


def _operator(onnx, prefix, cut, inputs, outputs, graph) -> Iterator[Any]:
    """Yield the nodes of one operator, which has the time first."""
    helper, one = onnx.helper, cut.operator
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
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    inner = (a.g for node in _all_nodes(nodes) for a in node.attribute)
    for one in (graph, *inner):
        for value in (*one.input, *one.output, *one.value_info):
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
