"""What every check of a cell works with: copies of the cell, runs of it, comparison."""

import contextlib
import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from custom_lstm.typing import Nest, States, Tensor

WIDTH = 4
"""What a class that needs one argument is given for it."""
FEATURES = 3
"""How wide the inputs are, unless a built cell or the caller says."""
RTOL, ATOL = 1e-4, 1e-5
"""How far two ways to the same float32 result may differ."""

_UNCOPYABLE = (AttributeError, KeyError, TypeError, ValueError, NotImplementedError)
"""What a wrong `get_config` leads to; the last is Keras's, where there is none."""
_KINDS = (
    "a recurrent cell: a keras.layers.Layer with call(inputs, states) and "
    "`state_size`. Give an instance, its class, or a function without arguments that "
    "makes one"
)
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
        features: width of the inputs; by default what a built cell was built for.
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
        features: int | None = None,
        seed: int = 0,
        width: int = WIDTH,
        what: str = "`cell_or_class`",
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
        self.widths = keras.tree.flatten(example.state_size)

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
        except _UNCOPYABLE as error:
            raise ContractViolation(
                f"{type(cell).__name__}.from_config(get_config()) to make a cell",
                f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}",
            ) from error

    def cell(self, **changes: Any) -> Any:
        """Return a new cell, built, whose weights look trained: always the same.

        Args:
            **changes: entries of the config that are to differ.
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
            return to_arrays(self.original.weights)
        rng = np.random.default_rng(self.seed)
        with seeded(self.seed), dtype_policy("float32"):
            cell = self.make()
            build(cell, self.features)
            for weight in cell.trainable_variables:
                step = 0.2 * rng.normal(size=weight.shape)
                moved = weight + ops.cast(step, weight.dtype)
                constraint = weight.constraint
                weight.assign(constraint(moved) if constraint else moved)
            return to_arrays(cell.weights)

    def inputs(self, batch: int = 3, time: int = 5, draw: int = 0) -> np.ndarray:
        """Draw standard normal `(batch, time, features)`; another for each `draw`."""
        rng = np.random.default_rng([self.seed, draw])
        return rng.normal(size=(batch, time, self.features)).astype("float32")


def build(cell: Any, features: int) -> None:
    """Build a cell as `keras.layers.RNN` does; sub-layers, by one step."""
    if type(cell).build is keras.layers.Layer.build:
        step = ops.zeros((1, features), cell.compute_dtype)
        cell(step, zero_states(cell, 1))
    elif not cell.built:
        cell.build((None, features))
        cell.built = True


def structure_of(cell: Any) -> list[Any]:
    """Return `state_size` as a (nested) list, as states come."""
    sizes = cell.state_size
    return list(sizes) if keras.tree.is_nested(sizes) else [sizes]


def zero_states(cell: Any, batch: int) -> States:
    """Return zeros of the shapes that `state_size` promises, in its structure."""
    return keras.tree.map_structure(
        lambda width: ops.zeros((batch, width), cell.compute_dtype), structure_of(cell)
    )


def initial_states(cell: Any, batch: int) -> list[np.ndarray]:
    """Return what a cell begins with, flat: zeros, if it does not say."""
    begin = getattr(cell, "get_initial_state", None)
    states = begin(batch_size=batch) if begin else zero_states(cell, batch)
    return to_arrays(states)


def pack(cell: Any, states: Nest) -> States:
    """Return states as tensors, in the structure of `state_size`."""
    flat = [to_tensor(state, cell) for state in keras.tree.flatten(states)]
    return keras.tree.pack_sequence_as(structure_of(cell), flat)


def to_tensor(values: Any, cell: Any) -> Tensor:
    """Return `values` as a tensor of the cell's compute dtype."""
    return ops.cast(ops.convert_to_tensor(values), cell.compute_dtype)


def to_array(values: Tensor) -> np.ndarray:
    """Return a tensor as NumPy; what NumPy has no type for, as float32."""
    if keras.backend.standardize_dtype(values.dtype) == "bfloat16":
        values = ops.cast(values, "float32")
    return ops.convert_to_numpy(values)


def to_arrays(tensors: Nest) -> list[np.ndarray]:
    """Return tensors or variables as NumPy, flat."""
    return [to_array(tensor) for tensor in keras.tree.flatten(tensors)]


class Run(NamedTuple):
    """Outputs of all steps `(batch, time, width)`, and the last states, as NumPy."""

    outputs: np.ndarray
    states: list[np.ndarray]

    def pairs(self, expected: "Run") -> list["Pair"]:
        """Pair this run with another, piece by piece."""
        if len(self.states) != len(expected.states):
            raise ContractViolation(
                f"{len(expected.states)} states", f"{len(self.states)} states"
            )
        states = zip(self.states, expected.states, strict=True)
        return [
            ("outputs", self.outputs, expected.outputs),
            *(
                (f"state {k}", actual, other)
                for k, (actual, other) in enumerate(states)
            ),
        ]


class Step(NamedTuple):
    """What one step returned: the output, and the new states as a flat list."""

    output: Tensor
    states: list[Tensor]


def run_step(cell: Any, inputs: Any, states: Nest) -> Step:
    """Run one step by `call` itself, without the checks of `__call__`.

    Raises:
        ContractViolation: if it does not return a pair of one tensor and states.
    """
    result = cell.call(to_tensor(inputs, cell), pack(cell, states))
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ContractViolation(
            "a pair (output, new_states)", shapes(keras.tree.flatten(result))
        )
    output, new_states = result
    if keras.tree.is_nested(output):
        raise ContractViolation(
            "one tensor as output", shapes(keras.tree.flatten(output))
        )
    return Step(output, keras.tree.flatten(new_states))


def run_stepwise(cell: Any, inputs: np.ndarray) -> Run:
    """Run a cell over whole sequences, one call after the other, in Python."""
    states, outputs = initial_states(cell, inputs.shape[0]), []
    for x in inputs.swapaxes(0, 1):
        output, states = cell(to_tensor(x, cell), pack(cell, states))
        outputs.append(to_array(output))
    return Run(np.stack(outputs, axis=1), to_arrays(states))


def run(
    cell: Any,
    inputs: np.ndarray,
    layer: Any = keras.layers.RNN,
    states: Sequence[Any] | None = None,
    mask: Any = None,
    training: bool = False,
    unroll: bool = True,
    **options: Any,
) -> Run:
    """Run a cell over whole sequences `(batch, time, features)`, in a layer.

    `states` are flat; `options` are other arguments of the layer. Unrolling is quicker
    for few steps.
    """
    options |= {"return_sequences": True, "return_state": True, "unroll": unroll}
    rnn = layer(cell, **options)
    return run_layer(rnn, inputs, states=states, mask=mask, training=training)


def run_layer(
    rnn: Any,
    inputs: np.ndarray,
    states: Sequence[Any] | None = None,
    mask: Any = None,
    training: bool = False,
) -> Run:
    """Run a layer that returns sequences and states."""
    outputs, *last = rnn(
        ops.convert_to_tensor(inputs),
        initial_state=None if states is None else pack(rnn.cell, states),
        mask=None if mask is None else ops.convert_to_tensor(mask, "bool"),
        training=training,
    )
    return Run(to_array(outputs), to_arrays(last))


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


Scalar = Callable[[list[Tensor]], Tensor]
"""A function of a list of tensors that returns a scalar tensor."""


def automatic_gradients(
    function: Scalar, arrays: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return derivatives of a scalar function of tensors, by the backend itself.

    One array for each of `arrays`; zeros where nothing connects it to the result.

    Example:
        >>> x = np.array([1.0, 3.0], dtype="float32")
        >>> automatic_gradients(lambda tensors: ops.sum(tensors[0] ** 2), [x])
        [array([2., 6.], dtype=float32)]
    """
    tensors = [ops.convert_to_tensor(array, dtype=array.dtype) for array in arrays]
    by_backend = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    found = by_backend[keras.backend.backend()](function, tensors)
    return [
        np.zeros_like(array) if gradient is None else ops.convert_to_numpy(gradient)
        for array, gradient in zip(arrays, found, strict=True)
    ]


def _tensorflow(function: Scalar, tensors: list[Tensor]) -> Sequence[Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return tape.gradient(value, tensors)


def _jax(function: Scalar, tensors: list[Tensor]) -> Sequence[Any]:
    import jax

    return jax.grad(function)(tensors)


def _torch(function: Scalar, tensors: list[Tensor]) -> Sequence[Any]:
    import torch

    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value = function(leaves)
    if not value.requires_grad:
        return [None] * len(leaves)
    return torch.autograd.grad(value, leaves, allow_unused=True)


def _require_cell(candidate: Any, what: str) -> Any:
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


def _features(example: Any, features: int | None) -> int:
    if features is not None:
        if isinstance(features, bool) or not isinstance(features, int) or features < 1:
            raise ValueError(
                "check_cell: `features` must be a positive integer, the width of the "
                f"inputs. Received: features={features!r}"
            )
        return features
    config = example.get_build_config() if example.built else None
    shape = (config or {}).get("input_shape")
    return int(shape[-1]) if shape else FEATURES


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
