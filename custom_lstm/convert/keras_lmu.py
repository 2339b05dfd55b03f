"""Weights of the Legendre memory units of keras-lmu."""

from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights, as_array, check_shapes
from custom_lstm.convert.sources import (
    activation_name,
    cell_class,
    cells_in,
    weights_by_name,
)

_ARGUMENTS = {"memories": "memory_d", "order": "order", "method": "discretizer"}


def from_keras_lmu(source: Any, layer: Any) -> Weights:
    """Return weights for an `LMUCell` of this package from a layer of keras-lmu.

    Its hidden cell must be a `SimpleRNNCell`, or, where h does not go back into
    itself, a `Dense`. Connections that it leaves out have weights of 0 here: h and m
    into the memory, and h into itself, need `recurrent=True` here or none of them; an
    encoder that it leaves out (`kernel_initializer=None`) is an identity matrix. Of a
    `trainable_theta` the trained θ must be the argument `theta` here. A bias of the
    memory (`use_bias` of the LMU) has no place here, and must be 0.

    Args:
        source: a built `keras_lmu.LMU`, `LMUFeedforward` or `LMUCell`, or an `RNN`
            around the cell.
        layer: what the weights are for: the `LMUCell` of this package, or the layer
            around it, built.

    Returns:
        Weights for `set_weights`.

    Raises:
        ValueError: if they are no such layers, or compute something else: names the
            argument, or the array and its shape.

    Example:
        >>> import keras_lmu  # doctest: +SKIP
        >>> theirs = keras_lmu.LMU(1, 8, 32, keras.layers.Dense(4))  # doctest: +SKIP
        >>> ours.set_weights(from_keras_lmu(theirs, ours))  # doctest: +SKIP
    """
    inner = getattr(source, "layer", source)
    inner = getattr(inner, "cell", inner)
    if not hasattr(inner, "memory_d") or not getattr(inner, "built", False):
        raise ValueError(
            "`source` must be an LMU, LMUFeedforward or LMUCell of keras-lmu, built. "
            f"Received: {type(source).__name__}"
        )
    [(what, cell), *others] = cells_in("`layer`", layer)
    if others or cell_class(cell) != "LMUCell":
        raise ValueError(f"{what} must be one LMUCell. Received: {cell_class(cell)}")
    own = weights_by_name(what, cell)
    _check_arguments(what, inner, cell)
    parts = _parts(inner, own["kernel"].shape[0], cell)
    arrays = {
        "kernel": np.concatenate([parts["W"], parts["E"]], axis=1),
        "recurrent_kernel": np.concatenate([parts["U"], parts["H"]], axis=1),
        "bias": parts["b"],
        "memory_kernel": parts["V"],
        "memory_recurrent_kernel": parts["M"],
    }
    for name in set(arrays).difference(own):
        if arrays[name].any():
            raise ValueError(
                f"{what} must have a `{name}`, as `source` has: with "
                f"{'use_bias' if name == 'bias' else 'recurrent'}=True"
            )
    return [arrays[name] for name in own]


def _check_arguments(what: str, inner: Any, cell: Any) -> None:
    """Raise unless both compute the same, but for the weights."""
    expected = {here: getattr(inner, there) for here, there in _ARGUMENTS.items()}
    hidden = inner.hidden_cell
    if type(hidden).__name__ not in ("Dense", "SimpleRNNCell"):
        raise ValueError(
            "`source` must have a hidden cell that is a SimpleRNNCell or a Dense. "
            f"Received: {type(hidden).__name__}"
        )
    expected["units"] = hidden.units
    for name, value in expected.items():
        if getattr(cell, name) != value:
            raise ValueError(
                f"{what} must have `{name}={value!r}`, as `source` has. "
                f"Received: {name}={getattr(cell, name)!r}"
            )
    theta = float(as_array(inner.theta))
    if not np.isclose(cell.theta, theta, rtol=1e-5, atol=0):
        raise ValueError(
            f"{what} must have `theta={theta:.9g}`, as `source` has. "
            f"Received: theta={cell.theta!r}"
        )
    activations = [activation_name(one.activation) for one in (hidden, cell)]
    if activations[0] != activations[1]:
        raise ValueError(
            f"{what} must have `activation={activations[0]!r}`, as `source` has. "
            f"Received: activation={activations[1]!r}"
        )
    if getattr(inner, "bias", None) is not None and as_array(inner.bias).any():
        raise ValueError(
            f"`source` adds a bias to what goes into its memory; {what} cannot. "
            f"Received: {as_array(inner.bias)}"
        )


def _parts(inner: Any, features: int, cell: Any) -> dict[str, np.ndarray]:
    """Return the matrices of an LMU by their letters; see `LMUCell`."""
    hidden, n, d = inner.hidden_cell, cell.units, cell.memories
    width, simple = d * cell.order, type(hidden).__name__ == "SimpleRNNCell"
    into_hidden = as_array(hidden.kernel)
    back = getattr(inner, "hidden_to_memory", False)
    rows = features + n if back else features
    if inner.kernel is None:
        encoder = np.eye(rows, d, dtype=into_hidden.dtype)
    else:
        encoder = as_array(inner.kernel)
    of_inputs = features if inner.input_to_hidden else 0
    found = {"kernel": encoder, "kernel of the hidden cell": into_hidden}
    shapes = {"kernel": (rows, d), "kernel of the hidden cell": (width + of_inputs, n)}
    check_shapes("`source`", found, shapes)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, into_hidden.dtype)

    memory = getattr(inner, "recurrent_kernel", None)
    return {
        "V": into_hidden[:width].copy(),
        "W": into_hidden[width:] if of_inputs else zeros(features, n),
        "E": encoder[:features],
        "H": encoder[features:] if back else zeros(n, d),
        "U": as_array(hidden.recurrent_kernel) if simple else zeros(n, n),
        "M": zeros(width, d) if memory is None else as_array(memory).copy(),
        "b": as_array(hidden.bias).copy() if hidden.use_bias else zeros(n),
    }
