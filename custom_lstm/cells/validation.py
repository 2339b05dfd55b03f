"""Reading and checking what cells and layers are given: sizes, tensors, arguments.

Every check says what was wrong, what was expected and what was received, before any
tensor operation does it in worse words.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.typing import BatchSize, Config, Nest, Shape, Tensor

Sizes = int | list[Any]
"""An integer, or a (nested) list of integers: one per state."""


def state_size_of(sizes: Any) -> Sizes:
    """Read `state_size` the way people write it: int, tuple, list, `tf.TensorShape`.

    Args:
        sizes: a positive integer, a `tf.TensorShape([n])`, or a (nested) list or
            tuple of them.

    Returns:
        The same with plain integers and lists.

    Raises:
        ValueError: if something in `sizes` is not a positive integer.

    Example:
        >>> state_size_of((4, [2, 3]))
        [4, [2, 3]]
    """
    if hasattr(sizes, "as_list"):  # tf.TensorShape, without importing tensorflow
        axes = [axis for axis in sizes.as_list() if axis is not None]
        if len(axes) == 1:
            return axes[0]
    elif isinstance(sizes, list | tuple):
        if sizes:
            return [state_size_of(size) for size in sizes]
    elif hasattr(sizes, "__index__") and not isinstance(sizes, bool) and sizes > 0:
        return int(sizes)
    raise ValueError(
        "`state_size` must be a positive integer, or a (nested) list of positive "
        f"integers, one per state. Received: state_size={sizes!r}"
    )


def output_size_of(size: Any) -> int:
    """Read `output_size` as `state_size_of` does; it must be one number."""
    widths = keras.tree.flatten(state_size_of(size))
    if len(widths) != 1:
        raise ValueError(
            "`output_size` must be one positive integer: the width of the cell's "
            f"output. Received: output_size={size!r}"
        )
    return widths[0]


def batch_size_of(batch_size: BatchSize | None, inputs: Tensor | None) -> BatchSize:
    """Return `batch_size` if it is given, else that of `inputs`, else 1.

    Raises:
        ValueError: if `batch_size` cannot be a number of sequences.
    """
    if batch_size is None:
        return 1 if inputs is None else ops.shape(inputs)[0]
    whole = hasattr(batch_size, "__index__") and not isinstance(batch_size, bool)
    known_later = hasattr(batch_size, "dtype") or hasattr(batch_size, "__jax_array__")
    if known_later or (whole and batch_size >= 0):
        return batch_size
    raise ValueError(
        "`batch_size` must be an integer of at least 0, or None. Received: "
        f"batch_size={batch_size!r}"
    )


def standardized_property(own: property, reader: Callable[[Any], Any]) -> property:
    """Return the property `own`, its values read by `reader`."""
    getter = own.fget
    assert getter is not None
    return property(lambda self: reader(getter(self)), own.fset, own.fdel, own.__doc__)


def with_old_arguments(method: Callable[..., Any]) -> Callable[..., Any]:
    """Fill in what TensorFlow 2.10 passed to `get_initial_state`, Keras 3 does not."""
    names = inspect.signature(method).parameters
    if not {"inputs", "dtype"} & set(names):
        return method

    @functools.wraps(method)
    def get_initial_state(
        self: Any, inputs: Any = None, batch_size: Any = None, dtype: Any = None
    ) -> Any:
        batch_size = batch_size_of(batch_size, inputs)
        known = {
            "inputs": inputs,
            "batch_size": batch_size,
            "dtype": dtype or self.compute_dtype,
        }
        return method(self, **{name: known[name] for name in names if name in known})

    return get_initial_state


def names_of_states(cell: keras.layers.Layer) -> tuple[str, ...]:
    """Return the names of a cell's states: its `state_names`, or "h" if it has one.

    Raises:
        ValueError: if there are more or fewer names than states.

    Example:
        >>> names_of_states(keras.layers.GRUCell(2))
        ('h',)
        >>> names_of_states(keras.layers.LSTMCell(2))
        ('state_0', 'state_1')
    """
    count = len(keras.tree.flatten(cell.state_size))
    default = ("h",) if count == 1 else tuple(f"state_{k}" for k in range(count))
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


def check_sequences(owner: str, shape: Shape, mask: Nest = None) -> None:
    """Raise a ValueError unless inputs are `(batch, time, …)`, masks `(batch, time)`.

    `owner` was called, for the error; `mask` is None, a tensor, or a list of them.
    """
    several = len(shape) > 0 and keras.tree.is_nested(shape[0])
    if several or len(shape) < 3 or shape[1] == 0:
        raise ValueError(
            f"{owner}: inputs must be one tensor with the axes (batch, time, features) "
            f"and at least one step. Received shape: {tuple(shape)}"
        )
    for tensor in keras.tree.flatten(mask):
        if tensor is None:
            continue
        check_tensor(owner, "`mask`", tensor, "booleans")
        expected = (*shape[:2], 1) if len(tensor.shape) == 3 else shape[:2]
        if not fits(tensor.shape, expected):
            raise ValueError(
                f"{owner}: `mask` must have the axes (batch, time) of the inputs, "
                f"{tuple(shape)}. Received shape: {tuple(tensor.shape)}"
            )


def check_states(
    owner: str, what: str, states: Nest, sizes: Sizes, batch: int | None
) -> None:
    """Raise a ValueError unless `states` are real numbers as `state_size` promises.

    `owner` was called, and `what` says which states these are, for the error; `batch`
    is None if it is not known before run time.
    """
    widths = keras.tree.flatten(sizes)
    tensors = keras.tree.flatten(states)
    expected = [(batch, width) for width in widths]
    of_a_dict = isinstance(states, dict)
    if len(tensors) == len(widths) and not of_a_dict:
        pairs = zip(tensors, expected, strict=True)
        if all(fits(getattr(tensor, "shape", ()), shape) for tensor, shape in pairs):
            for tensor in tensors:
                check_tensor(owner, what, tensor)
            return
    promised = ", ".join(f"({'batch' if b is None else b}, {n})" for b, n in expected)
    raise ValueError(
        f"{owner}: {what} must be {len(widths)} tensor(s) of shape {promised}, as "
        f"`state_size`={sizes} says, alone or in a list. Received {len(tensors)}"
        f"{' in a dict' if of_a_dict else ''}: {shapes_text(tensors)}"
    )


def check_step(cell: Any, result: Any, batch: int | None) -> None:
    """Raise a ValueError unless a cell's `call` returned `(output, new_states)`.

    `batch` is the batch size of the inputs, or None if not known before run time.
    """
    owner = type(cell).__name__
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ValueError(
            f"{owner} must return a pair (output, new_states) from each step. "
            f"Received: {shapes_text(keras.tree.flatten(result))}"
        )
    output, states = result
    check_states(owner, "the new states", states, cell.state_size, batch)
    if hasattr(output, "shape") and not fits(output.shape, (batch, cell.output_size)):
        raise ValueError(
            f"{owner}: the output must have shape "
            f"({'batch' if batch is None else batch}, {cell.output_size}), as "
            f"`output_size` says. Received: {tuple(output.shape)}"
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
