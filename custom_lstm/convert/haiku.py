"""Weights of haiku's LSTM, GRU and VanillaRNN."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights, shift_forget
from custom_lstm.convert.forms import (
    FIXED,
    Form,
    Part,
    choose,
    decode,
    encode,
    flattened,
    known_names,
    under_prefix,
)
from custom_lstm.convert.sources import read_cell

_FORGET_BIAS = 1.0
"""What `hk.LSTM` adds to f when it runs."""
_FORMS = {
    "LSTM": Form(
        "hk.LSTM",
        "LSTM",
        (Part("linear/w", "WU", "igfo"), Part("linear/b", "b", "igfo")),
        activations=FIXED,
    ),
    "GRU": Form(
        "hk.GRU",
        "GRU",
        (Part("w_i", "W", "zrg"), Part("w_h", "U", "zrg"), Part("b", "b", "zrg")),
        reset_after=False,
        negated="z",
        activations=FIXED,
    ),
    "SimpleRNN": Form(
        "hk.VanillaRNN",
        "SimpleRNN",
        (
            Part("linear/w", "W", "g"),
            Part("linear/b", "b", "g"),
            Part("linear_1/w", "U", "g"),
            Part("linear_1/b", "v", "g"),
        ),
        optional="v",
        activations={"activation": ("relu",)},
    ),
}
_NAMES = known_names(_FORMS.values())
_MODULES = {"LSTM": "lstm/", "GRU": "gru/", "SimpleRNN": "vanilla_rnn/"}
"""How haiku names a module that is given no name."""


def from_haiku(params: Mapping[str, Any], prefix: str = "") -> Weights:
    """Return Keras weights from those of haiku's `LSTM`, `GRU` or `VanillaRNN`.

    `hk.LSTM` is `BasicLSTMCell` of TensorFlow 1: one matrix, with the rows of x above
    those of h, and 1 added to f when it runs, which is in Keras's bias. `hk.GRU` is
    Keras's with `reset_after=False` and z for Keras's 1 − z = σ(−z), so that its z has
    the other sign. `hk.VanillaRNN` is a SimpleRNN with `activation="relu"`. This was
    checked against haiku 0.0.17; the tests have its equations.

    Args:
        params: what `init` of the transformed function returned, `{"lstm/linear":
            {"w": ..., "b": ...}}`.
        prefix: path of the module, if there are others: "encoder/lstm/". A path that
            all arrays have need not be said.

    Returns:
        `[kernel, recurrent_kernel, bias]`, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, and the
            prefixes that there are.

    Example:
        >>> params = {"lstm/linear": {"w": np.ones((5, 8)), "b": np.zeros(8)}}
        >>> kernel, recurrent_kernel, bias = from_haiku(params)
        >>> kernel.shape, recurrent_kernel.shape, bias
        ((3, 8), (2, 8), array([0., 0., 1., 1., 0., 0., 0., 0.]))
    """
    tree = flattened(params) if isinstance(params, Mapping) else params
    what, arrays, note, _ = under_prefix("`params`", tree, prefix, _NAMES)
    form = choose(list(_FORMS.values()), arrays)
    cell = decode(what, form, arrays, note)
    return replace(cell, bias=shift_forget(cell, _FORGET_BIAS)).as_list()


def to_haiku(
    weights: Any, prefix: str | None = None, reset_after: bool | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Return parameters for haiku's `LSTM`, `GRU` or `VanillaRNN`.

    The forget gate's bias loses the 1 that haiku adds again, and rounds as in `to_tf1`.
    The second bias of a `VanillaRNN` is zeros, or left away for `double_bias=False`.

    Args:
        weights: a Keras layer or cell in one direction, or its `get_weights()`; a
            missing bias counts as zeros. A layer is judged by its class and
            arguments; of a list for a `VanillaRNN` nothing tells that it has relu.
        prefix: path of the module; by default that of one without a name: "lstm/",
            "gru/" or "vanilla_rnn/".
        reset_after: that of a GRU given as a list, which does not tell it; it must be
            False, as `hk.GRU` has no other.

    Returns:
        Dicts of arrays by module, as `apply` takes them.

    Raises:
        ValueError: if haiku has no such module.

    Example:
        >>> params = to_haiku([np.ones((3, 8)), np.ones((2, 8)), np.ones(8)])
        >>> params["lstm/linear"]["b"]
        array([1., 1., 1., 1., 0., 0., 1., 1.])
    """
    cell = read_cell("`weights`", weights, reset_after)
    if cell.bias is None:
        width = cell.kernel.shape[1]
        cell = replace(cell, bias=np.zeros_like(cell.kernel, shape=width))
    cell = replace(cell, bias=shift_forget(cell, -_FORGET_BIAS))
    params: dict[str, dict[str, np.ndarray]] = {}
    start = _MODULES[cell.kind] if prefix is None else prefix
    for name, array in encode("`weights`", _FORMS[cell.kind], cell).items():
        module, _, last = (start + name).rpartition("/")
        params.setdefault(module, {})[last] = array
    return params
