"""What the conversions share: arrays of a cell, reading them, checking them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Weights = list[np.ndarray]
"""What `get_weights` of a Keras layer returns."""

GATES = {"LSTM": "ifgo", "GRU": "zrg", "SimpleRNN": "g"}
"""By kind: the gates in the order of Keras's kernels, g being the candidate."""
KINDS = {len(gates): kind for kind, gates in GATES.items()}
"""By number of gates."""


@dataclass(frozen=True, eq=False)
class CellWeights:
    """The arrays of one direction of one Keras layer, and what is known beyond them.

    `reset_after` is None where nothing tells it: a GRU from arrays alone, unless its
    bias has two rows. `activations` are names by argument; empty from arrays alone.
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray | None = None
    projection: np.ndarray | None = None
    peephole: np.ndarray | None = None
    reset_after: bool | None = None
    activations: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Width of h."""
        return self.recurrent_kernel.shape[0]

    @property
    def units(self) -> int:
        """Width of each gate."""
        return self.outputs if self.projection is None else self.projection.shape[0]

    @property
    def features(self) -> int:
        """Width of the inputs."""
        return self.kernel.shape[0]

    @property
    def gates(self) -> int:
        """4 of an LSTM, 3 of a GRU, 1 of a simple network."""
        return self.recurrent_kernel.shape[1] // self.units

    @property
    def kind(self) -> str:
        """LSTM, GRU or SimpleRNN."""
        return KINDS[self.gates]

    def as_list(self) -> Weights:
        """Return the form that `set_weights` takes."""
        arrays = (self.kernel, self.recurrent_kernel, self.bias)
        more = (self.projection, self.peephole)
        return [array for array in (*arrays, *more) if array is not None]


def as_array(value: Any) -> np.ndarray:
    """Return a NumPy array of what may be a tensor of torch, JAX or TensorFlow.

    NumPy has none of the narrow types of other libraries, such as bfloat16: these
    become float32, which holds each of their numbers exactly.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        try:
            return np.asarray(value.numpy())
        except TypeError:
            value = value.float().numpy()
    array = np.asarray(value)
    narrow = array.dtype.kind == "V" and array.dtype.names is None
    return array.astype("float32") if narrow else array


def reorder(array: np.ndarray, order: Sequence[int], axis: int = -1) -> np.ndarray:
    """Return a copy whose k-th equal block along `axis` is block `order[k]`.

    Example:
        >>> reorder(np.arange(6), (1, 0, 2))
        array([2, 3, 0, 1, 4, 5])
    """
    blocks = np.split(array, len(order), axis=axis)
    return np.concatenate([blocks[k] for k in order], axis=axis)


def shift_forget(cell: CellWeights, amount: float) -> np.ndarray | None:
    """Return a copy of an LSTM's bias with `amount` added to the forget gate's part.

    A bias of whole numbers takes the kernel's type, or float64 if that has them too.
    """
    if cell.bias is None or cell.kind != "LSTM":
        return cell.bias
    dtype = cell.bias.dtype
    for candidate in (cell.kernel.dtype, np.dtype("float64")):
        dtype = candidate if dtype.kind in "biu" else dtype
    bias = cell.bias.astype(dtype)
    bias[cell.units : 2 * cell.units] += amount
    return bias


def check_names(
    what: str, expected: Collection[str], received: Collection[str], note: str = ""
) -> None:
    """Raise a `ValueError` that lists what is missing or unexpected, if anything is.

    Args:
        what: what holds the names.
        expected: the names that it must hold, and no others.
        received: those that it holds.
        note: what else may help; ends the message.
    """
    missing = [name for name in expected if name not in received]
    unexpected = [name for name in received if name not in expected]
    if missing or unexpected:
        raise ValueError(
            f"{what} must hold {listed(expected)}. Missing: {listed(missing)}. "
            f"Unexpected: {listed(unexpected)}{note}"
        )


def listed(names: Collection[str]) -> str:
    """Return up to 12 of the names, and how many more there are."""
    first = ", ".join(list(names)[:12]) or "nothing"
    return first + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def check_shapes(
    what: str, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise a `ValueError` that names the first array of another shape."""
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"{what}: `{name}` must have shape {shape}. "
                f"Received shape: {arrays[name].shape}"
            )
