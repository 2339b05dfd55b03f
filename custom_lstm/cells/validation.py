"""Reading and checking what cells and layers are given: sizes, tensors, arguments.

Every check says what was wrong, what was expected and what was received, before any
tensor operation does it in worse words.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import keras
import numpy as np

from custom_lstm.typing import BatchSize, Config, Nest, Shape, Tensor


class StateShape(tuple[int | None, ...]):
    """The shape of one state, or output, that is not a vector: without the batch axis.

    In `state_size` and `output_size` it stands where an integer stands for a vector.
    There a plain tuple means several states; TensorFlow's `tf.TensorShape` means the
    same as this class, which needs no TensorFlow.

    Args:
        axes: the lengths of the axes; None where one is not known.

    Example:
        >>> StateShape([28, 28, 8])
        StateShape(28, 28, 8)
    """

    def __new__(cls, axes: Iterable[int | None]) -> Self:
        """Make it as a tuple is made."""
        return super().__new__(cls, axes)

    def as_list(self) -> list[int | None]:
        """Return the lengths as a list, as `tf.TensorShape` does."""
        return list(self)

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"{type(self).__name__}({', '.join(map(str, self))})"


Sizes = int | StateShape | list[Any] | tuple[Any, ...] | dict[str, Any]
"""An integer or a shape, or a nest of them: one per state."""


def state_size_of(sizes: Any) -> Sizes:
    """Read `state_size` the way people write it, with or without TensorFlow.

    Args:
        sizes: a positive integer, the width of a vector; a `StateShape` or
            `tf.TensorShape`; or a nest of them: lists, tuples, named tuples, dicts.

    Returns:
        The same with plain integers, `StateShape`s, and lists in place of tuples.

    Raises:
        ValueError: if something in `sizes` is none of these.

    Example:
        >>> state_size_of((4, {"memory": StateShape([8, 2]), "read": 2}))
        [4, {'memory': StateShape(8, 2), 'read': 2}]
    """
    if hasattr(sizes, "as_list"):  # tf.TensorShape, without importing tensorflow
        axes = list(sizes.as_list())
        own = isinstance(sizes, StateShape)
        known = axes if own else [axis for axis in axes if axis is not None]
        if len(known) == 1 and known[0] is not None:
            return known[0]
        if all(axis is None or axis > 0 for axis in axes):
            return StateShape(axes)
    elif isinstance(sizes, dict) and sizes:
        return {name: state_size_of(size) for name, size in sizes.items()}
    elif isinstance(sizes, list | tuple) and sizes:
        inner: list[Any] = [state_size_of(size) for size in sizes]
        return type(sizes)(*inner) if hasattr(sizes, "_fields") else inner
    elif hasattr(sizes, "__index__") and not isinstance(sizes, bool) and sizes > 0:
        return int(sizes)
    raise ValueError(
        "`state_size` must be a positive integer, or a `custom_lstm.StateShape` for a "
        "state that is not a vector, or a list, tuple or dict of these, one per "
        f"state. Received: state_size={sizes!r}"
    )


def output_size_of(size: Any) -> Sizes:
    """Read `output_size` as `state_size_of` does; one in a list is that one."""
    try:
        sizes: Any = state_size_of(size)
    except ValueError as error:
        raise ValueError(str(error).replace("state_size", "output_size")) from error
    alone = isinstance(sizes, list) and len(sizes) == 1
    return sizes[0] if alone else sizes


def size_of_output(cell: Any) -> Any:
    """Return what a cell says of its output's size: unless it does, of its state 0's.

    Example:
        >>> size_of_output(keras.layers.LSTMCell(3))
        3
    """
    size = getattr(cell, "output_size", None)
    return keras.tree.flatten(cell.state_size)[0] if size is None else size


def state_shape(size: int | StateShape, batch: BatchSize | None) -> tuple[Any, ...]:
    """Return the shape of a state, or output, of a size, with its batch axis.

    Example:
        >>> state_shape(4, 2), state_shape(StateShape([5, 6]), None)
        ((2, 4), (None, 5, 6))
    """
    return (batch, *size) if isinstance(size, StateShape) else (batch, size)


def listed(sizes: Any) -> Any:
    """Return a nest of sizes or states as it is, and one alone in a list.

    Example:
        >>> listed(4), listed({"h": 4})
        ([4], {'h': 4})
    """
    return sizes if keras.tree.is_nested(sizes) else [sizes]


def standardized_property(own: property, reader: Callable[[Any], Any]) -> property:
    """Return the property `own`, its values read by `reader`."""
    getter = own.fget
    assert getter is not None
    return property(lambda self: reader(getter(self)), own.fset, own.fdel, own.__doc__)


def built_once(build: Callable[..., None]) -> Callable[..., None]:
    """Let a cell's `build` do nothing when it is built.

    Wrappers of TensorFlow 2.10 build the cell in them; Keras 3 has then built it
    already, when it is loaded.

    Args:
        build: a cell's own.
    """

    @functools.wraps(build)
    def build_once(self: Any, *args: Any, **kwargs: Any) -> None:
        if not getattr(self, "built", False):
            build(self, *args, **kwargs)

    return build_once


def with_checked_config(method: Callable[..., Config]) -> Callable[..., Config]:
    """Raise where `get_config` lacks an argument without which nothing can be loaded.

    Args:
        method: a cell's own `get_config`.
    """

    @functools.wraps(method)
    def get_config(self: Any) -> Config:
        config, cls = method(self), type(self)
        if cls.get_config is get_config and _reads_config_by_arguments(cls):
            parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
            missing = [
                p.name
                for p in parameters
                if p.default is p.empty
                and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
                and p.name not in config
            ]
            if missing:
                raise ValueError(
                    f"{cls.__name__}.get_config() must return every argument of the "
                    "constructor, or what is saved cannot be loaded. It lacks: "
                    f"{', '.join(missing)}"
                )
        return config

    return get_config


def _reads_config_by_arguments(cls: type) -> bool:
    own = cls.from_config.__func__  # type: ignore[attr-defined]
    return own is keras.layers.Layer.from_config.__func__


def names_of_states(cell: keras.layers.Layer) -> tuple[str, ...]:
    """Return the names of a cell's states: its `state_names`, or "h" if it has one.

    States in a dict or named tuple go by their names there.

    Raises:
        ValueError: if there are more or fewer names than states.

    Example:
        >>> names_of_states(keras.layers.GRUCell(2))
        ('h',)
        >>> names_of_states(keras.layers.LSTMCell(2))
        ('state_0', 'state_1')
    """
    sizes = cell.state_size
    count = len(keras.tree.flatten(sizes))
    default = ("h",) if count == 1 else tuple(f"state_{k}" for k in range(count))
    own = sorted(sizes) if isinstance(sizes, dict) else getattr(sizes, "_fields", ())
    if len(own) == count:
        default = tuple(map(str, own))
    names = getattr(cell, "state_names", None) or default
    if len(names) != count:
        raise ValueError(
            f"{type(cell).__name__} has {count} states, as `state_size` says. Received "
            f"{len(names)} names for them: state_names={tuple(names)}"
        )
    return tuple(names)


def fits(shape: Shape, expected: Shape) -> bool:
    """Return whether two shapes agree, where both are known before run time."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )


def same_shapes(tensors: Nest, others: Nest) -> bool:
    """Return whether tensors in two nests agree, one by one, but for the first axis."""
    pairs = [keras.tree.flatten(nest) for nest in (tensors, others)]
    shapes = [[tuple(getattr(x, "shape", ()))[1:] for x in flat] for flat in pairs]
    return len(shapes[0]) == len(shapes[1]) and all(map(fits, *shapes))


def shapes_text(tensors: Sequence[Tensor]) -> str:
    """Return the shapes of `tensors`, in words, for an error message."""
    shapes = [str(tuple(getattr(tensor, "shape", ()))) for tensor in tensors]
    return ", ".join(shapes) or "none"


def check_tensor(
    owner: str, what: str, tensor: Tensor, kind: str = "real numbers"
) -> None:
    """Raise unless `tensor` holds real numbers; `kind` is what the error calls them."""
    dtype = getattr(tensor, "dtype", None)
    name = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    if not name.startswith(("float", "bfloat", "int", "uint", "bool")):
        raise ValueError(
            f"{owner}: {what} must be a tensor of {kind}. Received: "
            f"{type(tensor).__name__} of dtype {name} and shape {shapes_text([tensor])}"
        )


def check_sequences(owner: str, shapes: Nest, mask: Nest = None) -> None:
    """Raise a ValueError unless inputs are `(batch, time, …)`, masks `(batch, time)`.

    Args:
        owner: who was called, for the error.
        shapes: a shape, or a nest of them.
        mask: None, a tensor, or a nest of them.
    """
    every = [tuple(shape) for shape in _shapes_in(shapes)]
    first = every[0] if every else ()
    for shape in every:
        if len(shape) < 3 or shape[1] == 0:
            raise ValueError(
                f"{owner}: inputs must have the axes (batch, time, features), and "
                f"at least one step. Received shape: {shape}"
            )
        if not fits(shape[:2], first[:2]):
            raise ValueError(
                f"{owner}: all inputs must have the same first axes (batch, time). "
                f"Received shapes: {', '.join(map(str, every))}"
            )
    for tensor in keras.tree.flatten(mask):
        if tensor is None:
            continue
        check_tensor(owner, "`mask`", tensor, "booleans")
        expected = (*first[:2], 1) if len(tensor.shape) == 3 else first[:2]
        if not fits(tensor.shape, expected):
            raise ValueError(
                f"{owner}: `mask` must have the axes (batch, time) of the inputs, "
                f"{first}. Received shape: {tuple(tensor.shape)}"
            )


def _shapes_in(shapes: Nest) -> list[Shape]:
    found: list[Shape] = []
    keras.tree.map_shape_structure(found.append, shapes)
    return found


def check_states(
    owner: str, what: str, states: Nest, sizes: Sizes, batch: int | None
) -> None:
    """Raise a ValueError unless `states` are real numbers as `state_size` promises.

    Args:
        owner: who was called, for the error.
        what: which states these are, for the error.
        states: the states, alone or in a nest.
        sizes: what `state_size` says.
        batch: number of sequences, or None if it is not known before run time.
    """
    flat_sizes = keras.tree.flatten(sizes)
    tensors = keras.tree.flatten(states)
    expected = [state_shape(size, batch) for size in flat_sizes]
    strange = _keys(states) != _keys(sizes)
    if len(tensors) == len(flat_sizes) and not strange:
        pairs = zip(tensors, expected, strict=True)
        if all(fits(getattr(tensor, "shape", ()), shape) for tensor, shape in pairs):
            for tensor in tensors:
                check_tensor(owner, what, tensor)
            return
    shapes = (("batch" if b is None else b, *rest) for b, *rest in expected)
    promised = ", ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
    keys, found = _keys(sizes), _keys(states)
    raise ValueError(
        f"{owner}: {what} must be {len(flat_sizes)} tensor(s) of shape {promised}, as "
        f"`state_size`={sizes} says, "
        f"{f'in a dict of {list(keys)}' if keys else 'alone or in a list'}. "
        f"Received {len(tensors)}{f' in a dict of {list(found)}' if found else ''}: "
        f"{shapes_text(tensors)}{_shape_hint(tensors, sizes)}"
    )


def _keys(nest: Nest) -> tuple[str, ...]:
    return tuple(sorted(nest)) if isinstance(nest, dict) else ()


def _shape_hint(tensors: Sequence[Tensor], sizes: Sizes) -> str:
    """Return what to write if sizes of several states are the axes of one."""
    shape = tuple(getattr(tensors[0], "shape", ())) if len(tensors) == 1 else ()
    axes = keras.tree.flatten(sizes)
    if len(axes) > 1 and shape[1:] == tuple(axes):
        text = ", ".join(map(str, axes))
        return f". One state of that shape is `state_size=StateShape([{text}])`"
    return ""


def check_step(cell: Any, result: Any, batch: int | None) -> None:
    """Raise a ValueError unless a step returned a pair, the output with a batch axis.

    How wide the output is shows itself; whether `output_size` says so, `check_cell`
    tells.

    Args:
        cell: whose step it was.
        result: what it returned.
        batch: number of sequences, or None if it is not known before run time.
    """
    owner = type(cell).__name__
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ValueError(
            f"{owner} must return a pair (output, new_states) from each step. "
            f"Received: {shapes_text(keras.tree.flatten(result))}"
        )
    for tensor in keras.tree.flatten(result[0]):
        shape = tuple(getattr(tensor, "shape", ()))
        if len(shape) < 1 or not fits(shape[:1], (batch,)):
            raise ValueError(
                f"{owner}: the output must have shape "
                f"({'batch' if batch is None else batch}, ...). Received: {shape}"
            )


def check_new_states(cell: Any, result: Any, before: Nest) -> None:
    """Raise a ValueError unless a step returned `(output, states like before)`.

    Args:
        cell: whose step it was.
        result: what it returned.
        before: the states that it was given.
    """
    owner = type(cell).__name__
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ValueError(
            f"{owner} must return a pair (output, new_states) from each step. "
            f"Received: {shapes_text(keras.tree.flatten(result))}"
        )
    old, new = keras.tree.flatten(before), keras.tree.flatten(result[1])
    pairs = zip(old, new, strict=False)
    if len(old) != len(new) or not all(
        fits(tuple(b.shape), getattr(a, "shape", ())) for b, a in pairs
    ):
        raise ValueError(
            f"{owner}: the new states must have the shapes of the states before, "
            f"{shapes_text(old)}. Received: {shapes_text(new)}"
        )


def own_arguments(scope: dict[str, Any]) -> Config:
    """Return the named arguments of the `__init__` whose `locals()` these are.

    Args:
        scope: `locals()`, taken before other variables are set.

    Returns:
        All but `self` and the rest that goes to the base class as `kwargs`.

    Example:
        >>> class Point:
        ...     def __init__(self, x, y=0, **kwargs):
        ...         self.config = own_arguments(locals())
        >>> Point(1, color="red").config
        {'x': 1, 'y': 0}
    """
    return {
        name: value
        for name, value in scope.items()
        if name not in ("self", "kwargs", "__class__")
    }


_SERIALIZED: dict[str, Any] = {
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


def read_argument(owner: str, name: str, value: Any) -> Any:
    """Return what an argument means; the last word of its name says of which kind.

    "…_activation", "…_initializer", "…_regularizer" and "…_constraint" are read by
    Keras's `get`; "…units", "…dropout", "seed", "…epsilon", "…_bias", "…_after" and
    "implementation" are checked; any other argument is returned as it is.

    Raises:
        ValueError: if it is not of that kind.

    Example:
        >>> type(read_argument("LSTMCell", "bias_initializer", "zeros")).__name__
        'Zeros'
    """
    kind = name.rpartition("_")[2]
    if kind in _CHECKS:
        return _CHECKS[kind](owner, name, value)
    if kind not in _SERIALIZED:
        return value
    try:
        return _SERIALIZED[kind].get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{owner}: `{name}` must be something that `keras.{kind}s.get` takes, such "
            f"as a name or an object of that kind. Received: {name}={value!r}. Keras "
            f"says: {error}{_hint(value, str(error))}"
        ) from error


def _hint(config: Any, said: str) -> str:
    """Return what Keras says of some kinds of what it cannot read, not of others."""
    if not isinstance(config, dict) or "register_keras_serializable" in said:
        return ""
    return (
        ". A class or function of your own must be decorated with "
        "`@keras.saving.register_keras_serializable()`, and imported, before it is "
        "loaded."
    )


def write_argument(name: str, value: Any) -> Any:
    """Return the config entry from which `read_argument` makes `value` again."""
    module = _SERIALIZED.get(name.rpartition("_")[2])
    return module.serialize(value) if module and value is not None else value


def _is_number(value: Any, method: str) -> bool:
    """Return whether `value` is one number, not a truth value, that has `method`."""
    one = not isinstance(value, bool) and not getattr(value, "shape", ())
    return one and hasattr(value, method)


def check_positive(owner: str, name: str, value: Any, whole: bool = False) -> Any:
    """Return `value` as a number above 0, an integer if `whole`, or raise an error."""
    method = "__index__" if whole else "__float__"
    if not _is_number(value, method) or not 0 < value < float("inf"):
        raise ValueError(
            f"{owner}: `{name}` must be a positive {'integer' if whole else 'number'}. "
            f"Received: {name}={value!r}"
        )
    return int(value) if whole else float(value)


def check_number(
    owner: str,
    name: str,
    value: Any,
    least: float = -float("inf"),
    below: float = float("inf"),
) -> Any:
    """Return `value` if it is finite and in [least, below), or raise a ValueError."""
    known = _is_number(value, "__float__") and abs(value) < float("inf")
    if known and least <= value < below:
        return value
    bounded = least > -float("inf")
    kind = f"number of at least {least}" if bounded else "finite number"
    kind += f" and below {below}" if below < float("inf") else ""
    raise ValueError(f"{owner}: `{name}` must be a {kind}. Received: {name}={value!r}")


def check_rate(owner: str, name: str, rate: Any) -> float:
    """Return a rate of dropout or zoneout as a float, or raise a ValueError."""
    return float(check_number(owner, name, rate, 0, 1))


def check_flag(owner: str, name: str, value: Any) -> bool:
    """Return `value` if it is true or false, or raise a ValueError."""
    if isinstance(value, bool | np.bool_) or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise ValueError(
        f"{owner}: `{name}` must be True or False. Received: {name}={value!r}"
    )


def check_seed(owner: str, seed: Any) -> int | None:
    """Return `seed` as an int or None, or raise a ValueError."""
    if seed is None:
        return None
    if not _is_number(seed, "__index__"):
        raise ValueError(
            f"{owner}: `seed` must be an integer or None. Received: seed={seed!r}"
        )
    return int(seed)


def check_choice(owner: str, name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return `value` if it is one of `choices`, or raise a ValueError."""
    if getattr(value, "shape", ()) or value not in choices:
        raise ValueError(
            f"{owner}: `{name}` must be one of {choices}. Received: {name}={value!r}"
        )
    return value


_CHECKS: dict[str, Callable[[str, str, Any], Any]] = {
    "units": functools.partial(check_positive, whole=True),
    "epsilon": check_positive,
    "dropout": check_rate,
    "bias": check_flag,
    "after": check_flag,
    "seed": lambda owner, _, seed: check_seed(owner, seed),
    "implementation": functools.partial(check_choice, choices=(0, 1, 2)),
}
"""How `read_argument` checks an argument, by the last word of its name."""
