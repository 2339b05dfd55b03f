"""Arguments by those who take them, and as TensorFlow 2.10 ordered and named them."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from custom_lstm.typing import BatchSize, Config, DType, Tensor


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


def initial_arguments(
    batch_size: Any, dtype: Any, inputs: Any
) -> tuple[BatchSize | None, DType | None, Tensor | None]:
    """Read the arguments of `get_initial_state`, in either order.

    TensorFlow 2.10's was `(inputs, batch_size, dtype)`; here it is `(batch_size, dtype,
    inputs)`, which begins as Keras 3's does. What they are tells them apart.

    Example:
        >>> initial_arguments(None, 3, "float16")
        (3, 'float16', None)
    """
    first_is_inputs = batch_size is not None and len(_shape(batch_size)) > 0
    second_is_size = not isinstance(dtype, str | type) and any(
        hasattr(dtype, name) for name in ("__index__", "shape", "__jax_array__")
    )
    if first_is_inputs or second_is_size:
        return dtype, inputs, batch_size
    return batch_size, dtype, inputs


def _shape(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, "shape", ()))


def with_old_arguments(method: Callable[..., Any]) -> Callable[..., Any]:
    """Fill in what TensorFlow 2.10 passed to `get_initial_state`, Keras 3 does not."""
    names = inspect.signature(method).parameters
    if not {"inputs", "dtype"} & set(names):
        return method

    @functools.wraps(method)
    def get_initial_state(
        self: Any, inputs: Any = None, batch_size: Any = None, dtype: Any = None
    ) -> Any:
        if inputs is not None and not _shape(inputs):  # Keras 3's order
            inputs, batch_size, dtype = dtype, inputs, batch_size
        batch_size = batch_size_of(batch_size, inputs)
        known = {
            "inputs": inputs,
            "batch_size": batch_size,
            "dtype": dtype or self.compute_dtype,
        }
        return method(self, **{name: known[name] for name in names if name in known})

    return get_initial_state


@functools.cache
def parameters_of(method: Callable[..., Any]) -> frozenset[str]:
    """Return the names of a method's arguments."""
    return frozenset(inspect.signature(method).parameters)


def accepted(method: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return those of the arguments that a method names."""
    return {k: value for k, value in given.items() if k in parameters_of(method)}


def begin(method: Callable[..., Any], batch_size: BatchSize, dtype: DType) -> Any:
    """Call a cell's `get_initial_state` with those arguments that it takes.

    Args:
        method: bound to its cell; of Keras 3 it takes the batch size alone.
        batch_size: number of sequences.
        dtype: of the states.
    """
    parameters = inspect.signature(method).parameters
    given = {"inputs": None, "batch_size": batch_size, "dtype": dtype}
    return method(
        **{
            name: value
            for name, value in given.items()
            if name == "batch_size" or name in parameters
        }
    )


def weight_arguments(
    arguments: tuple[Any, ...], options: Config
) -> tuple[tuple[Any, ...], Config]:
    """Read the arguments of `add_weight`, whose first was the name in TensorFlow 2.10.

    Args:
        arguments: those without a name: `(name, shape, dtype, initializer, ...)` if the
            first is a string, else Keras 3's.
        options: those with a name.

    Returns:
        Arguments and options for Keras 3, which wants no "/" in a name.
    """
    options = dict(options)
    if arguments and isinstance(arguments[0], str):
        options.update(zip(_OF_WEIGHTS, arguments, strict=False))
        arguments = ()
    for name in ("use_resource", "synchronization", "partitioner"):
        options.pop(name, None)
    if isinstance(options.get("name"), str):
        options["name"] = options["name"].replace("/", "_")
    return arguments, {k: v for k, v in options.items() if v is not None}


_OF_WEIGHTS = (
    "name",
    "shape",
    "dtype",
    "initializer",
    "regularizer",
    "trainable",
    "constraint",
)
"""What TensorFlow 2.10's `add_weight` took, in its order."""


def renew_arguments(kwargs: Config) -> tuple[Config, int | None]:
    """Read the arguments that every layer of TensorFlow 2.10 had.

    Args:
        kwargs: arguments of a layer's constructor that its class does not name.

    Returns:
        Those that Keras 3's `Layer` takes; and the batch size, if they told it.

    Raises:
        ValueError: if `weights` are given, which Keras 3 sets otherwise.
    """
    kwargs = dict(kwargs)
    if kwargs.pop("weights", None) is not None:
        raise ValueError(
            "`weights=` is an argument of TensorFlow 2.10; in Keras 3, build the layer "
            "and write layer.set_weights(weights)."
        )
    for name in ("dynamic", "num_constants"):  # Keras 3 knows by itself
        kwargs.pop(name, None)
    batch = kwargs.pop("batch_size", None)
    shape: Sequence[int | None] | None = kwargs.pop("batch_input_shape", None)
    length, features = kwargs.pop("input_length", None), kwargs.pop("input_dim", None)
    if shape is not None:
        batch, *rest = shape
        kwargs["input_shape"] = tuple(rest)
    elif features is not None:
        kwargs["input_shape"] = (length, features)
    return kwargs, batch
