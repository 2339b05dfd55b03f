"""Names for the types of arguments, which Keras itself leaves open.

A tensor is whatever the backend computes with (`tf.Tensor`, `jax.Array`,
`torch.Tensor`) or Keras traces (`keras.KerasTensor`); no class is common to them, so
these names tell a reader, and not the type checker, what an argument is.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy.typing as npt

Tensor: TypeAlias = Any
"""A tensor of the backend, a symbolic `keras.KerasTensor`, or an array."""
ArrayLike: TypeAlias = npt.ArrayLike
"""What NumPy makes an array of."""
Nest: TypeAlias = Any
"""A tensor, or lists, tuples and dicts of nests."""
States: TypeAlias = list[Tensor]
"""The states of a cell in the order of its `state_size`, `(batch, ...)` each."""
Shape: TypeAlias = Sequence[int | None]
"""Lengths of a tensor's axes; None where one is open."""
BatchSize: TypeAlias = Any
"""A number of sequences: an integer, or a tensor of one where run time tells it."""
DType: TypeAlias = str
"""Name of a dtype, such as `"float32"`."""
Activation: TypeAlias = Callable[[Tensor], Tensor]
"""A function of one tensor that keeps its shape."""
ActivationLike: TypeAlias = str | Activation | dict[str, Any] | None
"""What `keras.activations.get` takes."""
InitializerLike: TypeAlias = str | keras.initializers.Initializer | dict[str, Any]
"""What `keras.initializers.get` takes."""
RegularizerLike: TypeAlias = (
    str | keras.regularizers.Regularizer | dict[str, Any] | None
)
"""What `keras.regularizers.get` takes."""
ConstraintLike: TypeAlias = str | keras.constraints.Constraint | dict[str, Any] | None
"""What `keras.constraints.get` takes."""
Config: TypeAlias = dict[str, Any]
"""The entries of `get_config`, in JSON's types or serialised objects."""
