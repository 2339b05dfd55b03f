"""Weights of TensorFlow 1's BasicLSTMCell."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import (
    Weights,
    as_array,
    check_names,
    read_lstm,
    reorder,
)

_ORDER = (0, 2, 1, 3)
"""i, f, g, o among i, j, f, o, and back."""


def from_tf1(variables: Mapping[str, Any], forget_bias: float = 1.0) -> Weights:
    """Return Keras weights of an LSTM from those of a `tf.nn.rnn_cell.BasicLSTMCell`.

    That cell computes

        i, j, f, o = split([x; h]·kernel + bias)
        c' = σ(f + forget_bias)∘c + σ(i)∘tanh(j)        h' = σ(o)∘tanh(c')

    so that its kernel has the rows of x above those of h, its gates are in another
    order, and `forget_bias` is no variable; Keras has it in the bias.

    Args:
        variables: `{"kernel": (features + units, 4·units), "bias": (4·units,)}`.
        forget_bias: the argument with which the cell was made.

    Returns:
        `[kernel, recurrent_kernel, bias]`, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape.

    Example:
        >>> kernel, _, bias = from_tf1({"kernel": np.ones((5, 8)), "bias": np.zeros(8)})
        >>> kernel.shape, bias
        ((3, 8), array([0., 0., 1., 1., 0., 0., 0., 0.]))
    """
    check_names("`variables`", ("kernel", "bias"), variables)
    kernel, bias = (as_array(variables[name]) for name in ("kernel", "bias"))
    units = bias.size // 4
    if (
        bias.shape != (4 * units,)
        or kernel.shape[1:] != (4 * units,)
        or (not 0 < units < kernel.shape[0])
    ):
        raise ValueError(
            "`variables` must hold `kernel` of shape (features + units, 4·units) and "
            f"`bias` of shape (4·units,). Received shapes: {kernel.shape}, {bias.shape}"
        )
    kernel, bias = reorder(kernel, _ORDER), reorder(bias, _ORDER)
    bias[units : 2 * units] += forget_bias
    return [kernel[:-units].copy(), kernel[-units:].copy(), bias]


def to_tf1(weights: Weights, forget_bias: float = 1.0) -> dict[str, np.ndarray]:
    """Return weights for a `tf.nn.rnn_cell.BasicLSTMCell` from a Keras LSTM's.

    The forget gate's bias loses `forget_bias`, which the cell adds again; in that, and
    that alone, floating-point numbers may round: the way back gives the same numbers
    where the difference is exact (with `forget_bias=0`, and, with 1, for biases from
    0.5 to 2), and elsewhere numbers half a unit in the last place of `forget_bias`
    away at most.

    Args:
        weights: `[kernel, recurrent_kernel, bias]`, from `get_weights()`; a missing
            bias counts as zeros.
        forget_bias: the argument with which the cell will be made.

    Returns:
        `{"kernel": (features + units, 4·units), "bias": (4·units,)}`.

    Raises:
        ValueError: if these are not the weights of one LSTM in one direction.

    Example:
        >>> weights = [np.ones((3, 8)), np.ones((2, 8)), np.ones(8)]
        >>> to_tf1(weights)["bias"]
        array([1., 1., 1., 1., 0., 0., 1., 1.])
    """
    cell = read_lstm("`weights`", weights)
    bias = np.array(cell.bias)
    bias[cell.units : 2 * cell.units] -= forget_bias
    kernel = np.concatenate([cell.kernel, cell.recurrent_kernel])
    return {"kernel": reorder(kernel, _ORDER), "bias": reorder(bias, _ORDER)}
