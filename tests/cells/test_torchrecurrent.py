"""Cells against torchrecurrent's of the same name, weights converted both ways."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import pytest
from helpers import layer_gradients

from custom_lstm import RNN, cells
from custom_lstm.convert import from_torchrecurrent, to_torchrecurrent

torch = pytest.importorskip("torch")
torchrecurrent = pytest.importorskip("torchrecurrent")
UNITS, FEATURES, BATCH, TIME = 5, 4, 3, 6


def close(ours, expected, **words):
    atol = 1e-5 * max(1, abs(expected).max())
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=atol, **words)


class Pair(NamedTuple):
    cell: Callable
    theirs: Callable
    states: int = 1
    """How many theirs has; a second one of a cell with one state here is a copy."""
    zeros: dict = {}
    """Where theirs has a bias that ours does not have: slices in units."""


def theirs(name, **options):
    return lambda: getattr(torchrecurrent, name)(FEATURES, UNITS, **options)


def pair(name, ours=None, states=1, zeros=None, **options):
    cell = getattr(cells, name[0].upper() + name[1:])
    cell = partial(cell, **(ours or {}))
    return Pair(cell, theirs(name, **options), states, zeros or {})


DAMPED = {"epsilon": 0.3, "gamma": 0.2}
OSCILLATOR = {"dt": 0.3, "gamma": 2.0, "epsilon": 0.5}
PAIRS = {
    "mgu": pair("MGUCell"),
    "ugrnn": pair("UGRNNCell"),
    "li_gru": pair("LiGRUCell"),
    "janet": pair("JANETCell", {"beta": 0.7}, states=2, beta=0.7),
    "star": pair("STARCell"),
    "cfn": pair("CFNCell", zeros={"bias_ih": (2, 3)}),
    "atr": pair("ATRCell", zeros={"bias_hh": (0, 1)}),
    "mut1": pair("MUT1Cell", zeros={"bias_ih": (2, 3)}),
    "mut2": pair("MUT2Cell"),
    "mut3": pair("MUT3Cell"),
    "original": pair("OriginalLSTMCell", states=2),
    "multiplicative": pair(
        "MultiplicativeLSTMCell",
        states=2,
        zeros={"bias_ih": (0, 1), "bias_hh": (0, 1)},
    ),
    "ran": pair("RANCell", states=2),
    "nas": pair("NASCell", {"additive": True}, states=2),
    "ind": pair("IndRNNCell", nonlinearity="relu"),
    "fast": pair("FastRNNCell"),
    "fast_grnn": pair("FastGRNNCell", nonlinearity="sigmoid"),
    "peephole": pair("PeepholeLSTMCell", states=2),
    "antisymmetric": pair("AntisymmetricRNNCell", DAMPED, **DAMPED),
    "gated antisymmetric": pair("GatedAntisymmetricRNNCell", DAMPED, **DAMPED),
    "cornn": pair("coRNNCell", OSCILLATOR, states=2, **OSCILLATOR),
    "unicornn": pair(
        "UnICORNNCell",
        {"dt": 0.3, "alpha": 0.5},
        states=2,
        dt=0.3,
        alpha=0.5,
        recurrent_bias=True,
    ),
    "wmc lstm": pair("WMCLSTMCell", states=2),
}


def built(cell, **options):
    layer = RNN(cell(UNITS, **options), return_sequences=True, return_state=True)
    layer.build((BATCH, TIME, FEATURES))
    rng = np.random.default_rng(2)
    layer.set_weights([0.6 * rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def data(layer):
    rng = np.random.default_rng(3)
    sizes = keras.tree.flatten(layer.cell.state_size)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    return x, [rng.normal(size=(BATCH, n)).astype("float32") for n in sizes]


def loaded(module, arrays):
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    module.load_state_dict(state)
    return module


def run_theirs(pair, module, x, states, weights_of_sum=None):
    """Return outputs, last states, and gradients of x and the states."""
    x = torch.tensor(x, requires_grad=True)
    first = [torch.tensor(state, requires_grad=True) for state in states]
    now = first if len(first) == pair.states else first * pair.states
    outputs = []
    for t in range(TIME):
        new = module(x[:, t], tuple(now) if pair.states > 1 else now[0])
        now = list(new) if pair.states > 1 else [new]
        outputs.append(now[0])
    made = [torch.stack(outputs, dim=1), *now[-len(first) :]]
    if weights_of_sum is None:
        return [y.detach().numpy() for y in made]
    sum((w * y).sum() for w, y in zip(weights_of_sum, made, strict=True)).backward()
    return [y.detach().numpy() for y in made], [
        x.grad,
        *(state.grad for state in first),
    ]


@pytest.mark.parametrize("name", PAIRS)
def test_outputs_states_and_gradients_are_those_of_torchrecurrent(name):
    pair = PAIRS[name]
    layer = built(pair.cell)
    x, states = data(layer)
    made, gradients = layer_gradients.run(layer, x, states)
    module = loaded(pair.theirs(), to_torchrecurrent(layer, cell=True))
    sums = [torch.tensor(layer_gradients.cotangent(y.shape)) for y in made]
    outputs, of_inputs = run_theirs(pair, module, x, states, sums)
    for ours, other in zip(made, outputs, strict=True):
        close(ours, other)
    for ours, other in zip(gradients[: len(of_inputs)], of_inputs, strict=True):
        close(ours, other.numpy())
    layer.set_weights(gradients[len(of_inputs) :])
    of_ours = to_torchrecurrent(layer, cell=True)
    layer.set_weights([np.ones_like(w) for w in layer.get_weights()])
    shared = to_torchrecurrent(layer, cell=True)
    for key, parameter in module.named_parameters():
        if parameter.ndim:  # of a JANET the number β is an argument here
            close(of_ours[key], shared[key] * parameter.grad.numpy(), err_msg=key)


@pytest.mark.parametrize("name", PAIRS)
def test_a_module_of_torchrecurrent_becomes_ours(name):
    pair = PAIRS[name]
    module, layer = pair.theirs(), built(pair.cell)
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if parameter.ndim:
                parameter.normal_()
            if key in pair.zeros:
                begin, end = (UNITS * k for k in pair.zeros[key])
                parameter[begin:end] = 0
    [weights] = from_torchrecurrent(module, layer)
    layer.set_weights(weights)
    x, states = data(layer)
    made = layer(x, initial_state=states)
    expected = run_theirs(pair, module, x, states)
    for ours, other in zip(made, expected, strict=True):
        close(keras.ops.convert_to_numpy(ours), other)


@pytest.mark.parametrize("name", PAIRS)
def test_the_way_there_and_back_changes_nothing(name):
    layer = built(PAIRS[name].cell)
    [weights] = from_torchrecurrent(to_torchrecurrent(layer), layer)
    for back, original in zip(weights, layer.get_weights(), strict=True):
        assert back.dtype == original.dtype
        np.testing.assert_array_equal(back, original)


@pytest.mark.parametrize("name", ["mgu", "multiplicative", "wmc lstm", "atr"])
def test_a_cell_without_a_bias_is_one_with_zeros(name):
    layer = built(PAIRS[name].cell, use_bias=False)
    arrays = to_torchrecurrent(layer, cell=True)
    assert not any(arrays[key].any() for key in arrays if key.startswith("bias"))
    module = loaded(PAIRS[name].theirs(), arrays)
    x, states = data(layer)
    made = layer(x, initial_state=states)
    close(
        keras.ops.convert_to_numpy(made[0]),
        run_theirs(PAIRS[name], module, x, states)[0],
    )
    [back] = from_torchrecurrent(module, layer)
    np.testing.assert_equal(back, layer.get_weights())
    arrays["bias_ih"] = arrays["bias_ih"] + 1
    with pytest.raises(ValueError, match="`bias_ih` must hold zeros where "):
        from_torchrecurrent(arrays, layer)
