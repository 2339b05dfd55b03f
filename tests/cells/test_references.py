"""Cells against other packages' of the same name, with converted weights."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import pytest
from helpers.layer_gradients import cotangent, run

from custom_lstm import RNN, cells
from custom_lstm.convert import from_keras_lmu, to_ncps

torch = pytest.importorskip("torch")
UNITS, FEATURES, BATCH, TIME = 6, 4, 3, 7


class Pair(NamedTuple):
    package: str
    """What must be installed."""
    cell: Callable
    """Makes our cell."""
    theirs: Callable
    """From the imported package to a module with the step."""
    weights: Callable
    """From our layer, of weights or their gradients, to theirs by name."""
    step: Callable = lambda module, x, states: module(x, states)
    """`(module, x, states)` to output and new states."""
    states: Callable = lambda states: states
    """What random states are made of."""


def timed(module, x, states):
    h, _ = module(x[:, :-1], states[0], x[:, -1:])
    return h, [h]


def solved(module, x, states):
    _, h = module(x, states[0])
    return h, [h]


def wiring(package):
    from ncps.wirings import FullyConnected

    return package.LTCCell(FullyConnected(UNITS), FEATURES)


class SLSTM(torch.nn.Module):
    """xlstm's pointwise function around the matrices of a cell without heads."""

    def __init__(self, package):
        super().__init__()
        self.pointwise = package.slstm_pointwise_function_registry["slstm"]
        for name, shape in (
            ("W", (FEATURES, 4 * UNITS)),
            ("U", (UNITS, 4 * UNITS)),
            ("b", (4 * UNITS,)),
        ):
            setattr(self, name, torch.nn.Parameter(torch.zeros(shape)))

    def forward(self, x, states):
        products = x @ self.W, states[0] @ self.U, self.b[None]
        new, _ = self.pointwise(*products, torch.stack(states), {})
        return new[0], list(new)


def of_slstm(layer):
    W, U, b = layer.get_weights()
    return {"W": W, "U": U[0], "b": b}


class MLSTM(torch.nn.Module):
    """xlstm's recurrent step of two heads around the maps of the inputs."""

    def __init__(self, package):
        super().__init__()
        self.recur = package.recurrent_step_stabilized_simple
        width = 4 * UNITS + 4
        self.W = torch.nn.Parameter(torch.zeros(FEATURES, width))
        self.b = torch.nn.Parameter(torch.zeros(width))

    def forward(self, x, states):
        C, n, m = states
        parts = torch.split(x @ self.W + self.b, [UNITS] * 4 + [2, 2], dim=1)
        q, k, v = (part.reshape(len(x), 2, 1, -1).clone() for part in parts[:3])
        gates = (gate[..., None, None] for gate in parts[4:])
        before = C, n[..., None], m[..., None, None]
        h, (C, n, m) = self.recur(*before, q, k, v, *gates)
        h = h.reshape(len(x), UNITS) * torch.sigmoid(parts[3])
        return h, [C, n[..., 0], m[..., 0, 0]]


PAIRS = {
    **{
        f"cfc, {mode}": Pair(
            "ncps.torch",
            partial(cells.CfCCell, UNITS, backbone_units=5, mode=mode, timed=True),
            lambda p, mode=mode: p.CfCCell(
                FEATURES - 1, UNITS, mode=mode, backbone_units=5
            ),
            to_ncps,
            timed,
        )
        for mode in ("default", "no_gate", "pure")
    },
    "ltc": Pair("ncps.torch", partial(cells.LTCCell, UNITS), wiring, to_ncps, solved),
    "slstm": Pair(
        "xlstm.blocks.slstm.src.vanilla",
        partial(cells.SLSTMCell, UNITS),
        SLSTM,
        of_slstm,
        states=np.abs,
    ),
    "mlstm": Pair(
        "xlstm.blocks.mlstm.backends",
        partial(cells.MLSTMCell, UNITS, heads=2),
        MLSTM,
        lambda layer: dict(zip("Wb", layer.get_weights(), strict=True)),
        states=np.abs,
    ),
}


def data(layer, states_from=lambda states: states):
    """Return inputs and states; the last feature, perhaps a time, is above 0."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    x[..., -1] = np.abs(x[..., -1]) + 0.1
    first = keras.tree.flatten(layer.get_initial_state(BATCH))
    states = [rng.normal(size=tuple(s.shape)).astype("float32") for s in first]
    return x, [states_from(state) for state in states]


def built(cell):
    """Return a layer with random weights, all above 0, in which nothing is extreme."""
    layer = RNN(cell, return_sequences=True, return_state=True)
    layer.build((BATCH, TIME, FEATURES))
    rng = np.random.default_rng(3)
    weights = [
        np.abs(0.4 * rng.normal(size=w.shape)) + 0.02 for w in layer.get_weights()
    ]
    layer.set_weights(weights)
    return layer


def theirs(module, step, x, states):
    """Run their step over a sequence, and differentiate the form `run` does."""
    x = torch.tensor(x, requires_grad=True)
    first = [torch.tensor(state, requires_grad=True) for state in states]
    outputs, states = [], first
    for t in range(TIME):
        output, states = step(module, x[:, t], states)
        outputs.append(output)
    made = [torch.stack(outputs, 1), *states]
    sum((y * torch.tensor(cotangent(tuple(y.shape)))).sum() for y in made).backward()
    return made, [x.grad, *(state.grad for state in first)]


def assert_near(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        b = np.asarray(b.detach() if hasattr(b, "detach") else b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1, abs(b).max()))


@pytest.mark.parametrize("kind", PAIRS)
def test_a_cell_is_that_of_another_package(kind):
    pair = PAIRS[kind]
    module = pair.theirs(pytest.importorskip(pair.package))
    layer = built(pair.cell())
    parameters = dict(module.named_parameters())
    for name, value in pair.weights(layer).items():
        with torch.no_grad():
            parameters[name].copy_(torch.tensor(value).reshape(parameters[name].shape))
    x, states = data(layer, pair.states)
    outputs, (dx, *gradients) = run(layer, x, states)
    made, expected = theirs(module, pair.step, x, states)
    assert_near(outputs, made)
    count = len(states)
    assert_near([dx, *gradients[:count]], expected)
    layer.set_weights(gradients[count:])
    of_weights = pair.weights(layer)
    for name, parameter in parameters.items():
        if parameter.requires_grad and name not in ("output_w", "output_b"):
            shape = parameter.shape
            assert_near([of_weights[name].reshape(shape)], [parameter.grad])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="keras-lmu needs TensorFlow"
)
@pytest.mark.parametrize("method", ["zoh", "euler"])
@pytest.mark.parametrize("recurrent", [True, False])
def test_an_lmu_is_that_of_keras_lmu(method, recurrent):
    keras_lmu = pytest.importorskip("keras_lmu")
    sizes = {"order": 5, "theta": 40.0}
    ours = built(
        cells.LMUCell(UNITS, memories=2, recurrent=recurrent, method=method, **sizes)
    )
    hidden = keras.layers.SimpleRNNCell if recurrent else keras.layers.Dense
    cell = keras_lmu.LMUCell(
        2,
        hidden_cell=hidden(UNITS, activation="tanh"),
        hidden_to_memory=recurrent,
        memory_to_memory=recurrent,
        input_to_hidden=True,
        discretizer=method,
        **sizes,
    )
    layer = keras.layers.RNN(cell, return_sequences=True)
    layer.build((BATCH, TIME, FEATURES))
    ours.set_weights(from_keras_lmu(layer, ours))
    x, _ = data(ours)
    ours.return_state = False
    outputs, gradients = run(ours, x)
    expected, of_theirs = run(layer, x)
    assert_near(outputs, expected)
    assert_near(gradients[:1], of_theirs[:1])
