"""Weights to and from ncps's modules for PyTorch, whose outputs are the oracle."""

import keras
import numpy as np
import pytest

from custom_lstm import RNN, cells
from custom_lstm.convert import from_ncps, to_ncps

torch = pytest.importorskip("torch")
ncps = pytest.importorskip("ncps.torch")
wirings = pytest.importorskip("ncps.wirings")
FEATURES, UNITS, BATCH, TIME = 3, 5, 2, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
TIMES = RNG.uniform(0.2, 2.0, (BATCH, TIME)).astype("float32")


def stack(*layers, features=FEATURES):
    """Return built layers, one above the other."""
    shape = (BATCH, TIME, features)
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return list(layers)


def recurrent(cell):
    return RNN(cell, return_sequences=True)


def loaded(layers, weights, x=X):
    for layer, own in zip(layers, weights, strict=True):
        layer.set_weights(own)
        x = layer(x)
    return keras.ops.convert_to_numpy(x)


def random(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.rand_like(parameter))
    return module


def outputs(module, times=None):
    with torch.no_grad():
        spans = None if times is None else torch.tensor(times)
        return module(torch.tensor(X), timespans=spans)[0].numpy()


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


NCP = {
    "inter_neurons": 4,
    "command_neurons": 3,
    "motor_neurons": 2,
    "sensory_fanout": 2,
    "inter_fanout": 2,
    "recurrent_command_synapses": 3,
    "motor_fanin": 2,
}


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("mapping", ["affine", "linear", None])
@pytest.mark.parametrize("wired", [False, True])
def test_an_ltc_with_its_map_of_outputs(wired, mapping, implicit):
    units = wirings.NCP(**NCP) if wired else UNITS
    options = {"input_mapping": mapping, "output_mapping": mapping}
    module = random(
        ncps.LTC(FEATURES, units, implicit_param_constraints=implicit, **options)
    )
    layers = stack(
        recurrent(cells.LTCCell(9 if wired else UNITS)),
        keras.layers.Dense(2 if wired else UNITS),
    )
    close(loaded(layers, from_ncps(module, layers)), outputs(module))
    weights = from_ncps(
        {f"module.net.{k}": v for k, v in module.state_dict().items()},
        layers,
        implicit_param_constraints=implicit,
    )
    close(loaded(layers, weights), outputs(module))
    if wired:
        with pytest.raises(ValueError, match=r"must end with.*Dense\(2\)"):
            from_ncps(module, layers[:1])


@pytest.mark.parametrize("implicit", [True, False])
def test_ours_becomes_an_ltc(implicit):
    [layer] = stack(recurrent(cells.LTCCell(UNITS)))
    module = ncps.LTC(FEATURES, UNITS, implicit_param_constraints=implicit)
    arrays = to_ncps(layer, "rnn_cell.", implicit)
    module.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})
    close(keras.ops.convert_to_numpy(layer(X)), outputs(module))
    for back, own in zip(from_ncps(module, layer)[0], layer.get_weights(), strict=True):
        np.testing.assert_allclose(back, own, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_a_cfc(mode, timed):
    module = random(ncps.CfC(FEATURES, UNITS, mode=mode, backbone_units=6, proj_size=2))
    features = FEATURES + timed
    cell = cells.CfCCell(UNITS, backbone_units=6, mode=mode, timed=timed)
    layers = stack(recurrent(cell), keras.layers.Dense(2), features=features)
    x = np.concatenate([X, TIMES[..., None]], -1) if timed else X
    # with a batch of several, theirs takes the times of all in one row: one by one
    expected = [
        module(torch.tensor(X[k : k + 1]), timespans=torch.tensor(TIMES[k : k + 1]))[0]
        for k in range(BATCH)
    ]
    expected = torch.cat(expected).detach().numpy() if timed else outputs(module)
    close(loaded(layers, from_ncps(module, layers), x), expected)


def test_ours_becomes_a_cfc():
    for mode in ("default", "pure"):
        cell = cells.CfCCell(UNITS, backbone_units=6, mode=mode, activation="relu")
        [layer] = stack(recurrent(cell))
        module = ncps.CfC(
            FEATURES, UNITS, mode=mode, backbone_units=6, activation="relu"
        )
        arrays = to_ncps(layer, "rnn_cell.")
        module.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})
        close(keras.ops.convert_to_numpy(layer(X)), outputs(module))
        np.testing.assert_equal(from_ncps(module, layer)[0], layer.get_weights())


@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_a_wired_cfc_is_a_stack(mode):
    module = random(ncps.CfC(FEATURES, wirings.NCP(**NCP), mode=mode))
    sizes = module.rnn_cell.layer_sizes
    layers = stack(
        *(
            recurrent(
                cells.CfCCell(n, backbone_units=below + n, activation=None, mode=mode)
            )
            for below, n in zip([FEATURES, *sizes], sizes, strict=False)
        )
    )
    close(loaded(layers, from_ncps(module, layers)), outputs(module))


def cfc(units=UNITS, backbone_units=6, **options):
    cell = cells.CfCCell(units, backbone_units=backbone_units, **options)
    return stack(recurrent(cell))


def ltc(**options):
    return stack(recurrent(cells.LTCCell(UNITS, **options)))


@pytest.mark.parametrize(
    ("module", "layers", "message"),
    [
        (ncps.CfC(3, 5, backbone_units=6, mixed_memory=True), cfc(), "mixed_memory"),
        (
            ncps.CfC(3, 5, backbone_units=6, backbone_layers=2),
            cfc(),
            "several backbone",
        ),
        (ncps.CfC(3, 5, backbone_units=6, mode="no_gate"), cfc(), "`mode='no_gate'`"),
        (
            ncps.CfC(3, 5, backbone_units=6, activation="silu"),
            cfc(),
            r"`activation='silu'`\. Received: activation='lecun_tanh'|silu",
        ),
        (ncps.CfC(3, 5, backbone_units=8), cfc(), r"weight` must have shape \(6, 8\)"),
        (ncps.CfC(3, 5, backbone_layers=0), cfc(), "and `backbone_units=8`"),
        (ncps.CfC(3, 5, backbone_units=6, proj_size=4), cfc(), r"Dense\(4\)"),
        (ncps.CfC(3, 5), ltc(), "must be a CfCCell, as `source` holds"),
        (ncps.LTC(3, 5), cfc(), "must be an LTCCell, as `source` holds"),
        (ncps.LTC(3, 5, ode_unfolds=3), ltc(), "`unfolds=3`. Received: unfolds=6"),
        (ncps.LTC(3, 5).state_dict(), ltc(), "say whether the LTC"),
        (ncps.LTC(4, 5), ltc(), r"`input_w` must have shape \(3,\).*\(4,\)"),
        (ncps.LTC(3, 5), [], "must hold a layer or cell"),
        (ncps.LTC(3, 5), [*ltc(), *ltc()], "holds 1 cells.*Received: 2"),
        (
            ncps.LTC(3, wirings.FullyConnected(5, 2)),
            [*ltc(), keras.layers.Dense(3)],
            "units=2. Received: 3",
        ),
    ],
)
def test_what_is_another_network_is_refused(module, layers, message):
    with pytest.raises(ValueError, match=message):
        from_ncps(module, layers)


def test_what_ncps_does_not_have_is_refused():
    [layer] = stack(recurrent(cells.MGUCell(UNITS)))
    with pytest.raises(ValueError, match="must be an LTCCell or a CfCCell.*MGUCell"):
        to_ncps(layer)
    [layer] = ltc()
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    with pytest.raises(ValueError, match="must be above 0"):
        to_ncps(layer, implicit_param_constraints=True)
