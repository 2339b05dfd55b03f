"""The small print of the cell contract: sizes, shapes and the errors that name them."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

Sizes = int | list[Any]
"""An integer, or a (nested) list of integers: one per state."""


def state_size_of(sizes: Any) -> Sizes:
    """Reads `state_size` the way people write it: int, tuple, list, `tf.TensorShape`.

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
    """Reads `output_size`: like `state_size_of`, but there is one output.

    Example:

    >>> output_size_of([4])
    4
    """
    widths = keras.tree.flatten(state_size_of(size))
    if len(widths) != 1:
        raise ValueError(
            "`output_size` must be one positive integer: the width of the cell's "
            f"output. Received: output_size={size!r}"
        )
    return widths[0]


def batch_size_of(batch_size: Any, inputs: Any) -> Any:
    """`batch_size` if it is given, else that of `inputs`, else 1.

    Raises:
        ValueError: if `batch_size` is no number of sequences.
    """
    whole = hasattr(batch_size, "__index__") and not isinstance(batch_size, bool)
    known_later = hasattr(batch_size, "dtype") or hasattr(batch_size, "__jax_array__")
    if known_later or (whole and batch_size >= 0):
        return batch_size
    if batch_size is not None:
        raise ValueError(
            "`batch_size` must be an integer of at least 0, or None. Received: "
            f"batch_size={batch_size!r}"
        )
    return 1 if inputs is None else ops.shape(inputs)[0]


def standardized_property(own: property, reader: Callable[[Any], Any]) -> property:
    """The property `own`, its values read by `reader`."""
    getter = own.fget
    assert getter is not None
    return property(lambda self: reader(getter(self)), own.fset, own.fdel, own.__doc__)


def with_old_arguments(method: Callable[..., Any]) -> Callable[..., Any]:
    """Fills in what TensorFlow 2.10 passed to `get_initial_state`, Keras 3 does not."""
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


def names_of_states(cell: Any) -> tuple[str, ...]:
    """What to call the states of a cell: its `state_names`, or else "h", if it is one.

    Raises:
        ValueError: if there are more or fewer names than states.

    Example:

    >>> names_of_states(keras.layers.GRUCell(2)), names_of_states(
    ...     keras.layers.LSTMCell(2)
    ... )
    (('h',), ('state_0', 'state_1'))
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


def fits(shape: Any, expected: Any) -> bool:
    """Whether two shapes agree, where both are known before run time.

    Example:

    >>> fits((None, 3), (2, 3)), fits((2, 3), (2, 3, 1))
    (True, False)
    """
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )


def shapes_text(tensors: Sequence[Any]) -> str:
    """The shapes of `tensors`, in words, for an error message."""
    shapes = [str(tuple(getattr(tensor, "shape", ()))) for tensor in tensors]
    return ", ".join(shapes) or "none"


def check_numbers(
    owner: str, what: str, tensor: Any, kind: str = "real numbers"
) -> None:
    """Raises unless `tensor` holds real numbers; `kind` is what the error calls them.

    Example:

    >>> check_numbers("LSTM", "inputs", ops.ones((2, 3)))
    """
    dtype = getattr(tensor, "dtype", None)
    name = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    if not name.startswith(("float", "bfloat", "int", "uint", "bool")):
        raise ValueError(
            f"{owner}: {what} must be a tensor of {kind}. Received: "
            f"{type(tensor).__name__} of dtype {name} and shape {shapes_text([tensor])}"
        )


def check_sequences(owner: str, shape: Any, mask: Any = None) -> None:
    """Raises unless inputs are `(batch, time, …)`, and masks `(batch, time)`.

    Args:
        owner: who was called, for the error.
        shape: of the inputs.
        mask: None, a boolean tensor, or a list of them.

    Raises:
        ValueError: names the shapes, expected and received.
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
        check_numbers(owner, "`mask`", tensor, "booleans")
        expected = (*shape[:2], 1) if len(tensor.shape) == 3 else shape[:2]
        if not fits(tensor.shape, expected):
            raise ValueError(
                f"{owner}: `mask` must have the axes (batch, time) of the inputs, "
                f"{tuple(shape)}. Received shape: {tuple(tensor.shape)}"
            )


def check_states(owner: str, what: str, states: Any, sizes: Sizes, batch: Any) -> None:
    """Raises unless `states` are what `state_size` promises, and real numbers.

    Args:
        owner: who was called, for the error.
        what: which states these are, for the error.
        states: (nested) tensors.
        sizes: the cell's `state_size`.
        batch: batch size, or None if it is not known before run time.

    Raises:
        ValueError: names count and shapes, expected and received.
    """
    widths = keras.tree.flatten(sizes)
    tensors = keras.tree.flatten(states)
    expected = [(batch, width) for width in widths]
    of_a_dict = isinstance(states, dict)
    if len(tensors) == len(widths) and not of_a_dict:
        pairs = zip(tensors, expected, strict=True)
        if all(fits(getattr(tensor, "shape", ()), shape) for tensor, shape in pairs):
            for tensor in tensors:
                check_numbers(owner, what, tensor)
            return
    promised = ", ".join(f"({'batch' if b is None else b}, {n})" for b, n in expected)
    raise ValueError(
        f"{owner}: {what} must be {len(widths)} tensor(s) of shape {promised}, as "
        f"`state_size`={sizes} says, alone or in a list. Received {len(tensors)}"
        f"{' in a dict' if of_a_dict else ''}: {shapes_text(tensors)}"
    )


def check_step(cell: Any, result: Any, batch: Any) -> None:
    """Raises unless a cell's `call` returned `(output, new_states)` as promised.

    Args:
        cell: the cell.
        result: what its `call` returned.
        batch: batch size of the inputs, or None if not known before run time.

    Raises:
        ValueError: names what was returned and what the cell had promised.
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
