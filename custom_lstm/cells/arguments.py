"""Constructor arguments that read themselves in and write themselves out."""

from typing import Any

import keras
import numpy as np

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


def read_argument(owner: str, name: str, value: Any) -> Any:
    """The object that `value` stands for; the last word of `name` says which kind.

    Raises:
        ValueError: if it stands for none of that kind.

    Example:

    >>> type(read_argument("LSTMCell", "bias_initializer", "zeros")).__name__
    'Zeros'
    """
    kind = name.rpartition("_")[2]
    if kind not in _MODULES:
        return value
    try:
        return _MODULES[kind].get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{owner}: `{name}` must be something that `keras.{kind}s.get` takes, such "
            f"as a name or an object of that kind. Received: {name}={value!r}"
        ) from error


def write_argument(name: str, value: Any) -> Any:
    """The config entry from which `read_argument` makes `value` again.

    Example:

    >>> write_argument("activation", keras.activations.tanh)
    'tanh'
    """
    module = _MODULES.get(name.rpartition("_")[2])
    return module.serialize(value) if module and value is not None else value


def _is_number(value: Any, method: str) -> bool:
    """Whether `value` is one number, not a truth value, that has `method`."""
    one = not isinstance(value, bool) and not getattr(value, "shape", ())
    return one and hasattr(value, method)


def check_units(owner: str, units: Any) -> int:
    """`units` as an int, or a `ValueError` that says what came instead."""
    if not _is_number(units, "__index__") or units <= 0:
        raise ValueError(
            f"{owner}: `units` must be a positive integer. Received: units={units!r}"
        )
    return int(units)


def check_positive(owner: str, name: str, value: Any, whole: bool = False) -> Any:
    """`value` as a number above 0, an integer if `whole`; or a `ValueError`.

    Example:

    >>> check_positive("Cell", "epsilon", 1)
    1.0
    """
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
    """`value` if it is a finite number in [least, below), or a `ValueError`.

    Example:

    >>> check_number("ForgetBias", "value", 3)
    3
    """
    known = _is_number(value, "__float__") and abs(value) < float("inf")
    if known and least <= value < below:
        return value
    bounded = least > -float("inf")
    kind = f"number of at least {least}" if bounded else "finite number"
    kind += f" and below {below}" if below < float("inf") else ""
    raise ValueError(f"{owner}: `{name}` must be a {kind}. Received: {name}={value!r}")


def check_rate(owner: str, name: str, rate: Any) -> float:
    """A dropout rate as a float, or a `ValueError` that says what came instead."""
    if not _is_number(rate, "__float__") or not 0 <= rate < 1:
        raise ValueError(
            f"{owner}: `{name}` must be a number of at least 0 and below 1, the "
            f"fraction to drop. Received: {name}={rate!r}"
        )
    return float(rate)


def check_flag(owner: str, name: str, value: Any) -> bool:
    """`value` if it is true or false, else a `ValueError` that says what came instead.

    Example:

    >>> check_flag("LSTM", "unroll", 1)
    True
    """
    if isinstance(value, bool | np.bool_) or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise ValueError(
        f"{owner}: `{name}` must be True or False. Received: {name}={value!r}"
    )


def check_seed(owner: str, seed: Any) -> int | None:
    """`seed` as an int or None, or a `ValueError` that says what came instead."""
    if seed is None:
        return None
    if not _is_number(seed, "__index__"):
        raise ValueError(
            f"{owner}: `seed` must be an integer or None. Received: seed={seed!r}"
        )
    return int(seed)


def check_choice(owner: str, name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """`value` if it is one of `choices`, else a `ValueError` that lists them."""
    if getattr(value, "shape", ()) or value not in choices:
        raise ValueError(
            f"{owner}: `{name}` must be one of {choices}. Received: {name}={value!r}"
        )
    return value
