"""All steps at once: scans against the loop, alone and in the layer."""

from functools import partial

import keras
import numpy as np
import pytest
from helpers.layer_gradients import run
from keras import ops

import custom_lstm
from custom_lstm import RNN, cells
from custom_lstm.cells.scan import constant_scan, linear_scan

BACKEND = keras.backend.backend()
UNITS, FEATURES, TIME = 5, 4, 21
X = np.random.default_rng(1).normal(size=(3, TIME, FEATURES)).astype("float32")
MASKS = {
    "none": None,
    "right": np.arange(TIME) < np.array([[TIME], [9], [1]]),
    "interior": np.random.default_rng(2).random((3, TIME)) < 0.5,
}
CELLS = {
    "min_gru": partial(cells.MinGRUCell, UNITS),
    "min_lstm": partial(cells.MinLSTMCell, UNITS),
    "sru": partial(cells.SRUCell, UNITS),
    "lmu": partial(cells.LMUCell, UNITS, 2, order=3, theta=9.0, recurrent=False),
}
every_cell = pytest.mark.parametrize("kind", CELLS)


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def stepped(decay, inputs, state):
    states = []
    for t in range(decay.shape[1]):
        state = decay[:, t] * state + inputs[:, t]
        states.append(state)
    return np.stack(states, axis=1)


def problem(time, low=0.0):
    rng = np.random.default_rng(time)
    decay, inputs = rng.uniform(low, 1, (2, time, 3)), rng.normal(size=(2, time, 3))
    return decay, inputs, rng.normal(size=(2, 3))


def tensors(arrays):
    return [ops.convert_to_tensor(array, "float32") for array in arrays]


@pytest.mark.parametrize("time", [1, 2, 15, 16, 17, 31, 100, 257, 4096])
def test_a_scan_computes_what_a_loop_does(time):
    arrays = problem(time)
    found = numpy(linear_scan(*tensors(arrays)))
    np.testing.assert_allclose(found, stepped(*arrays), atol=2e-6)


@pytest.mark.parametrize("low", [0.99, 1.0])
def test_a_scan_of_long_memories_stays_near_float64(low):
    decay, inputs, state = problem(4096, low)
    found = numpy(linear_scan(*tensors([decay, inputs, state])))
    expected = stepped(*(np.float64(np.float32(a)) for a in (decay, inputs, state)))
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("decay", [0.0, 1e-30])
def test_what_has_decayed_is_nothing(decay):
    _, inputs, state = problem(50)
    found = numpy(linear_scan(*tensors([np.full((2, 50, 3), decay), inputs, state])))
    np.testing.assert_allclose(found, inputs, atol=1e-6)


@pytest.mark.parametrize("time", [1, 16, 40, 513])
def test_a_constant_system_is_scanned(time):
    rng = np.random.default_rng(3)
    A, B = cells.memory.legendre_system(6, 30.0)
    signals, state = rng.normal(size=(2, time, 3)), rng.normal(size=(2, 3, 6))
    found = numpy(constant_scan(A, B, *tensors([signals, state])))
    for t in range(time):
        state = state @ A.T + signals[:, t, :, None] * B
        np.testing.assert_allclose(found[:, t], state, atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="others know every length")
@every_cell
def test_an_unknown_number_of_steps_is_scanned(kind):
    layer = RNN(CELLS[kind](), return_sequences=True)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    looped = RNN(layer.cell, return_sequences=True, kernel="loop")
    for time in (1, 16, TIME):
        found = model.predict(X[:, :time], verbose=0)
        np.testing.assert_allclose(found, numpy(looped(X[:, :time])), atol=1e-5)
    assert layer.loop_used == "scan"


def both(kind, **flags):
    """Our layer that scans, and that which loops, with equal weights."""
    flags = {"return_sequences": True, "return_state": True} | flags
    pair = []
    for kernel in ("auto", "loop"):
        keras.utils.set_random_seed(7)
        layer = RNN(CELLS[kind](), kernel=kernel, **flags)
        shape = (*X.shape[1::-1], FEATURES) if layer.time_major else X.shape
        layer.build(shape)
        pair.append(layer)
    return pair


def assert_equal(pair, x, **given):
    scanned, looped = (
        [ops.convert_to_numpy(y) for y in keras.tree.flatten(layer(x, **given))]
        for layer in pair
    )
    assert len(scanned) == len(looped)
    for a, b in zip(scanned, looped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert pair[1].loop_used != "scan"


FLAGS = {
    "sequences": {},
    "last": {"return_sequences": False},
    "backwards": {"go_backwards": True},
    "zeros": {"zero_output_for_mask": True},
    "last zeros": {"zero_output_for_mask": True, "return_sequences": False},
    "stateful": {"stateful": True},
    "learned": {"learn_initial_state": True},
    "all states": {"return_all_states": True, "go_backwards": True},
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("mask", MASKS)
@every_cell
def test_the_layer_scans_what_it_would_loop_over(kind, mask, flags):
    if BACKEND == "jax" and kind != "min_gru":
        pytest.skip("JAX compiles each of them for seconds; one kind is enough there")
    pair = both(kind, **FLAGS[flags])
    given = {} if MASKS[mask] is None else {"mask": MASKS[mask]}
    for _ in range(2):
        assert_equal(pair, X, **given)
    scanned = kind != "lmu" or mask == "none"
    assert pair[0].loop_used == ("scan" if scanned else pair[1].loop_used)


@every_cell
def test_a_scan_begins_from_given_states(kind):
    pair = both(kind, time_major=True)
    states = keras.tree.map_structure(
        lambda s: ops.convert_to_tensor(np.full(s.shape, 0.7, "float32")),
        pair[0].get_initial_state(3),
    )
    assert_equal(pair, X.swapaxes(0, 1), initial_state=states)


@pytest.mark.parametrize("mask", ["none", "interior"])
@every_cell
def test_gradients_of_a_scan_are_those_of_the_loop(kind, mask):
    given = {} if MASKS[mask] is None else {"mask": MASKS[mask]}
    scanned, looped = (run(layer, X, **given) for layer in both(kind))
    for ours, theirs in zip(scanned, looped, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * max(1, abs(b).max()))


def test_dropout_reaches_a_scan():
    layer = RNN(cells.MinGRUCell(UNITS, dropout=0.5, seed=1), return_sequences=True)
    dropped, kept = (numpy(layer(X, training=t)) for t in (True, False))
    assert layer.loop_used == "scan"
    assert (abs(dropped - kept) > 1e-3).any()


def test_a_trace_shows_the_gates_of_a_scan():
    layer = RNN(cells.SRUCell(UNITS))
    found = custom_lstm.trace(layer, X)
    assert set(found) == {"c", "candidate", "forget", "reset"}
    assert found["forget"].shape == (3, TIME, UNITS)


@pytest.mark.parametrize(
    ("cell", "mask", "flags", "reason"),
    [
        (cells.LSTMCell(3), "none", {}, "LSTMCell has no `scan`"),
        (keras.layers.GRUCell(3), "none", {}, "GRUCell has no `scan`"),
        (cells.SRUCell(3, peephole=True), "none", {}, "`peephole` is True"),
        (cells.LMUCell(3), "none", {}, "`recurrent` is True"),
        (cells.LMUCell(3, recurrent=False), "right", {}, "a mask holds it"),
        (cells.MinGRUCell(3), "none", {"unroll": True}, "`unroll` is True"),
        ([cells.MinGRUCell(3)] * 2, "none", {}, "StackedRNNCells has no `scan`"),
    ],
)
def test_a_scan_that_cannot_run_says_why(cell, mask, flags, reason):
    layer = RNN(cell, kernel="scan", **flags)
    with pytest.raises(ValueError, match=f"'scan' cannot run here: .*{reason}"):
        layer(X, mask=MASKS[mask])


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="`kernel` must be one of .*kernel='fast'"):
        RNN(cells.MinGRUCell(3), kernel="fast")


def test_the_kernel_is_kept_in_the_config():
    layer = RNN(cells.MinGRUCell(3), kernel="loop")
    assert RNN.from_config(layer.get_config()).kernel == "loop"
    assert RNN(cells.MinGRUCell(3)).get_config()["kernel"] == "auto"
