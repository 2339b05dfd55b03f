"""Runs of a cell under test: steps, whole sequences, and their gradients."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.validation import fits, output_size_of, state_shape
from custom_lstm.checking.harness import (
    CellUnderTest,
    ContractViolation,
    Pair,
    initial_states,
    pack,
    shapes,
    to_arrays,
    to_tensor,
)
from custom_lstm.checking.inputs import each, map_shapes
from custom_lstm.typing import Nest, Tensor


class Run(NamedTuple):
    """Outputs of all steps `(batch, time, ...)`, and the last states, as flat lists."""

    outputs: list[np.ndarray]
    states: list[np.ndarray]

    def pairs(self, expected: "Run") -> list["Pair"]:
        """Pair this run with another, piece by piece."""
        found: list[Pair] = []
        for name, own, other in (
            ("output", self.outputs, expected.outputs),
            ("state", self.states, expected.states),
        ):
            if len(own) != len(other):
                raise ContractViolation(f"{len(other)} {name}s", f"{len(own)} {name}s")
            single = name == "output" and len(own) == 1
            found += [
                ("outputs" if single else f"{name} {k}", a, b)
                for k, (a, b) in enumerate(zip(own, other, strict=True))
            ]
        return found

    def row(self, index: int) -> "Run":
        """Return what belongs to one sequence."""
        return Run(*([array[index] for array in arrays] for arrays in self))


class Step(NamedTuple):
    """What one step returned: the outputs, and the new states, as flat lists."""

    output: list[Tensor]
    states: list[Tensor]


def run_step(subject: CellUnderTest, cell: Any, inputs: Nest, states: Nest) -> Step:
    """Run one step by `call` itself, without the checks of `__call__`.

    Raises:
        ContractViolation: if it does not return a pair of output and states.
    """
    x = each(lambda values: to_tensor(values, cell), inputs)
    batch = keras.tree.flatten(x)[0].shape[0]
    result = cell.call(x, pack(cell, states), **subject.step_arguments(cell, batch))
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ContractViolation(
            "a pair (output, new_states)", shapes(keras.tree.flatten(result))
        )
    return Step(*map(keras.tree.flatten, result))


def run_stepwise(subject: CellUnderTest, cell: Any, inputs: Nest) -> Run:
    """Run a cell over whole sequences, one call after the other, in Python."""
    batch, time = keras.tree.flatten(inputs)[0].shape[:2]
    states, made = initial_states(subject, cell, batch), []
    others = subject.step_arguments(cell, batch)
    for t in range(time):
        x = each(lambda array, t=t: to_tensor(array[:, t], cell), inputs)
        output, states = cell(x, pack(cell, states), **others)
        made.append(to_arrays(output))
    outputs = [np.stack(column, axis=1) for column in zip(*made, strict=True)]
    return Run(outputs, to_arrays(states))


def run(
    subject: CellUnderTest,
    cell: Any,
    inputs: Nest,
    layer: Any = None,
    states: Sequence[Any] | None = None,
    mask: Any = None,
    training: bool = False,
    unroll: bool = True,
    **options: Any,
) -> Run:
    """Run a cell over whole sequences `(batch, time, ...)`, in a layer.

    `states` are flat; `options` are other arguments of the layer. Unrolling is quicker
    for few steps.
    """
    options |= {"return_sequences": True, "return_state": True, "unroll": unroll}
    rnn = (layer or subject.layer)(cell, **options)
    return run_layer(subject, rnn, inputs, states=states, mask=mask, training=training)


def run_layer(
    subject: CellUnderTest,
    rnn: Any,
    inputs: Nest,
    states: Sequence[Any] | None = None,
    mask: Any = None,
    training: bool = False,
) -> Run:
    """Run a layer that returns sequences and states."""
    outputs, *last = rnn(
        each(ops.convert_to_tensor, inputs),
        initial_state=None if states is None else pack(rnn.cell, states),
        mask=None if mask is None else ops.convert_to_tensor(mask, "bool"),
        training=training,
        **subject.of_constants(keras.tree.flatten(inputs)[0].shape[0]),
    )
    return Run(to_arrays(outputs), to_arrays(last))


def output_shapes(cell: Any, sizes: Sequence[Any], batch: int) -> list[tuple[Any, ...]]:
    """Return the shapes that a cell promises for its outputs, flat."""
    size = getattr(cell, "output_size", None)
    promised = [sizes[0]] if size is None else keras.tree.flatten(output_size_of(size))
    return [state_shape(n, batch) for n in promised]


def all_fit(tensors: Iterable[Any], promised: Sequence[Any]) -> bool:
    """Return whether tensors have the shapes promised, where these are known."""
    found = [tuple(getattr(tensor, "shape", ())) for tensor in tensors]
    return len(found) == len(promised) and all(map(fits, found, promised))


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


def symbols(subject: CellUnderTest) -> tuple[Nest, dict[str, Nest]]:
    """Return symbolic inputs of unknown batch and time, and symbolic constants."""
    inputs = map_shapes(lambda shape: keras.Input((None, *shape)), subject.features)
    if subject.constants is None:
        return inputs, {}
    return inputs, {"constants": map_shapes(keras.Input, subject.constants)}


def flat_data(subject: CellUnderTest, x: Nest) -> list[Any]:
    """Return inputs and constants, as a model of `symbols` takes them."""
    batch = keras.tree.flatten(x)[0].shape[0]
    flat = keras.tree.flatten([x, subject.of_constants(batch)])
    return [ops.convert_to_tensor(array) for array in flat]
