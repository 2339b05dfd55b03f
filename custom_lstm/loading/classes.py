"""The classes and functions that a model's description names: which may be used."""

import sys
from collections.abc import Collection
from typing import Any

import keras

DEEPEST = 200
"""Objects within objects; a Bidirectional of stacked cells has some 15."""

_layers = keras.layers
_KINDS = (
    keras.Operation,  # layers and models too
    keras.Initializer,
    keras.Regularizer,
    keras.constraints.Constraint,
    keras.Loss,
    keras.Metric,
    keras.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.DTypePolicy,
    keras.dtype_policies.DTypePolicyMap,
    keras.Quantizer,
    keras.quantizers.QuantizationConfig,
    keras.random.SeedGenerator,
)
_FOREIGN = (
    _layers.Lambda,
    _layers.TFSMLayer,
    _layers.TorchModuleWrapper,
    _layers.JaxLayer,
    _layers.FlaxLayer,
)
# Where Keras itself, without a public name, writes a functional model and its ops.
_PRIVATE = ("keras.src.ops.", "keras.src.models.functional")
_FUNCTIONS = {
    "keras.activations": keras.activations,
    "keras.losses": keras.losses,
    "keras.metrics": keras.metrics,
    "keras.ops": keras.ops,
}
# Plain values that Keras writes as if they were objects.
_VALUES = {"bytes", "ellipsis", "keras_tensor", "numpy", "slice", "tensor"}


def check_classes(config: Any, packages: Collection[str]) -> None:
    """Check every class and function that a description names, however deep.

    Args:
        config: what config.json holds.
        packages: names of packages whose registered classes may be used too.

    Raises:
        ValueError: names the first that is neither of those nor public, harmless
            and Keras's own; or says what else the description would have Keras do.

    Example:

    >>> dense = {"module": "keras.layers", "class_name": "Dense", "config": {}}
    >>> check_classes({"layers": [dense]}, ())
    >>> check_classes({"layers": [{**dense, "module": "os"}]}, ())
    Traceback (most recent call last):
    ...
    ValueError: it names os.Dense, which is neither Keras's own nor registered ...
    """
    pending = [(config, 0)]
    while pending:
        part, depth = pending.pop()
        if depth > DEEPEST:
            raise ValueError(f"its description is nested over {DEEPEST} deep")
        if isinstance(part, dict):
            if "class_name" in part:
                _check_object(part, packages)
            if isinstance(part.get("vocabulary"), str):
                raise ValueError("a layer of it would read a vocabulary from a file")
            part = list(part.values())
        if isinstance(part, list):
            pending += [(inner, depth + 1) for inner in part]


def _check_object(part: dict[str, Any], packages: Collection[str]) -> None:
    """Check one object as Keras writes it: module, class_name, registered_name."""
    name, module = part["class_name"], part.get("module")
    if isinstance(name, str) and name.startswith("__"):
        if name.strip("_") in _VALUES:
            return
        what = "Python code" if name == "__lambda__" else "an unknown value"
        raise ValueError(f"it holds {what} ({name})")
    is_function = name == "function"
    sought = part.get("config") if is_function else part.get("registered_name", name)
    if isinstance(sought, str) and keras.saving.get_registered_object(sought):
        package = sought.partition(">")[0]
        if package in packages:
            return
        raise ValueError(f"it names {sought}, of a package that is not trusted here")
    target, known = (sought, _is_function) if is_function else (name, _is_class)
    if isinstance(module, str) and isinstance(target, str) and known(module, target):
        return
    raise ValueError(
        f"it names {f'{module}.{target}'[:100]}, which is neither Keras's own nor "
        f"registered here as that of {' or '.join(packages) or 'anything'}"
    )


def _is_class(module: str, name: str) -> bool:
    """Whether a class is one of Keras's own that do no more than compute."""
    inside = module.startswith("keras.src")
    if module.partition(".")[0] != "keras" or (
        inside and not module.startswith(_PRIVATE)
    ):
        return False
    found = getattr(sys.modules.get(module), name, None)
    if not isinstance(found, type):
        return False
    if issubclass(found, _FOREIGN):
        raise ValueError(f"it holds a {found.__name__}, which runs code from outside")
    return issubclass(found, _KINDS)


def _is_function(module: str, name: str) -> bool:
    """Whether a function is one of Keras's own that do no more than compute."""
    if not name.isidentifier():
        return False
    known = _FUNCTIONS.values() if module == "builtins" else [_FUNCTIONS.get(module)]
    return any(callable(getattr(place, name, None)) for place in known)
