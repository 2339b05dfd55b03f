"""Weights in the flat buffer of cuDNN, which `CudnnLSTM` of TensorFlow 1 has too."""

from math import prod
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import GATES, Weights, as_array
from custom_lstm.convert.pytorch import from_torch, to_torch


def from_cudnn(
    buffer: Any,
    features: int,
    units: int,
    kind: str = "LSTM",
    num_layers: int = 1,
    bidirectional: bool = False,
    use_bias: bool = True,
) -> list[Weights]:
    """Return Keras weights from a flat buffer in cuDNN's canonical order.

    First come the matrices of all layers: of each layer, forwards and then backwards,
    those of x, one for each gate, `(units, features)` row by row, and then those of h.
    Then come, in the same order of layers and gates, the biases: of x, and of h. Gates
    are i, f, g, o of an LSTM and r, z, g of a GRU, whose equations are Keras's with
    `reset_after=True`.

    A buffer does not tell its sizes; cuDNN may also align its parts, and then it is
    longer than they are, and refused. Of one layer, this was checked against what
    Keras gives to cuDNN; of several, against the order as described here alone.

    Args:
        buffer: the numbers, of any shape: `opaque_kernel` of `CudnnLSTM`.
        features: width of the inputs.
        units: width of h.
        kind: "LSTM", "GRU" or "SimpleRNN".
        num_layers: stacked layers.
        bidirectional: whether each runs both ways.
        use_bias: whether it has biases.

    Returns:
        One list of weights per layer, as `from_torch`.

    Raises:
        ValueError: if these sizes need another number of numbers.

    Example:
        >>> buffer = np.arange(8 * 3 + 8 * 2 + 2 * 8)
        >>> [weights] = from_cudnn(buffer, features=3, units=2)
        >>> weights[0].shape, weights[0][:, 0]
        ((3, 8), array([0, 1, 2]))
    """
    if kind not in GATES:
        raise ValueError(f"`kind` must be one of {tuple(GATES)}. Received: {kind!r}")
    if min(features, units, num_layers) < 1:
        raise ValueError(
            "`features`, `units` and `num_layers` must be at least 1. "
            f"Received: {features}, {units}, {num_layers}"
        )
    shapes = _shapes(
        features, units, len(GATES[kind]), num_layers, bidirectional, use_bias
    )
    numbers = as_array(buffer).ravel()
    sizes = [prod(shape) for shape in shapes.values()]
    if numbers.size != sum(sizes):
        raise ValueError(
            f"`buffer` must hold {sum(sizes)} numbers with features={features}, "
            f"units={units}, kind={kind!r}, num_layers={num_layers}, "
            f"bidirectional={bidirectional}, use_bias={use_bias}. "
            f"Received: {numbers.size}"
        )
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return from_torch(
        {
            name: part.reshape(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
    )


def to_cudnn(layers: Any, reset_after: bool | None = None) -> np.ndarray:
    """Return a flat buffer in cuDNN's canonical order from Keras layers.

    Args:
        layers: as `to_torch` takes them.
        reset_after: as `to_torch` takes it.

    Returns:
        The numbers, one after the other, as `from_cudnn` takes them.

    Raises:
        ValueError: as `to_torch`; and if a layer has a projection.

    Example:
        >>> to_cudnn([[np.ones((1, 4)), np.zeros((1, 4)), np.full(4, 2.0)]])
        array([1., 1., 1., 1., 0., 0., 0., 0., 2., 2., 2., 2., 0., 0., 0., 0.])
    """
    arrays = to_torch(layers, reset_after=reset_after)
    if any(name.startswith("weight_hr") for name in arrays):
        raise ValueError(
            "`layers`: a projection has no place of its own in the canonical order"
        )
    ordered = sorted(arrays, key=lambda name: name.startswith("bias"))
    return np.concatenate([arrays[name].ravel() for name in ordered])


def _shapes(
    features: int, units: int, gates: int, layers: int, both_ways: bool, biases: bool
) -> dict[str, tuple[int, ...]]:
    """Return torch's names and shapes in the order of the buffer."""
    ways = ("", "_reverse") if both_ways else ("",)
    suffixes = [f"_l{layer}{way}" for layer in range(layers) for way in ways]
    shapes: dict[str, tuple[int, ...]] = {}
    for suffix in suffixes:
        width = features if suffix.startswith("_l0") else units * len(ways)
        shapes[f"weight_ih{suffix}"] = (gates * units, width)
        shapes[f"weight_hh{suffix}"] = (gates * units, units)
    kinds = ("bias_ih", "bias_hh") if biases else ()
    return shapes | {
        kind + suffix: (gates * units,) for suffix in suffixes for kind in kinds
    }
