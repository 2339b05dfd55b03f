"""Constructor arguments that read themselves in and write themselves out."""

from typing import Any

import keras

_MODULES: dict[str, Any] = {
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


def own_arguments(scope: dict[str, Any]) -> dict[str, Any]:
    """The named arguments of the `__init__` whose `locals()` these are.

    Args:
        scope: `locals()`, taken in the first statement.

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


def read_argument(name: str, value: Any) -> Any:
    """The object that `value` stands for; the last word of `name` says which kind.

    Example:

    >>> type(read_argument("bias_initializer", "zeros")).__name__
    'Zeros'
    """
    module = _MODULES.get(name.rpartition("_")[2])
    return module.get(value) if module else value


def write_argument(name: str, value: Any) -> Any:
    """The config entry from which `read_argument` makes `value` again.

    Example:

    >>> write_argument("activation", keras.activations.tanh)
    'tanh'
    """
    module = _MODULES.get(name.rpartition("_")[2])
    return module.serialize(value) if module and value is not None else value


def check_units(owner: str, units: Any) -> int:
    """`units` as an int, or a `ValueError` that says what came instead."""
    if isinstance(units, bool) or not hasattr(units, "__index__") or units <= 0:
        raise ValueError(
            f"{owner}: `units` must be a positive integer. Received: units={units!r}"
        )
    return int(units)


def check_rate(owner: str, name: str, rate: Any) -> float:
    """A dropout rate as a float, or a `ValueError` that says what came instead."""
    if isinstance(rate, bool) or not hasattr(rate, "__float__") or not 0 <= rate < 1:
        raise ValueError(
            f"{owner}: `{name}` must be a number of at least 0 and below 1, the "
            f"fraction to drop. Received: {name}={rate!r}"
        )
    return float(rate)


def check_choice(owner: str, name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """`value` if it is one of `choices`, else a `ValueError` that lists them."""
    if value not in choices:
        raise ValueError(
            f"{owner}: `{name}` must be one of {choices}. Received: {name}={value!r}"
        )
    return value
