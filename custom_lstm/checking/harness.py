"""What every check of a cell works with: copies of the cell, runs of it, comparison."""

import contextlib
import inspect
import random
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.old_arguments import accepted, begin
from custom_lstm.cells.validation import (
    StateShape,
    listed,
    state_shape,
    state_size_of,
)
from custom_lstm.checking.inputs import draw as _draw
from custom_lstm.checking.inputs import each, map_shapes, read_shapes
from custom_lstm.layers.rnn import RNN
from custom_lstm.typing import Nest, States, Tensor

WIDTH = 4
"""What a class that needs one argument is given for it."""
FEATURES = 3
"""How wide the inputs are, unless a built cell or the caller says."""
RTOL, ATOL = 1e-4, 1e-5
"""How far two ways to the same float32 result may differ."""

UNCOPYABLE = (AttributeError, KeyError, TypeError, ValueError, NotImplementedError)
"""What a wrong `get_config` leads to; the last is Keras's, where there is none."""
_KINDS = (
    "a recurrent cell: a keras.layers.Layer with call(inputs, states) and "
    "`state_size`. Give an instance, its class, or a function without arguments that "
    "makes one"
)
_LONGEST = 400
"""Characters of an error that are shown."""
_LISTED = 4
"""How many differences are listed."""


class ContractViolation(Exception):
    """A clause of the contract that a cell does not keep.

    Args:
        expected: what the clause asks for, with numbers and shapes.
        seen: what the cell did instead.
    """

    def __init__(self, expected: str, seen: str):
        super().__init__(f"expected {expected}; saw {seen}")
        self.expected = expected
        self.seen = seen


class CellUnderTest:
    """A source of equal cells: same arguments, same weights, any dtype policy.

    The caller's own instance is never built, called or changed.

    Args:
        source: a cell, a cell class, or a function without arguments that makes one.
            A class is made without arguments, or with `WIDTH` for the one it needs.
        features: shapes of the inputs of one step, see `read_shapes`; by default what
            a built cell was built for.
        constants: shapes of the constants, or None.
        seed: of weights and data.
        width: what a class gets for the one argument it needs.
        what: name of the caller's argument, for errors.

    Raises:
        TypeError: if no cell comes from `source`.
        ValueError: if its `state_size`, `features` or `seed` is invalid.
    """

    def __init__(
        self,
        source: Any,
        features: Any = None,
        seed: int = 0,
        width: int = WIDTH,
        what: str = "`cell_or_class`",
        constants: Any = None,
    ):
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(
                "check_cell: `seed` must be an integer of at least 0. Received: "
                f"seed={seed!r}"
            )
        self.seed = seed
        is_layer = isinstance(source, keras.layers.Layer)
        makes_cells = inspect.isclass(source) or (callable(source) and not is_layer)
        self.original = None if makes_cells else _require_cell(source, what)
        self._factory = _factory(source, width) if makes_cells else None
        example = self.original or self._first_of_factory()
        self.cell_class = type(example)
        self.features = _features(example, features)
        self.constants = _constants(constants)
        self._example = example
        _ = self.sizes  # or raise

    @cached_property
    def sizes(self) -> list[int | StateShape]:
        """What `state_size` says of each state, once a cell is built."""
        known = getattr(self._example, "state_size", None)
        if known is None:
            example = self._example if self._factory else self.copy(self._example)
            self.build(example)
            known = example.state_size
        _require_sizes(self.cell_class, known)
        return keras.tree.flatten(state_size_of(known))

    @cached_property
    def starts_at_random(self) -> bool:
        """Whether equal cells begin with other states at each call."""
        cell = self.cell()
        first, second = (initial_states(self, cell, 3) for _ in range(2))
        return not all(map(np.array_equal, first, second))

    @property
    def width(self) -> int:
        """The width of the first state."""
        size = self.sizes[0]
        return int(size[-1] or 1) if isinstance(size, StateShape) else size

    @cached_property
    def fits_keras(self) -> bool:
        """Whether `keras.layers.RNN`, whose contract is narrower, runs such a cell."""
        cell = self.cell()
        vectors = all(isinstance(size, int) for size in self.sizes)
        sizes = cell.state_size
        listed_only = isinstance(sizes, int | list | tuple)
        one_axis = isinstance(self.features, tuple) and len(self.features) == 1
        one_axis = one_axis and isinstance(self.features[0], int)
        size = getattr(cell, "output_size", None)
        one_output = not keras.tree.is_nested(size) and not hasattr(size, "as_list")
        plain = vectors and listed_only and not hasattr(sizes, "_fields")
        return plain and one_axis and one_output and self.constants is None

    @property
    def layers(self) -> dict[str, Any]:
        """The layers that run such a cell, by name; `keras.layers.RNN` first."""
        ours = {"custom_lstm.RNN": RNN}
        return (
            {"keras.layers.RNN": keras.layers.RNN, **ours} if self.fits_keras else ours
        )

    @property
    def layer(self) -> Any:
        """The first of them."""
        return next(iter(self.layers.values()))

    def build(self, cell: Any) -> None:
        """Build a cell as `custom_lstm.RNN` does."""
        shapes = map_shapes(lambda shape: (None, None, *shape), self.features)
        constants = map_shapes(lambda shape: (None, *shape), self.constants or [])
        if not cell.built:
            RNN(cell).build(shapes, constants_shape=constants or None)
            cell.built = True

    def zero_states(self, cell: Any, batch: int) -> States:
        """Return zeros of the shapes that `state_size` promises, in its structure."""
        if any(isinstance(n, StateShape) and None in n for n in self.sizes):
            return each(ops.zeros_like, listed(initial(cell, batch)))
        return keras.tree.map_structure(
            lambda size: ops.zeros(state_shape(size, batch), cell.compute_dtype),
            listed(state_size_of(cell.state_size)),
        )

    def promised(self, batch: int) -> list[tuple[int | None, ...]]:
        """Return the shapes of the states."""
        return [state_shape(size, batch) for size in self.sizes]

    def step_arguments(self, cell: Any, batch: int) -> dict[str, Any]:
        """Return what a cell's step takes besides inputs and states.

        `training=False` where it has such an argument, as both RNN layers pass it.
        """
        training = accepted(type(cell).call, {"training": False})
        return {**training, **self.of_constants(batch)}

    def of_constants(self, batch: int) -> dict[str, Any]:
        """Return constants as an argument for a step or layer, if there are any."""
        if self.constants is None:
            return {}
        drawn = _draw(self.constants, (batch,), [self.seed, 99])
        return {"constants": each(ops.convert_to_tensor, drawn)}

    def _first_of_factory(self) -> Any:
        assert self._factory is not None
        example = _require_cell(self._factory(), "what the given function returned")
        if self._factory() is example:
            raise ValueError(
                "check_cell needs a new cell from each call of the given function. It "
                f"returned the same {type(example).__name__} twice."
            )
        return example

    def make(self) -> Any:
        """Return a new cell, not built, of the current dtype policy."""
        if self.original is not None:
            return self.copy(self.original)
        assert self._factory is not None
        cell = self._factory()
        same_policy = cell.dtype_policy.name == keras.config.dtype_policy().name
        return cell if same_policy else self.copy(cell)

    def copy(self, cell: Any, **changes: Any) -> Any:
        """Return `from_config(get_config())` of the current dtype policy.

        Args:
            cell: what to copy.
            **changes: entries of the config that are to differ.

        Raises:
            ContractViolation: if that cannot be done.
        """
        try:
            config = {**_with_dtype(cell.get_config()), **changes}
            return type(cell).from_config(config)
        except UNCOPYABLE as error:
            raise ContractViolation(
                f"{type(cell).__name__}.from_config(get_config()) to make a cell",
                in_words(error),
            ) from error

    def cell(self, **changes: Any) -> Any:
        """Return a new cell, built, whose weights look trained: always the same.

        Args:
            **changes: entries of the config that are to differ.
        """
        cell = self.copy(self.make(), **changes) if changes else self.make()
        self.build(cell)
        cell.set_weights(self.weights)
        return cell

    @cached_property
    def weights(self) -> list[np.ndarray]:
        """The weights of every `cell()`: the original's if it is built, or else what
        the initializers gave, moved a little from there.
        """
        if self.original is not None and self.original.built:
            return to_arrays(self.original.weights)
        rng = np.random.default_rng(self.seed)
        with seeded(self.seed), dtype_policy("float32"):
            cell = self.make()
            self.build(cell)
            for weight in cell.trainable_variables:
                step = 0.2 * _scale(to_array(weight)) * rng.normal(size=weight.shape)
                moved = weight + ops.cast(step, weight.dtype)
                constraint = weight.constraint
                weight.assign(constraint(moved) if constraint else moved)
            return to_arrays(cell.weights)

    def inputs(self, batch: int = 3, time: int = 5, draw: int = 0) -> Nest:
        """Draw standard normal `(batch, time, ...)`; another for each `draw`."""
        return _draw(self.features, (batch, time), [self.seed, draw])


def structure_of(cell: Any) -> Any:
    """Return `state_size` as states come: one alone in a list."""
    return listed(state_size_of(cell.state_size))


def initial(cell: Any, batch: int) -> Nest:
    """Return what a cell begins with, in its structure; None if it does not say."""
    method = getattr(cell, "get_initial_state", None)
    return begin(method, batch, str(cell.compute_dtype)) if method else None


def initial_states(subject: CellUnderTest, cell: Any, batch: int) -> list[np.ndarray]:
    """Return what a cell begins with, flat: zeros, if it does not say."""
    states = initial(cell, batch)
    return to_arrays(subject.zero_states(cell, batch) if states is None else states)


def pack(cell: Any, states: Nest) -> States:
    """Return states as tensors, in the structure of `state_size`."""
    flat = [to_tensor(state, cell) for state in keras.tree.flatten(states)]
    return keras.tree.pack_sequence_as(structure_of(cell), flat)


def to_tensor(values: Any, cell: Any) -> Tensor:
    """Return real numbers as a tensor of the cell's compute dtype, others as one."""
    tensor = ops.convert_to_tensor(values)
    real = "float" in keras.backend.standardize_dtype(tensor.dtype)
    return ops.cast(tensor, cell.compute_dtype) if real else tensor


def is_real(array: Any) -> bool:
    """Return whether an array holds floating-point numbers."""
    return "float" in keras.backend.standardize_dtype(array.dtype)


def to_array(values: Tensor) -> np.ndarray:
    """Return a tensor as NumPy; what NumPy has no type for, as float32."""
    if keras.backend.standardize_dtype(values.dtype) == "bfloat16":
        values = ops.cast(values, "float32")
    return ops.convert_to_numpy(values)


def to_arrays(tensors: Nest) -> list[np.ndarray]:
    """Return tensors or variables as NumPy, flat."""
    return [to_array(tensor) for tensor in keras.tree.flatten(tensors)]


Pair = tuple[str, Any, Any]
"""What it is, what came, what was expected."""


def require_close(
    clause: str, pairs: Iterable[Pair], rtol: float = RTOL, atol: float = ATOL
) -> str:
    """Return how close arrays are, or raise a ContractViolation that says where not.

    `clause` says what makes them equal.

    Example:
        >>> require_close("halves add up", [("sum", np.array([1.0]), np.array([1.0]))])
        'largest difference 0.0e+00'
    """
    largest, apart = 0.0, []
    for name, actual, expected in pairs:
        if actual.shape != expected.shape:
            apart.append(f"{name} of shape {actual.shape}, not {expected.shape}")
            continue
        difference = np.abs(np.float64(actual) - np.float64(expected))
        largest = max(largest, float(np.max(difference, initial=0.0)))
        if not np.all(difference <= atol + rtol * np.abs(expected)):
            apart.append(_worst(name, actual, expected, difference))
    if len(apart) > _LISTED:
        apart[_LISTED:] = [f"and {len(apart) - _LISTED} more"]
    if apart:
        raise ContractViolation(
            f"{clause} (rtol {rtol:g}, atol {atol:g})", "\n".join(apart)
        )
    return f"largest difference {largest:.1e}"


def _worst(name: str, actual: Any, expected: Any, difference: Any) -> str:
    finite = np.where(np.isnan(difference), np.inf, difference)
    if not finite.ndim:
        return f"{name}: {actual:.6g} instead of {expected:.6g}"
    where = np.unravel_index(np.argmax(finite), finite.shape)
    place = [int(index) for index in where]
    return (
        f"{name} {actual.shape}: {actual[where]:.6g} instead of {expected[where]:.6g} "
        f"at {place}, where they differ most"
    )


def shapes(tensors: Iterable[Any]) -> str:
    """Return the shapes of `tensors`, in words.

    Example:
        >>> shapes([np.zeros((3, 4)), np.zeros((3, 2))]), shapes([]), shapes([None])
        ('(3, 4), (3, 2)', 'nothing', 'NoneType')
    """
    words = (
        str(tuple(t.shape)) if hasattr(t, "shape") else type(t).__name__
        for t in tensors
    )
    return ", ".join(words) or "nothing"


@contextlib.contextmanager
def during(what: str) -> Iterator[None]:
    """Add what was being done to errors of the body."""
    try:
        yield
    except ContractViolation as violation:
        raise ContractViolation(
            violation.expected, f"{what}: {violation.seen}"
        ) from violation
    except Exception as error:
        error.add_note(what)
        raise


def in_words(error: BaseException) -> str:
    """Return an error's notes, class and text, without what Keras adds to it."""
    notes = getattr(error, "__notes__", [])
    return ": ".join(
        [*reversed(notes), type(error).__name__, without_frames(str(error))]
    )


def without_frames(text: str) -> str:
    """Return an error's text without what Keras and TensorFlow put around it.

    Example:
        >>> without_frames("Exception encountered when calling MyCell.call().\\n\\nNo."
        ...     "\\n\\nArguments received by MyCell.call():\\n  • x=1")
        'No.'
    """
    text = re.sub(r"\x1b\[\d*m|\{\{.*?\}\}", "", text)
    text = " ".join(text.split())
    text = text.partition("Arguments received by")[0].strip()
    text = text.rpartition("Error encountered: ")[2]
    text = re.sub(r"Exception encountered when calling \S+\. ?", "", text)
    text = text.rpartition("Exception encountered: ")[2]
    text = text.partition(" Example: class CustomLayer")[0]
    return f"{text[:_LONGEST]} …" if len(text) > _LONGEST else text


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's `random`, from which Keras draws its seeds; restore it after."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def finest_dtype() -> str:
    """Return the finest dtype that `keras.ops` computes in on this backend.

    On JAX and PyTorch, Keras 3.15 brings most results back to float32, also in layers
    whose dtype is float64.
    """
    return "float64" if keras.backend.backend() == "tensorflow" else "float32"


@contextlib.contextmanager
def dtype_policy(policy: str) -> Iterator[None]:
    """Give new layers this dtype policy within the body; restore the old one after.

    With `"float64"`, tensors without a dtype of their own are made in it too.
    """
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float64" if policy == "float64" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def _scale(weight: np.ndarray) -> float:
    """Return the size of a weight of one sign, such as a time constant; at most 1."""
    one_sign = weight.size and (np.all(weight > 0) or np.all(weight < 0))
    return min(1.0, float(np.mean(np.abs(weight)))) if one_sign else 1.0


def _require_cell(candidate: Any, what: str) -> Any:
    if isinstance(candidate, keras.layers.RNN | keras.layers.Bidirectional):
        raise TypeError(
            f"check_cell: {what} is the layer {type(candidate).__name__}, which runs a "
            "cell over whole sequences. Give the cell: `layer.cell`."
        )
    is_layer = isinstance(candidate, keras.layers.Layer)
    if not is_layer or "state_size" not in dir(candidate):
        raise TypeError(f"check_cell: {what} must be {_KINDS}. Received: {candidate!r}")
    return candidate


def _require_sizes(cls: type, sizes: Any) -> None:
    try:
        state_size_of(sizes)
    except ValueError as error:
        raise ValueError(
            f"check_cell: `state_size` of {cls.__name__} must be a positive integer, a "
            "StateShape, or a nest of them, one per state. Received: "
            f"state_size={sizes!r}"
        ) from error


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


def _features(example: Any, features: Any) -> Nest:
    if features is not None:
        shapes = read_shapes("features", features)
        # A layer takes a list for [inputs, *states].
        return tuple(shapes) if isinstance(shapes, list) else shapes
    config = example.get_build_config() if example.built else None
    shapes = (config or {}).get("input_shape")
    return map_shapes(lambda shape: shape[1:], shapes) if shapes else (FEATURES,)


def _constants(constants: Any) -> Nest:
    if constants is None or isinstance(constants, dict | list):
        return constants and read_shapes("constants", constants)
    return [read_shapes("constants", constants)]


def _with_dtype(config: Any) -> Any:
    """Return a config, with those within, of the current dtype policy."""
    if isinstance(config, dict):
        policy = keras.config.dtype_policy().name
        return {
            key: policy if key == "dtype" and value is not None else _with_dtype(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_with_dtype(value) for value in config)
    return config
