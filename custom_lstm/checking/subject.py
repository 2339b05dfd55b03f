"""The cell under check: new copies of it, its weights, and data to feed it."""

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.checking.backends import precision, seeded
from custom_lstm.checking.report import Breach

WIDTH = 4
"""What a class that needs one argument is given for it."""
FEATURES = 3
"""How wide the inputs are, unless a built cell or the caller says."""

_UNCOPYABLE = (AttributeError, KeyError, TypeError, ValueError, NotImplementedError)
"""What a wrong `get_config` leads to; the last is Keras's, where there is none."""
_KINDS = (
    "a recurrent cell: a keras.layers.Layer with call(inputs, states) and "
    "`state_size`. Give an instance, its class, or a function without arguments that "
    "makes one"
)


class Subject:
    """A source of equal cells: same arguments, same weights, any dtype policy.

    The caller's own instance is never built, called or changed.

    Args:
        source: a cell, a cell class, or a function without arguments that makes one.
            A class is made without arguments, or with `WIDTH` for the one it needs.
        features: width of the inputs; by default what a built cell was built for.
        seed: of weights and data.
        width: what a class gets for the one argument it needs.
        what: name of the caller's argument, for errors.

    Raises:
        TypeError: if no cell comes from `source`.
        ValueError: if its `state_size`, `features` or `seed` makes no sense.
    """

    def __init__(
        self,
        source: Any,
        features: int | None = None,
        seed: int = 0,
        width: int = WIDTH,
        what: str = "`cell_or_class`",
    ):
        self.seed = _check_seed(seed)
        self.original = None if _makes_cells(source) else require_cell(source, what)
        self._factory = _factory(source, width) if self.original is None else None
        example = self.original or self._first_of_factory()
        self.cell_class = type(example)
        self.features = _features(example, features)
        self.widths = keras.tree.flatten(example.state_size)

    def _first_of_factory(self) -> Any:
        assert self._factory is not None
        example = require_cell(self._factory(), "what the given function returned")
        if self._factory() is example:
            raise ValueError(
                "check_cell needs a new cell from each call of the given function. It "
                f"returned the same {type(example).__name__} twice."
            )
        return example

    def make(self) -> Any:
        """A new cell, not built, of the dtype policy in force."""
        if self.original is not None:
            return self.copy(self.original)
        assert self._factory is not None
        cell = self._factory()
        same_policy = cell.dtype_policy.name == keras.config.dtype_policy().name
        return cell if same_policy else self.copy(cell)

    def copy(self, cell: Any, **changes: Any) -> Any:
        """A cell made by `from_config(get_config())`, of the dtype policy in force.

        Args:
            cell: what to copy.
            **changes: entries of the config that are to be others.

        Raises:
            Breach: if that cannot be done.
        """
        try:
            config = {**_with_dtype(cell.get_config()), **changes}
            return type(cell).from_config(config)
        except _UNCOPYABLE as error:
            raise Breach(
                f"{type(cell).__name__}.from_config(get_config()) to make a cell",
                f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}",
            ) from error

    def cell(self, **changes: Any) -> Any:
        """A new cell, built, whose weights look trained: always the same.

        Args:
            **changes: entries of the config that are to be others.
        """
        cell = self.copy(self.make(), **changes) if changes else self.make()
        build(cell, self.features)
        cell.set_weights(self.weights)
        return cell

    @cached_property
    def weights(self) -> list[np.ndarray]:
        """The weights of every `cell()`: the original's if it is built, or else what
        the initializers gave, moved a little from there.
        """
        if self.original is not None and self.original.built:
            return values_of(self.original.weights)
        rng = np.random.default_rng(self.seed)
        with seeded(self.seed), precision("float32"):
            cell = self.make()
            build(cell, self.features)
            for weight in cell.trainable_variables:
                step = 0.2 * rng.normal(size=weight.shape)
                moved = weight + ops.cast(step, weight.dtype)
                constraint = weight.constraint
                weight.assign(constraint(moved) if constraint else moved)
            return values_of(cell.weights)

    def inputs(self, batch: int = 3, time: int = 5, draw: int = 0) -> np.ndarray:
        """Standard normal `(batch, time, features)`; another for each `draw`."""
        rng = np.random.default_rng([self.seed, draw])
        return rng.normal(size=(batch, time, self.features)).astype("float32")


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """What variables hold, as NumPy."""
    return [ops.convert_to_numpy(variable) for variable in variables]


def zero_states(cell: Any, batch: int) -> list[Any]:
    """Zeros of the shapes that `state_size` promises, in its structure."""
    return keras.tree.map_structure(
        lambda width: ops.zeros((batch, width), cell.compute_dtype), structure_of(cell)
    )


def structure_of(cell: Any) -> list[Any]:
    """`state_size` as a (nested) list, as states come."""
    sizes = cell.state_size
    return list(sizes) if keras.tree.is_nested(sizes) else [sizes]


def build(cell: Any, features: int) -> None:
    """Builds a cell as `keras.layers.RNN` does; sub-layers, by one step."""
    if type(cell).build is keras.layers.Layer.build:
        step = ops.zeros((1, features), cell.compute_dtype)
        cell(step, zero_states(cell, 1))
    elif not cell.built:
        cell.build((None, features))
        cell.built = True


def require_cell(candidate: Any, what: str) -> Any:
    """`candidate`, or an error that says why it is no cell."""
    if isinstance(candidate, keras.layers.RNN | keras.layers.Bidirectional):
        raise TypeError(
            f"check_cell: {what} is the layer {type(candidate).__name__}, which runs a "
            "cell over whole sequences. Give the cell: `layer.cell`."
        )
    is_layer = isinstance(candidate, keras.layers.Layer)
    if not is_layer or "state_size" not in dir(candidate):
        raise TypeError(f"check_cell: {what} must be {_KINDS}. Received: {candidate!r}")
    sizes = keras.tree.flatten(candidate.state_size)
    if not sizes or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(
            f"check_cell: `state_size` of {type(candidate).__name__} must be a "
            "positive integer or a (nested) list of them, one per state. Received: "
            f"state_size={candidate.state_size!r}"
        )
    return candidate


def _makes_cells(source: Any) -> bool:
    is_layer = isinstance(source, keras.layers.Layer)
    return inspect.isclass(source) or (callable(source) and not is_layer)


def _factory(source: Any, width: int) -> Callable[[], Any]:
    is_class = inspect.isclass(source)
    if is_class and not issubclass(source, keras.layers.Layer):
        raise TypeError(f"check_cell: the class must be {_KINDS}. Received: {source}")
    signature = inspect.signature(source.__init__ if is_class else source)
    needed = [
        parameter
        for parameter in list(signature.parameters.values())[is_class:]
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not needed:
        return source
    if not is_class or len(needed) > 1:
        names = ", ".join(parameter.name for parameter in needed)
        raise TypeError(
            f"check_cell cannot know what to give {source!r} for {names}. Give an "
            "instance, or a function without arguments: `lambda: MyCell(...)`."
        )
    return lambda: _make_with_width(source, needed[0], width)


def _make_with_width(cls: Any, parameter: inspect.Parameter, width: int) -> Any:
    try:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            return cls(width)
        return cls(**{parameter.name: width})
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"check_cell made {cls.__name__}({parameter.name}={width}), as that is the "
            f"one argument it needs, and it raised {type(error).__name__}: {error} "
            f"Give an instance, or a function: `lambda: {cls.__name__}(...)`."
        ) from error


def _check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(
            "check_cell: `seed` must be an integer of at least 0. Received: "
            f"seed={seed!r}"
        )
    return seed


def _features(example: Any, features: int | None) -> int:
    if features is not None:
        if isinstance(features, bool) or not isinstance(features, int) or features < 1:
            raise ValueError(
                "check_cell: `features` must be a positive integer, the width of the "
                f"inputs. Received: features={features!r}"
            )
        return features
    if example.built:
        shape = (example.get_build_config() or {}).get("input_shape")
        return int(shape[-1]) if shape else FEATURES
    return FEATURES


def _with_dtype(config: Any) -> Any:
    """A config, and those within, with the dtype policy in force."""
    if isinstance(config, dict):
        policy = keras.config.dtype_policy().name
        return {
            key: policy if key == "dtype" and value is not None else _with_dtype(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_with_dtype(value) for value in config)
    return config
