"""Weights of the cells of TensorFlow 1: BasicLSTMCell, LSTMCell, GRUCell, RNN."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights, shift_forget
from custom_lstm.convert.forms import (
    Form,
    Part,
    decode,
    encode,
    known_names,
    under_prefix,
)
from custom_lstm.convert.sources import read_cell

_SIGMOID = {"recurrent_activation": ("sigmoid",)}
_FORMS = {
    "LSTM": Form(
        "tf.nn.rnn_cell.LSTMCell",
        "LSTM",
        (
            Part("kernel", "WU", "igfo"),
            Part("bias", "b", "igfo"),
            *(Part(f"w_{gate}_diag", "p", gate) for gate in "ifo"),
            Part("projection/kernel", "P", ""),
        ),
        optional="pP",
        activations=_SIGMOID,
    ),
    "GRU": Form(
        "tf.nn.rnn_cell.GRUCell",
        "GRU",
        (
            Part("gates/kernel", "WU", "rz"),
            Part("gates/bias", "b", "rz"),
            Part("candidate/kernel", "WU", "g"),
            Part("candidate/bias", "b", "g"),
        ),
        reset_after=False,
        activations=_SIGMOID,
    ),
    "SimpleRNN": Form(
        "tf.nn.rnn_cell.BasicRNNCell",
        "SimpleRNN",
        (Part("kernel", "WU", "g"), Part("bias", "b", "g")),
    ),
}
_NAMES = known_names(_FORMS.values())
_SLOT = re.compile(
    r".*/(Adam|Adagrad|Adadelta|Ftrl|Momentum|RMSProp|ExponentialMovingAverage)(_1)?"
)
"""What optimizers and averages keep beside a variable."""


def from_tf1(
    variables: Mapping[str, Any],
    forget_bias: float = 1.0,
    prefix: str = "",
    kind: str | None = None,
) -> Weights:
    """Return Keras weights from those of a cell of `tf.nn.rnn_cell`.

    `BasicLSTMCell` and `LSTMCell` compute

        i, j, f, o = split([x; h]·kernel + bias)
        c' = σ(f + forget_bias)∘c + σ(i)∘tanh(j)        h' = σ(o)∘tanh(c')

    so that their kernel has the rows of x above those of h, its gates are in another
    order, and `forget_bias` is no variable; Keras has it in the bias. `LSTMCell` may
    have peepholes, as `PeepholeLSTMCell`, or a projection, as `ProjectedLSTMCell`.
    `GRUCell` is Keras's with `reset_after=False`, `BasicRNNCell` its SimpleRNN.

    Args:
        variables: arrays by name, also by full names, "rnn/basic_lstm_cell/kernel:0".
            An optimizer's slots are left aside.
        forget_bias: the argument with which an LSTM cell was made.
        prefix: begin of the names: "rnn/basic_lstm_cell/"; other names are left aside
            then. A prefix that all names have need not be said.
        kind: "LSTM" or "SimpleRNN", whose names are the same; by default an LSTM,
            unless "basic_rnn_cell" is in the names.

    Returns:
        `[kernel, recurrent_kernel, bias]`, and peepholes or projection if the cell has
        them, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, and the
            prefixes that there are.

    Example:
        >>> kernel, _, bias = from_tf1({"kernel": np.ones((5, 8)), "bias": np.zeros(8)})
        >>> kernel.shape, bias
        ((3, 8), array([0., 0., 1., 1., 0., 0., 0., 0.]))
    """
    if isinstance(variables, Mapping):
        names = {str(name).removesuffix(":0"): name for name in variables}
        names = {n: own for n, own in names.items() if not _SLOT.fullmatch(n)}
        variables = {name: variables[own] for name, own in names.items()}
    if kind not in (None, *_FORMS):
        raise ValueError(f"`kind` must be one of {tuple(_FORMS)}. Received: {kind!r}")
    what, arrays, note, _ = under_prefix("`variables`", variables, prefix, _NAMES)
    if kind is None:
        simple = any("basic_rnn_cell" in name for name in (prefix, *variables))
        gated = any(name.startswith(("gates/", "candidate/")) for name in arrays)
        kind = "GRU" if gated else "SimpleRNN" if simple else "LSTM"
    cell = decode(what, _FORMS[kind], arrays, note)
    if cell.peephole is not None and cell.projection is not None:
        raise ValueError(f"{what}: no cell here has both peepholes and a projection")
    return replace(cell, bias=shift_forget(cell, forget_bias)).as_list()


def to_tf1(
    weights: Any,
    forget_bias: float = 1.0,
    prefix: str = "",
    reset_after: bool | None = None,
) -> dict[str, np.ndarray]:
    """Return weights for a cell of `tf.nn.rnn_cell` from a Keras layer's.

    The forget gate's bias loses `forget_bias`, which the cell adds again; in that, and
    that alone, floating-point numbers may round: the way back gives the same numbers
    where the difference is exact (with `forget_bias=0`, and, with 1, for biases from
    0.5 to 2), and elsewhere numbers half a unit in the last place of `forget_bias`
    away at most.

    Args:
        weights: a Keras layer or cell in one direction, or its `get_weights()`; a
            missing bias counts as zeros. A layer is judged by its class and
            arguments; its `activation` is an argument of the cell there, too.
        forget_bias: the argument with which an LSTM cell will be made.
        prefix: what the names shall begin with.
        reset_after: that of a GRU given as a list, which does not tell it; it must be
            False, as `GRUCell` has no other.

    Returns:
        Arrays by name: `kernel (features + units, 4·units)` and `bias (4·units,)` of an
        LSTM; with peepholes `w_i_diag` and so on; `projection/kernel`; of a GRU
        `gates/kernel` and so on.

    Raises:
        ValueError: if there is no such cell.

    Example:
        >>> weights = [np.ones((3, 8)), np.ones((2, 8)), np.ones(8)]
        >>> to_tf1(weights)["bias"]
        array([1., 1., 1., 1., 0., 0., 1., 1.])
    """
    cell = read_cell("`weights`", weights, reset_after)
    if cell.bias is None:
        width = cell.kernel.shape[1]
        cell = replace(cell, bias=np.zeros_like(cell.kernel, shape=width))
    cell = replace(cell, bias=shift_forget(cell, -forget_bias))
    arrays = encode("`weights`", _FORMS[cell.kind], cell)
    return {prefix + name: array for name, array in arrays.items()}
