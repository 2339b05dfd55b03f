"""What is peculiar to cells of memories and times; what all share: test_cells."""

from functools import partial

import keras
import numpy as np
import pytest
from helpers import memory_oracles as oracle
from keras import ops

import custom_lstm
from custom_lstm import RNN, cells

UNITS, FEATURES = 5, 4
X = np.random.default_rng(1).normal(size=(3, 6, FEATURES)).astype("float32")
MEMORY = np.random.default_rng(2).normal(size=(3, 7, 2)).astype("float32")


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def built(cell):
    cell.build((None, FEATURES))
    return cell


@pytest.mark.parametrize("score", ["additive", "general"])
def test_attention_matches_numpy(score, set_random_weights):
    cell = cells.AttentiveLSTMCell(UNITS, 2, score=score, attention_units=3)
    layer = RNN(cell, return_all_states=True, return_sequences=True)
    layer(X, constants=MEMORY)
    weights = set_random_weights(layer)
    _, shown = numpy(layer(X, constants=MEMORY))
    states = [np.zeros((3, UNITS))] * 2
    for t in range(X.shape[1]):
        gates, states = oracle.attentive(
            np.float64(X[:, t]), states, weights, MEMORY, general=score == "general"
        )
        gates |= dict(zip("hc", states, strict=True))
        for name, expected in gates.items():
            np.testing.assert_allclose(shown[name][:, t], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        (None, "constants=memory.*Received 0 constants"),
        ([MEMORY, MEMORY], "Received 2 constants"),
        (MEMORY[..., :1], r"length, 2\).*\(3, 7, 1\)"),
    ],
)
def test_attention_names_a_memory_that_does_not_fit(constants, said):
    layer = RNN(cells.AttentiveLSTMCell(UNITS, 2))
    with pytest.raises(ValueError, match=f"AttentiveLSTMCell.*{said}"):
        layer(X, constants=constants)


def test_cells_that_need_constants_have_no_name_in_tables():
    assert "attentive" not in cells.names()
    assert cells.get("AttentiveLSTMCell") is cells.AttentiveLSTMCell


def test_mass_is_conserved():
    layer = RNN(cells.MCLSTMCell(UNITS), return_sequences=True, return_state=True)
    x = np.abs(X)
    outputs, c = numpy(layer(x))
    flowed = outputs.sum(axis=(1, 2)) + c.sum(axis=1)
    np.testing.assert_allclose(flowed, x[:, :, 0].sum(axis=1), rtol=1e-5)


def test_mass_alone_is_enough():
    layer = RNN(cells.MCLSTMCell(UNITS, masses=FEATURES))
    assert np.isfinite(numpy(layer(np.abs(X)))).all()


def test_a_legendre_memory_holds_its_window():
    theta, order = 30, 12
    layer = RNN(
        cells.LMUCell(1, order=order, theta=theta, recurrent=False),
        return_state=True,
    )
    time = np.arange(200)
    signal = np.sin(time / 9.0).astype("float32")[None, :, None]
    layer.build(signal.shape)
    W, b, V = layer.get_weights()
    layer.set_weights([np.ones_like(W), b, V])
    _, m = numpy(layer(signal))
    delayed = np.polynomial.legendre.legval(np.array([-1.0, 0.0, 1.0]), m[0])
    expected = np.sin((199 - np.array([0, theta / 2, theta])) / 9.0)
    np.testing.assert_allclose(delayed, expected, atol=0.06)


@pytest.mark.parametrize("radius", [0.5, 1.2])
@pytest.mark.parametrize("connectivity", [0.1, 1.0])
def test_a_reservoir_has_its_radius(radius, connectivity):
    cell = built(
        cells.EchoStateCell(40, spectral_radius=radius, connectivity=connectivity)
    )
    U = numpy(cell.recurrent_kernel)
    assert abs(abs(np.linalg.eigvals(U)).max() - radius) < 1e-3
    assert ((U != 0).sum(axis=0) == 40 * connectivity).all()
    assert not cell.trainable_weights


def test_a_closed_phase_hardly_changes_the_state():
    cell = built(cells.PhasedLSTMCell(2, timed=True, leak=0.0))
    cell.period.assign([10.0, 10.0])
    cell.shift.assign([0.0, 5.0])
    x = np.array([[1.0, 2.0, 3.0, 5.125]], "float32")
    _, (h, c) = numpy(cell(x, [np.full((1, 2), 0.3, "float32")] * 2))
    assert h[0, 0] == np.float32(0.3) == c[0, 0]
    assert (h[0, 1], c[0, 1]) != (0.3, 0.3)


def test_time_alone_is_no_input():
    with pytest.raises(ValueError, match=r"CfCCell.*the last feature is the time"):
        cells.CfCCell(UNITS, timed=True).build((None, 1))


def test_a_turing_machine_begins_at_its_first_slot():
    h, r, w_r, w_w, M = numpy(cells.NTMCell(UNITS, slots=4).get_initial_state(2))
    for w in (w_r, w_w):
        np.testing.assert_array_equal(w, [[1, 0, 0, 0]] * 2)
    assert (np.float32(1e-6) == M).all() and not h.any() and not r.any()


def test_where_a_head_turns_sums_to_one():
    layer = RNN(cells.NTMCell(UNITS, slots=4), return_state=True)
    _, _, _, w_r, w_w, _ = numpy(layer(X))
    np.testing.assert_allclose([w_r.sum(1), w_w.sum(1)], 1, rtol=1e-5)


@pytest.mark.parametrize("make", [cells.SLSTMCell, cells.MLSTMCell])
@pytest.mark.parametrize("level", [-200.0, 200.0])
def test_exponential_gates_neither_overflow_nor_vanish(make, level):
    layer = RNN(make(UNITS), return_sequences=True)
    layer.build(X.shape)
    weights = layer.get_weights()
    weights[-1] = weights[-1] + np.float32(level)
    layer.set_weights(weights)
    assert np.isfinite(numpy(layer(X))).all()


def test_a_stabilizer_changes_nothing():
    cell = built(cells.SLSTMCell(UNITS))
    states = [np.abs(X[:, 0, :1]) * np.ones(UNITS, "float32") for _ in range(4)]
    h, c, n, m = states
    shifted = [h, c * np.exp(-3), n * np.exp(-3), m + 3]
    expected, _ = numpy(cell(X[:, 1], states))
    found, _ = numpy(cell(X[:, 1], [np.float32(s) for s in shifted]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


BAD = {
    "AntisymmetricRNNCell": [{"epsilon": 0}, {"gamma": -1}],
    "CoRNNCell": [{"dt": 0}, {"gamma": 0}, {"epsilon": "x"}],
    "UnICORNNCell": [{"dt": -1}, {"alpha": -0.1}],
    "LEMCell": [{"dt": 0}],
    "EchoStateCell": [{"leak": 0}, {"leak": 2}, {"connectivity": 1.5}],
    "CfCCell": [{"mode": "gate"}, {"timed": "no"}, {"backbone_units": 0}],
    "LTCCell": [{"unfolds": 0}, {"unfolds": 1.5}, {"epsilon": 0}],
    "PhasedLSTMCell": [{"open_ratio": 0}, {"open_ratio": 1.5}, {"max_period": 1}],
    "SRUCell": [{"peephole": 3}, {"highway_scale": float("nan")}],
    "SLSTMCell": [{"heads": 3}, {"heads": 0}],
    "MLSTMCell": [{"heads": 2.5}, {"epsilon": -1}],
    "LMUCell": [{"order": 0}, {"theta": 0}, {"memories": -1}, {"method": "tustin"}],
    "MCLSTMCell": [{"masses": 0}, {"initial_output": None}],
    "NTMCell": [{"slots": 2}, {"memory_units": 0}],
    "AttentiveLSTMCell": [
        {"memory_features": 0},
        {"score": "dot", "memory_features": 2},
        {"attention_units": 0, "memory_features": 2},
    ],
}


@pytest.mark.parametrize(
    ("name", "options"), [(n, options) for n, bad in BAD.items() for options in bad]
)
def test_a_bad_argument_is_named(name, options):
    argument, value = next(iter(options.items()))
    with pytest.raises(ValueError) as caught:
        cells.get(name)(UNITS, **options) if name != "CfCCell" else built(
            cells.CfCCell(UNITS, **options)
        )
    said = str(caught.value)
    assert name in said and f"`{argument}`" in said and repr(value) in said


def test_a_penalty_draws_weights_to_whole_numbers():
    penalty = cells.NAURegularizer(2.0)
    weights = ops.convert_to_tensor([[0.0, 1.0, -1.0, 7.0], [0.5, -0.25, 0.9, 0.0]])
    np.testing.assert_allclose(numpy(penalty(weights)), 2 * 0.85 / 8, rtol=1e-6)
    assert cells.NAURegularizer.from_config(penalty.get_config()).rate == 2.0


@pytest.mark.parametrize(
    "make",
    [
        partial(cells.CfCCell, backbone_units=3, timed=True),
        partial(cells.LTCCell, timed=True, unfolds=2),
    ],
)
def test_no_time_between_inputs_is_a_time_of_one(make):
    timed = RNN(make(UNITS))
    plain = RNN(type(timed.cell).from_config({**timed.cell.get_config(), "timed": 0}))
    x = X.copy()
    x[..., -1] = 1
    timed.build(x.shape)
    plain.build(x[..., :-1].shape)
    plain.set_weights(timed.get_weights())
    found, expected = numpy(plain(x[..., :-1])), numpy(timed(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_cells_of_the_catalogue_are_found_by_the_names_people_use():
    names = "min_gru min_lstm sru cornn unicornn lem ltc cfc lmu mc_lstm wmc_lstm nau"
    assert set(names.split()) <= set(cells.names())
    assert custom_lstm.cells.get("minGRU") is cells.MinGRUCell
