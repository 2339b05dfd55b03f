"""A cell's step as a TensorFlow graph: traced, tried for rows, and run in parts."""

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from custom_lstm.kernels.partition import CannotPartition, Graph, Node, Plan, partition
from custom_lstm.typing import Tensor

Step = Callable[..., tuple[list[Tensor], list[Tensor]]]
"""`(inputs, states, constants, weights)`, all flat lists, to outputs and new states."""


class TracedStep:
    """The graph of a step and of its vector-Jacobian product, with its parts.

    Args:
        step: see `Step`.
        inputs, states, constants: examples; the first axis of each is left open.
        weights: what the step reads besides; none of them has a row a sequence.

    Raises:
        CannotPartition: the step has side effects, reads tensors from elsewhere, or
            holds an operation that is not known to treat rows apart.
    """

    def __init__(
        self,
        step: Step,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor],
        constants: Sequence[Tensor],
        weights: Sequence[Tensor],
    ):
        rows = [
            [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in group]
            for group in (inputs, states, constants)
        ]
        whole = [tf.TensorSpec(t.shape, t.dtype) for t in weights]

        @tf.function(autograph=False)
        def traced(inputs, states, constants, weights):
            outputs, new_states = step(inputs, states, constants, weights)
            own = [tf.identity(tensor) for tensor in (*outputs, *new_states)]
            return own[: len(outputs)], own[len(outputs) :]

        function = traced.get_concrete_function(*rows, whole)
        graph = function.graph
        sizes = [len(inputs), len(states), len(constants), len(weights)]
        if len(graph.inputs) != sum(sizes):
            raise CannotPartition("the step reads tensors from outside itself")
        groups = _cut(graph.inputs, sizes)
        self.outputs, self.new_states = graph.structured_outputs
        forward = graph.get_operations()
        _check_rows(forward, [tensor for group in groups[:3] for tensor in group])
        self._tensors = {tensor.ref(): tensor for tensor in graph.inputs}
        self.graph = self._with_gradients(graph, *groups)
        self.plan: Plan = partition(self.graph)
        self.has_gradients = [
            *(value is not None for value in self.graph.d_inputs),
            *(_real(tensor) for tensor in states),
            *(value is not None for value in self.graph.d_constants),
            *(value is not None for value in self.graph.d_weights),
        ]
        """For each input, state, constant and weight whether it has a cotangent."""

    def _with_gradients(self, graph, inputs, states, constants, weights) -> Graph:
        ends = [*self.outputs, *self.new_states]
        starts = [*inputs, *states, *constants, *weights]
        with graph.as_default():
            above = [tf.compat.v1.placeholder(t.dtype, t.shape) for t in ends]
            real = [(t, dt) for t, dt in zip(ends, above, strict=True) if _real(t)]
            made = tf.gradients(
                [tensor for tensor, _ in real],
                [tensor for tensor in starts if _real(tensor)],
                [cotangent for _, cotangent in real],
            )
            found = iter([_dense(gradient) for gradient in made])
        gradients = [next(found) if _real(tensor) else None for tensor in starts]
        given = {tensor.ref() for tensor in (*starts, *above)}
        nodes = [
            _node(op)
            for op in graph.get_operations()
            if op.outputs and op.outputs[0].ref() not in given
        ]
        for op in graph.get_operations():
            self._tensors.update((tensor.ref(), tensor) for tensor in op.outputs)
        sizes = [len(inputs), len(states), len(constants), len(weights)]
        d_inputs, d_states, d_constants, d_weights = _cut(gradients, sizes)

        def refs(tensors: Iterable[Any]) -> list[Any]:
            return [None if tensor is None else tensor.ref() for tensor in tensors]

        return Graph(
            nodes,
            *map(refs, (inputs, states, constants, weights)),
            *map(refs, (self.outputs, self.new_states)),
            *map(refs, _cut(above, [len(self.outputs), len(self.new_states)])),
            *map(refs, (d_inputs, d_states, d_constants, d_weights)),
        )

    def shape(self, value: Any) -> list[int | None]:
        """Return the static shape of a value; the number of rows is None."""
        return self._tensors[value].shape.as_list()

    def dtype(self, value: Any) -> tf.DType:
        """Return the dtype of a value."""
        return self._tensors[value].dtype


def _dense(gradient: Any) -> Any:
    """Return a gradient as one tensor, that of a table of which rows are read too."""
    return None if gradient is None else tf.convert_to_tensor(gradient)


def run_nodes(nodes: Iterable[Node], values: Any, rows: Any) -> None:
    """Run operations of a traced step.

    Args:
        nodes: in an order in which they can be run.
        values: tensors by value; the results are added. Those there already stay.
        rows: the number of rows in `values`.
    """
    for node in nodes:
        if all(value in values for value in node.outputs):
            continue
        results = _results(node.op, values, rows)
        for value, like, result in zip(
            node.outputs, node.op.outputs, results, strict=True
        ):
            if not result.shape.is_fully_defined() and like.shape.rank:
                result.set_shape([None, *like.shape[1:]])
            values[value] = result


def _results(op: Any, values: Any, rows: Any) -> Sequence[Tensor]:
    if op.type == "Const":
        return [tf.constant(tf.make_ndarray(op.get_attr("value")))]
    if op.type in ("Identity", "StopGradient"):
        return [values[op.inputs[0].ref()]]
    if op.type in ("Shape", "ShapeN"):
        return [_shape_of(tensor, rows, op.outputs[0].dtype) for tensor in op.inputs]
    if op.type == "BroadcastGradientArgs":
        return [tf.constant(axes, tf.int32) for axes in _summed_axes(op) or ()]
    if op.type == "Sum" and (axes := _axes_of_sum(op)) is not None:
        tensor = values[op.inputs[0].ref()]
        if not axes:
            return [tensor]
        return [tf.reduce_sum(tensor, axes, keepdims=op.get_attr("keep_dims"))]
    if op.type == "Reshape" and _keeps_shape(op):
        return [values[op.inputs[0].ref()]]
    if op.type == "Reshape" and op.outputs[0].shape.is_fully_defined():
        return [tf.reshape(values[op.inputs[0].ref()], op.outputs[0].shape)]
    return _replay(op, [values[tensor.ref()] for tensor in op.inputs])


def _shape_of(tensor: Tensor, rows: Any, dtype: tf.DType) -> Tensor:
    """Return the shape that a tensor of the graph has with so many rows."""
    shape = tensor.shape.as_list()
    if None in shape:
        shape[0] = rows if isinstance(rows, int) else tf.cast(rows, dtype)
    return tf.convert_to_tensor(shape, dtype)


def _node(op: Any) -> Node:
    """Describe an operation; what only shapes are read of does not count."""
    kept = [tensor.ref() for tensor in op.inputs]
    sized = False
    if op.type in ("Shape", "ShapeN"):
        sized = any(None in tensor.shape.as_list() for tensor in op.inputs)
        kept = []
    elif op.type == "BroadcastGradientArgs":
        if _summed_axes(op) is None:
            raise CannotPartition("its gradient sums over axes not known beforehand")
        kept = []
    elif (op.type == "Sum" and _axes_of_sum(op) is not None) or (
        op.type == "Reshape"
        and (_keeps_shape(op) or op.outputs[0].shape.is_fully_defined())
    ):
        kept = kept[:1]
    inputs = tuple(tensor.ref() for tensor in op.inputs)
    made = tuple(tensor.ref() for tensor in op.outputs)
    return Node(op, inputs, made, tuple(kept), sized)


def _summed_axes(op: Any) -> tuple[list[int], list[int]] | None:
    """Return the axes over which a broadcast's gradients are summed, if known."""
    shapes = []
    for tensor in op.inputs:
        if tensor.op.type == "Shape":
            shapes.append(tensor.op.inputs[0].shape.as_list())
        elif (known := tf.get_static_value(tensor)) is not None:
            shapes.append(list(known))
        else:
            return None
    rank = max(map(len, shapes))
    left, right = ([1] * (rank - len(shape)) + shape for shape in shapes)
    if any(
        None in (a, b) and a != b and 1 not in (a, b)
        for a, b in zip(left, right, strict=True)
    ):
        return None
    absent = [rank - len(shape) for shape in shapes]
    return tuple(  # type: ignore[return-value]
        [
            axis
            for axis in range(rank)
            if (one[axis] == 1 and other[axis] != 1) or axis < absent[side]
        ]
        for side, (one, other) in enumerate(((left, right), (right, left)))
    )


def _axes_of_sum(op: Any) -> list[int] | None:
    axes = op.inputs[1]
    if axes.op.type == "BroadcastGradientArgs":
        found = _summed_axes(axes.op)
        return None if found is None else found[axes.value_index]
    known = tf.get_static_value(axes)
    return None if known is None else [int(axis) for axis in known.reshape(-1)]


def _keeps_shape(op: Any) -> bool:
    before, target = _shape_known(op.inputs[0]), op.outputs[0].shape
    if op.inputs[1].op.type == "Shape":
        target = op.inputs[1].op.inputs[0].shape
    known = before.rank is not None and target.rank is not None
    if not known or before.as_list() != target.as_list():
        return False
    return None not in before.as_list()[1:]


def _shape_known(tensor: Tensor) -> tf.TensorShape:
    """Return a static shape; of a sum over no axes that of what it sums."""
    if tensor.op.type == "Sum" and _axes_of_sum(tensor.op) == []:
        return _shape_known(tensor.op.inputs[0])
    return tensor.shape


@functools.cache
def _raw(kind: str) -> tuple[Callable[..., Any], list[str]]:
    function = getattr(tf.raw_ops, kind)
    return function, list(inspect.signature(function).parameters)


def _replay(op: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Run one operation on other tensors."""
    function, names = _raw(op.type)
    definition, given = op.op_def, list(inputs)
    attributes = {attribute.name for attribute in definition.attr}
    known = attributes | {argument.name for argument in definition.input_arg} | {"name"}
    renamed = iter([name for name in names if name not in known])
    arguments: dict[str, Any] = {}
    for argument in definition.input_arg:
        name = argument.name if argument.name in names else next(renamed)
        if argument.number_attr:
            count = op.get_attr(argument.number_attr)
        elif argument.type_list_attr:
            count = len(op.get_attr(argument.type_list_attr))
        else:
            arguments[name] = given.pop(0)
            continue
        arguments[name], given = given[:count], given[count:]
    of_inputs = {a.number_attr or a.type_list_attr for a in definition.input_arg}
    values = [a.name for a in definition.attr if "type" not in a.type]
    values = [name for name in values if name not in (*names, *of_inputs)]
    for name in names:
        if name not in arguments and name != "name":
            own = name if name in attributes else values.pop(0)
            arguments[name] = op.get_attr(own)
    result = function(**arguments)
    if isinstance(result, tf.Tensor):
        return [result]
    return [
        tensor
        for part in result
        for tensor in (part if isinstance(part, list | tuple) else [part])
    ]


def _real(tensor: Any) -> bool:
    return tensor.dtype.is_floating or tensor.dtype.is_complex


def _cut(values: Sequence[Any], sizes: Sequence[int]) -> list[list[Any]]:
    rest, groups = list(values), []
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    return groups


_EACH_NUMBER = {
    *("Abs", "Acos", "Acosh", "Add", "AddN", "AddV2", "Asin", "Asinh", "Atan", "Atan2"),
    *("Atanh", "Cast", "Ceil", "ClipByValue", "Cos", "Cosh", "Digamma", "Div"),
    *("DivNoNan", "Elu", "Equal", "Erf", "Erfc", "Exp", "Expm1", "Floor", "FloorDiv"),
    *("FloorMod", "Greater", "GreaterEqual", "Identity", "Inv", "IsFinite", "IsInf"),
    *("IsNan", "LeakyRelu", "Less", "LessEqual", "Lgamma", "Log", "Log1p"),
    *("LogicalAnd", "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Mod", "Mul"),
    *("MulNoNan", "Neg", "NotEqual", "OnesLike", "Pow", "RealDiv", "Reciprocal"),
    *("Relu", "Relu6", "Rint", "Round", "Rsqrt", "Select", "SelectV2", "Selu"),
    *("Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Square"),
    *("SquaredDifference", "StopGradient", "Sub", "Tan", "Tanh", "TruncateDiv"),
    *("Xdivy", "Xlogy", "ZerosLike"),
}
"""Operations on each number by itself, the last axes of their inputs aligned."""
_REDUCTIONS = {"Sum", "Mean", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm"}
_IMAGES = {
    *("Conv2D", "Conv3D", "DepthwiseConv2dNative", "BiasAdd", "MaxPool", "AvgPool"),
    *("MaxPool3D", "AvgPool3D", "ResizeBilinear", "ResizeNearestNeighbor"),
}
"""Operations on each row, the first input's, with weights."""
_SHAPES = {"Shape", "ShapeN", "Const", "Rank", "Size", "BroadcastArgs"}


def _check_rows(operations: Sequence[Any], starts: Iterable[Tensor]) -> None:
    """Raise `CannotPartition` unless every operation is known to treat rows apart."""
    rows = {tensor.ref() for tensor in starts}
    for op in operations:
        if op.type in ("Placeholder", "NoOp"):
            continue
        flows = [tensor for tensor in op.inputs if tensor.ref() in rows]
        if op.op_def.is_stateful and op.type != "Placeholder":
            raise CannotPartition(f"its step has side effects or draws ({op.type})")
        if op.type in _SHAPES or not flows:
            continue
        if not _treats_rows_apart(op, flows):
            raise CannotPartition(f"its step may mix the rows of a batch ({op.type})")
        rows.update(tensor.ref() for tensor in op.outputs)


def _treats_rows_apart(op: Any, flows: Sequence[Tensor]) -> bool:
    """Say whether row k of the results depends on row k of `flows` alone."""
    ranks = {tensor.shape.rank for tensor in (*flows, *op.outputs)}
    if None in ranks or 0 in ranks or any(t.shape[0] is not None for t in op.outputs):
        return False
    first = op.inputs[0]
    if op.type in _EACH_NUMBER:
        return len(ranks) == 1
    if op.type == "MatMul":
        return len(flows) == 1 and flows[0] is first and not op.get_attr("transpose_a")
    if op.type in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return len(ranks) == 1 and ranks > {2} or min(ranks) > 2
    if op.type == "Einsum":
        return _einsum_keeps_rows(op, flows)
    if op.type in _IMAGES:
        return len(flows) == 1 and flows[0] is first and max(ranks) > 1
    if op.type in ("Softmax", "LogSoftmax"):
        return min(ranks) > 1
    if op.type in _REDUCTIONS:
        return _axes_without_rows(op.inputs[1], first)
    return _moves_within_rows(op, flows)


def _moves_within_rows(op: Any, flows: Sequence[Tensor]) -> bool:
    first, last = op.inputs[0], op.inputs[-1]
    if op.type in ("Split",):
        return _axes_without_rows(first, op.inputs[1])
    if op.type in ("ConcatV2", "SplitV"):
        return _axes_without_rows(last, flows[0])
    if op.type in ("ExpandDims", "Cumsum", "Cumprod", "ReverseV2", "ArgMax", "ArgMin"):
        return _axes_without_rows(op.inputs[1], op.outputs[0])
    if op.type in ("Pack", "Unpack"):
        return op.get_attr("axis") % max(t.shape.rank for t in op.outputs) != 0
    if op.type == "Squeeze":
        axes = op.get_attr("squeeze_dims")
        return bool(axes) and all(axis % first.shape.rank for axis in axes)
    if op.type == "Transpose":
        order = tf.get_static_value(op.inputs[1])
        return order is not None and order[0] == 0
    if op.type == "Reshape":
        return _sizes(first) is not None and _sizes(first) == _sizes(op.outputs[0])
    if op.type == "StridedSlice":
        masks = [op.get_attr(f"{name}_mask") for name in ("begin", "end")]
        strides = tf.get_static_value(op.inputs[3])
        others = [op.get_attr(f"{n}_axis_mask") for n in ("shrink", "new")]
        begins_open = op.get_attr("ellipsis_mask") & 1 or (
            all(mask & 1 for mask in masks) and strides is not None and strides[0] == 1
        )
        return bool(begins_open) and not any(mask & 1 for mask in others)
    if op.type == "GatherV2":
        axis, batched = tf.get_static_value(last), op.get_attr("batch_dims")
        if all(tensor is not first for tensor in flows):
            return axis == 0 and batched == 0
        inner = axis is not None and axis % first.shape.rank != 0
        return inner and (len(flows) == 1 or batched > 0)
    if op.type in ("Tile", "Pad", "PadV2"):
        along = tf.get_static_value(op.inputs[1])
        neutral = 1 if op.type == "Tile" else 0
        return along is not None and bool((along[0] == neutral).all())
    return op.type == "BroadcastTo" and len(flows) == 1


def _axes_without_rows(axes: Tensor, tensor: Tensor) -> bool:
    known = tf.get_static_value(axes)
    if known is None:
        return False
    return all(int(axis) % tensor.shape.rank for axis in known.reshape(-1))


def _sizes(tensor: Tensor) -> int | None:
    """Return how many numbers a row has, if the first axis is that of rows."""
    rows, *rest = tensor.shape.as_list()
    return None if rows is not None or None in rest else math.prod(rest)


def _einsum_keeps_rows(op: Any, flows: Sequence[Tensor]) -> bool:
    equation = op.get_attr("equation")
    equation = equation.decode() if isinstance(equation, bytes) else equation
    left, right = equation.split("->")
    row = right[:1]
    return row.isalpha() and all(
        labels.startswith(row) if any(t is f for f in flows) else row not in labels
        for labels, t in zip(left.split(","), op.inputs, strict=True)
    )
