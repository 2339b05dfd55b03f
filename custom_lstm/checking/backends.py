"""What `keras.ops` has no word for: precision for a while, and gradients."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Scalar = Callable[[list[Any]], Any]
"""A function of a list of tensors that returns a scalar tensor."""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Python's `random`, whence Keras draws its seeds; restores it after.

    Example:

    >>> with seeded(1):
    ...     first = random.random()
    >>> with seeded(1):
    ...     first == random.random()
    True
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def finest() -> str:
    """The finest dtype that `keras.ops` computes in on this backend.

    On JAX and PyTorch, Keras 3.15 brings most results back to float32, also in layers
    whose dtype is float64.

    Example:

    >>> finest() in ("float64", "float32")
    True
    """
    return "float64" if keras.backend.backend() == "tensorflow" else "float32"


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers made while it lasts have this dtype policy; the old one comes back.

    With `"float64"`, tensors without a dtype of their own are made in it too.

    Args:
        policy: `"float32"`, `"float64"` or `"mixed_bfloat16"`.

    Example:

    >>> with precision("float64"):
    ...     keras.layers.Dense(1).compute_dtype
    'float64'
    """
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float64" if policy == "float64" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def gradients(function: Scalar, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Derivatives of a scalar function by the backend's automatic differentiation.

    Args:
        function: takes the list of tensors, returns a scalar tensor.
        arrays: where to differentiate.

    Returns:
        One array for each of `arrays`; zeros where nothing connects it to the result.

    Example:

    >>> x = np.array([1.0, 3.0], dtype="float32")
    >>> gradients(lambda tensors: ops.sum(tensors[0] ** 2), [x])
    [array([2., 6.], dtype=float32)]
    """
    tensors = [ops.convert_to_tensor(array, dtype=array.dtype) for array in arrays]
    by_backend = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    found = by_backend[keras.backend.backend()](function, tensors)
    return [
        np.zeros_like(array) if gradient is None else ops.convert_to_numpy(gradient)
        for array, gradient in zip(arrays, found, strict=True)
    ]


def _tensorflow(function: Scalar, tensors: list[Any]) -> Sequence[Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return tape.gradient(value, tensors)


def _jax(function: Scalar, tensors: list[Any]) -> Sequence[Any]:
    import jax

    return jax.grad(function)(tensors)


def _torch(function: Scalar, tensors: list[Any]) -> Sequence[Any]:
    import torch

    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value = function(leaves)
    if not value.requires_grad:
        return [None] * len(leaves)
    return torch.autograd.grad(value, leaves, allow_unused=True)
