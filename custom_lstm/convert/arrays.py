"""What the conversions share: reading arrays, checking them, putting gates in order."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Weights = list[np.ndarray]
"""What `get_weights` of a Keras layer returns."""


class CellWeights(NamedTuple):
    """The arrays of one direction of one Keras layer."""

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray | None

    @property
    def units(self) -> int:
        """Width of h."""
        return self.recurrent_kernel.shape[0]

    @property
    def features(self) -> int:
        """Width of the inputs."""
        return self.kernel.shape[0]

    @property
    def gates(self) -> int:
        """4 of an LSTM, 3 of a GRU, 1 of a simple network."""
        return self.recurrent_kernel.shape[1] // self.units

    def as_list(self) -> Weights:
        """Return the form that `set_weights` takes."""
        return [array for array in self if array is not None]


def as_array(value: Any) -> np.ndarray:
    """Return a NumPy array of what may be a tensor of torch, JAX or TensorFlow."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def reorder(array: np.ndarray, order: Sequence[int], axis: int = -1) -> np.ndarray:
    """Return a copy whose k-th equal block along `axis` is block `order[k]`.

    Example:
        >>> reorder(np.arange(6), (1, 0, 2))
        array([2, 3, 0, 1, 4, 5])
    """
    blocks = np.split(array, len(order), axis=axis)
    return np.concatenate([blocks[k] for k in order], axis=axis)


def check_names(
    what: str, expected: Collection[str], received: Collection[str]
) -> None:
    """Raise a `ValueError` that lists what is missing or unexpected, if anything is."""
    missing = [name for name in expected if name not in received]
    unexpected = [name for name in received if name not in expected]
    if missing or unexpected:
        raise ValueError(
            f"{what} must hold {_listed(expected)}. Missing: {_listed(missing)}. "
            f"Unexpected: {_listed(unexpected)}"
        )


def _listed(names: Collection[str]) -> str:
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


def read_layer(what: str, weights: Any) -> list[CellWeights]:
    """Return the directions of a Keras layer, one or two, from its `get_weights()`.

    Args:
        what: the layer, for errors.
        weights: a list of 2 or 3 arrays (without and with bias), or of 4 or 6 if it
            is bidirectional.

    Raises:
        ValueError: if they are not those of an LSTM, GRU or SimpleRNN.
    """
    if not isinstance(weights, list | tuple) or len(weights) not in (2, 3, 4, 6):
        count = len(weights) if isinstance(weights, list | tuple) else type(weights)
        raise ValueError(
            f"{what} must be a list of weights as `get_weights()` of an LSTM, GRU or "
            "SimpleRNN returns it: [kernel, recurrent_kernel, bias], or the first two "
            f"without a bias; twice that of a Bidirectional. Received: {count}"
        )
    size = len(weights) // (2 if len(weights) > 3 else 1)
    arrays = [as_array(array) for array in weights]
    directions = [arrays[k : k + size] for k in range(0, len(arrays), size)]
    return [_read_cell(what, *direction) for direction in directions]


def _read_cell(
    what: str,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
) -> CellWeights:
    shape = recurrent_kernel.shape
    if (
        len(shape) != 2
        or shape[0] == 0
        or shape[1] not in (n * shape[0] for n in (1, 3, 4))
    ):
        raise ValueError(
            f"{what}: `recurrent_kernel` must have shape (units, 4·units) in an LSTM, "
            "(units, 3·units) in a GRU, (units, units) in a SimpleRNN. "
            f"Received shape: {shape}"
        )
    width = shape[1]
    features = kernel.shape[0] if kernel.ndim else 0
    check_shapes(what, {"kernel": kernel}, {"kernel": (features, width)})
    if bias is not None and not (width == 3 * shape[0] and bias.shape == (2, width)):
        check_shapes(what, {"bias": bias}, {"bias": (width,)})
    return CellWeights(kernel, recurrent_kernel, bias)


def read_lstm(what: str, weights: Any) -> CellWeights:
    """Return the arrays of one direction of an LSTM, with zeros for a missing bias.

    Raises:
        ValueError: if it is something else.
    """
    cells = read_layer(what, weights)
    if len(cells) > 1 or cells[0].gates != 4:
        shapes = [as_array(array).shape for array in weights]
        raise ValueError(
            f"{what} must be those of one LSTM in one direction: kernel (features, "
            f"4·units), recurrent_kernel (units, 4·units), bias (4·units,). "
            f"Received shapes: {shapes}"
        )
    (cell,) = cells
    if cell.bias is None:
        cell = cell._replace(bias=np.zeros_like(cell.kernel, shape=4 * cell.units))
    return cell
