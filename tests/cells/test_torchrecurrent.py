"""Gated and minimal cells against torchrecurrent's of the same name, weights equal."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import pytest
from helpers import layer_gradients

from custom_lstm import RNN, cells

torch = pytest.importorskip("torch")
torchrecurrent = pytest.importorskip("torchrecurrent")
UNITS, FEATURES, BATCH, TIME = 5, 4, 3, 6


class Pair(NamedTuple):
    cell: Callable
    theirs: Callable
    weights: Callable
    """From ours, or gradients of them, to theirs by name; the rest is zero."""
    states: int = 1
    """How many theirs has; a second one of a cell with one state here is a copy."""


def plain(W, U, b):
    return {"weight_ih": W.T, "weight_hh": U.T, "bias_ih": b}


def turned(W, U, b, order, gates=None):
    """Ours in another order of the gates, by `order`; U and b in that of `gates`."""
    gates = order if gates is None else gates

    def sort(array, places):
        return np.concatenate(
            [array[..., k * UNITS : (k + 1) * UNITS] for k in places], axis=-1
        )

    return plain(sort(W, order), sort(U, gates), sort(b, gates))


def of_cfn(W, U, b):
    made = turned(W, U, b, (1, 0, 2), (1, 0))
    return {**made, "bias_ih": np.pad(made["bias_ih"], (0, UNITS))}


def of_mut1(W, U, b):
    b_zr, b_g = b[: 2 * UNITS], b[2 * UNITS :]
    made = plain(W, U, np.pad(b_zr, (0, UNITS)))
    return {**made, "bias_hh": np.pad(b_g, (UNITS, 0))}


def of_multiplicative(W, U, b, V):
    made = turned(W, U, np.pad(b, (0, UNITS)), (4, 0, 1, 2, 3), (0,))
    bias = {"bias_ih": np.pad(b, (UNITS, 0))}
    return {**made, **bias, "weight_mh": V.T}


def of_peephole(W, U, b, p):
    return {**plain(W, U, b), "weight_ph": p.ravel()}


def with_scalars(first, second):
    return lambda W, U, b, x, y: {**plain(W, U, b), first: x, second: y}


def theirs(name, **options):
    return lambda: getattr(torchrecurrent, name)(FEATURES, UNITS, **options)


PAIRS = {
    "mgu": Pair(cells.MGUCell, theirs("MGUCell"), plain),
    "ugrnn": Pair(cells.UGRNNCell, theirs("UGRNNCell"), partial(turned, order=(1, 0))),
    "li_gru": Pair(cells.LiGRUCell, theirs("LiGRUCell"), plain),
    "janet": Pair(cells.JANETCell, theirs("JANETCell"), plain, 2),
    "star": Pair(
        cells.STARCell,
        theirs("STARCell"),
        lambda W, U, b: {**turned(W, W, b, (1, 0)), "weight_hh": U.T},
    ),
    "cfn": Pair(cells.CFNCell, theirs("CFNCell"), of_cfn),
    "atr": Pair(cells.ATRCell, theirs("ATRCell"), plain),
    "mut1": Pair(cells.MUT1Cell, theirs("MUT1Cell"), of_mut1),
    "mut2": Pair(cells.MUT2Cell, theirs("MUT2Cell"), plain),
    "mut3": Pair(cells.MUT3Cell, theirs("MUT3Cell"), plain),
    "original": Pair(cells.OriginalLSTMCell, theirs("OriginalLSTMCell"), plain, 2),
    "multiplicative": Pair(
        cells.MultiplicativeLSTMCell,
        theirs("MultiplicativeLSTMCell"),
        of_multiplicative,
        2,
    ),
    "ran": Pair(
        cells.RANCell,
        theirs("RANCell"),
        lambda W, U, b: {
            **plain(W, U, b),
            "weight_ih": np.roll(W.T, UNITS, axis=0),
        },
        2,
    ),
    "nas": Pair(partial(cells.NASCell, additive=True), theirs("NASCell"), plain, 2),
    "ind": Pair(
        cells.IndRNNCell,
        theirs("IndRNNCell", nonlinearity="relu"),
        lambda W, u, b: {"weight_ih": W.T, "vector_u": u, "bias_ih": b},
    ),
    "fast": Pair(
        cells.FastRNNCell, theirs("FastRNNCell"), with_scalars("alpha", "beta")
    ),
    "fast_grnn": Pair(
        cells.FastGRNNCell,
        theirs("FastGRNNCell", nonlinearity="sigmoid"),
        with_scalars("zeta", "nu"),
    ),
    "peephole": Pair(
        cells.PeepholeLSTMCell, theirs("PeepholeLSTMCell"), of_peephole, 2
    ),
}


def load(module, named):
    """Set the parameters of a module: those that are not named are constants or 0."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in named:
                parameter.copy_(torch.tensor(np.ascontiguousarray(named[name])))
            elif parameter.ndim:
                parameter.zero_()


def run_theirs(pair, module, x, states, weights_of_sum):
    """Return outputs, last states, and gradients of x, the states and parameters."""
    x = torch.tensor(x, requires_grad=True)
    first = [torch.tensor(state, requires_grad=True) for state in states]
    now = first if len(first) == pair.states else first * pair.states
    outputs = []
    for t in range(TIME):
        new = module(x[:, t], tuple(now) if pair.states > 1 else now[0])
        now = list(new) if pair.states > 1 else [new]
        outputs.append(now[0])
    made = [torch.stack(outputs, dim=1), *now[-len(first) :]]
    total = sum((w * y).sum() for w, y in zip(weights_of_sum, made, strict=True))
    total.backward()
    of_weights = {name: p.grad for name, p in module.named_parameters()}
    return made, [x.grad, *(state.grad for state in first)], of_weights


@pytest.mark.parametrize("name", PAIRS)
def test_outputs_states_and_gradients_are_those_of_torchrecurrent(name):
    pair, rng = PAIRS[name], np.random.default_rng(2)
    layer = RNN(pair.cell(UNITS), return_sequences=True, return_state=True)
    layer.build((BATCH, TIME, FEATURES))
    weights = [rng.normal(size=w.shape).astype("float32") for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    sizes = keras.tree.flatten(layer.cell.state_size)
    states = [rng.normal(size=(BATCH, n)).astype("float32") for n in sizes]
    made, gradients = layer_gradients.run(layer, x, states)
    module = pair.theirs()
    load(module, pair.weights(*weights))
    sums = [torch.tensor(layer_gradients.cotangent(y.shape)) for y in made]
    outputs, of_inputs, of_weights = run_theirs(pair, module, x, states, sums)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    for ours, other in zip(made, outputs, strict=True):
        close(ours, other.detach().numpy())
    for ours, other in zip(gradients[: len(of_inputs)], of_inputs, strict=True):
        close(ours, other.numpy())
    shared = pair.weights(*map(np.ones_like, weights))
    for key, ours in pair.weights(*gradients[len(of_inputs) :]).items():
        close(ours, shared[key] * of_weights[key].numpy(), err_msg=key)
