"""Our layers against Keras's, weights copied: outputs, states, all gradients.

The grid is a fixed random sample of every combination of options. Its size is
CUSTOM_LSTM_PARITY; 1,000 take some minutes.
"""

import itertools
import os

import keras
import layer_gradients
import numpy as np
import pytest
from keras import layers

import custom_lstm

BACKEND = keras.backend.backend()
SIZE = int(os.environ.get("CUSTOM_LSTM_PARITY", 96 if BACKEND == "tensorflow" else 24))
UNITS, FEATURES = 5, 4
OPTIONS = {
    "use_bias": (True, False),
    "return_sequences": (True, False),
    "return_state": (True, False),
    "go_backwards": (False, True),
    "stateful": (False, True),
    "unroll": (False, True),
    "zero_output_for_mask": (False, True),
    "mask": ("none", "right", "left", "interior"),
    "initial_state": (False, True),
    "batch": (3, 1),
    "time": (6, 1),
}


def grid(size, seed=0, **more):
    """A sample of all combinations of `OPTIONS` and `more`, as dicts with ids."""
    options = {**OPTIONS, **more}
    every = list(itertools.product(*options.values()))
    chosen = np.random.default_rng(seed).permutation(len(every))
    cases = (dict(zip(options, every[k], strict=True)) for k in chosen)
    cases = filter(keras_can, cases)
    return [
        pytest.param(case, id="-".join(str(value) for value in case.values()))
        for case in itertools.islice(cases, size)
    ]


def keras_can(case):
    """Whether Keras itself runs it: on PyTorch it cannot flip its list of masks."""
    flips = case["unroll"] and case["go_backwards"] and case["mask"] != "none"
    return not (BACKEND == "torch" and flips)


def make_mask(kind, batch, time, rng):
    lengths = rng.integers(1, time + 1, size=(batch, 1))
    return {
        "none": None,
        "right": np.arange(time) < lengths,
        "left": np.arange(time) >= time - lengths,
        "interior": rng.random((batch, time)) < 0.6,
    }[kind]


def both(ours, theirs, case, **options):
    """Results of both layers on the same random weights, inputs and states."""
    case = {**case, **options}
    rng = np.random.default_rng(1)
    batch, time = case.pop("batch"), case.pop("time")
    x = rng.normal(size=(batch, time, FEATURES)).astype("float32")
    mask = make_mask(case.pop("mask"), batch, time, rng)
    count = 2 if ours is custom_lstm.LSTM else 1
    states = rng.normal(size=(count, batch, UNITS)).astype("float32")
    states = list(states) if case.pop("initial_state") else []
    results, weights = [], None
    for make in (theirs, ours):
        layer = make(UNITS, **case)
        layer.build(x.shape)
        weights = weights or [rng.normal(size=w.shape) / 2 for w in layer.weights]
        layer.set_weights(weights)
        if layer.stateful:
            layer(x[:, ::-1].copy())
        results.append(layer_gradients.run(layer, x, states, mask=mask))
    return results


def worst_error(results, rtol=1.3e-6, atol=1e-5):
    (outputs, gradients), (our_outputs, our_gradients) = results
    assert len(outputs) == len(our_outputs)
    assert len(gradients) == len(our_gradients)
    worst = 0.0
    for expected, ours in zip(
        outputs + gradients, our_outputs + our_gradients, strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=rtol, atol=atol)
        worst = max(worst, np.abs(ours - expected).max())
    return worst


@pytest.mark.parametrize("case", grid(SIZE, unit_forget_bias=(True, False)))
def test_lstm_equals_keras(case, note_error):
    results = both(custom_lstm.LSTM, layers.LSTM, case)
    note_error("LSTM", worst_error(results))


@pytest.mark.parametrize("case", grid(SIZE // 4, reset_after=(True, False)))
def test_gru_equals_keras(case, note_error):
    note_error("GRU", worst_error(both(custom_lstm.GRU, layers.GRU, case)))


@pytest.mark.parametrize("case", grid(SIZE // 8))
def test_simple_rnn_equals_keras(case, note_error):
    results = both(custom_lstm.SimpleRNN, layers.SimpleRNN, case)
    note_error("SimpleRNN", worst_error(results))


PLAIN = {name: values[0] for name, values in OPTIONS.items()}
PAIRS = {
    name: (getattr(custom_lstm, name), getattr(layers, name))
    for name in ("LSTM", "GRU", "SimpleRNN")
}


TOLERANCES = {"mixed_bfloat16": 2e-2, "mixed_float16": 1e-2, "float64": 1e-12}
DTYPES = [
    (name, dtype)
    for name, dtype in itertools.product(PAIRS, TOLERANCES)
    # Keras's own GRU fails in mixed precision on JAX, and only TensorFlow keeps float64
    if not (BACKEND == "jax" and name == "GRU")
    and (BACKEND == "tensorflow" or dtype != "float64")
]


@pytest.mark.parametrize(("name", "dtype"), DTYPES)
def test_dtypes_equal_keras(name, dtype, note_error):
    tolerance = TOLERANCES[dtype]
    results = both(*PAIRS[name], PLAIN, dtype=dtype)
    note_error(dtype, worst_error(results, rtol=tolerance, atol=tolerance))


@pytest.mark.parametrize("name", PAIRS)
def test_mixed_bfloat16_is_near_float32(name):
    ours, _ = PAIRS[name]
    (low, _), (high, _) = (
        both(ours, ours, PLAIN, dtype=dtype)[1]
        for dtype in ("mixed_bfloat16", "float32")
    )
    for ours, expected in zip(low, high, strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-2)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.4},
        {"recurrent_dropout": 0.4},
        {"dropout": 0.3, "recurrent_dropout": 0.3},
        {"dropout": 0.4, "implementation": 1},
    ],
    ids=str,
)
def test_equal_seeds_drop_what_keras_drops(name, unroll, options):
    if name == "SimpleRNN":
        options = {k: v for k, v in options.items() if k != "implementation"}
    flags = {"unroll": unroll, "return_sequences": True}
    options = {**options, "seed": 3}
    its_cell, our_cell = (getattr(m, f"{name}Cell") for m in (layers, custom_lstm))
    three = [
        layers.RNN(its_cell(UNITS, **options), **flags),
        layers.RNN(our_cell(UNITS, **options), **flags),
        getattr(custom_lstm, name)(UNITS, **options, **flags),
    ]
    x = np.random.default_rng(2).normal(size=(3, 6, FEATURES)).astype("float32")
    for layer in three:
        layer.build(x.shape)
        layer.set_weights(three[0].get_weights())
    drawn = []
    for _ in range(2):
        expected, *results = [
            layer_gradients.run(layer, x, training=True) for layer in three
        ]
        for result in results:
            worst_error([expected, result])
        drawn.append(expected[0][0])
    advances = BACKEND != "jax"  # there, the caller carries the state of the generator
    assert np.allclose(*drawn) is not advances


@pytest.mark.parametrize("name", PAIRS)
def test_dropout_is_off_at_inference(name):
    make, _ = PAIRS[name]
    x = np.random.default_rng(2).normal(size=(3, 6, FEATURES)).astype("float32")
    layer = make(UNITS, dropout=0.5, recurrent_dropout=0.5, seed=3)
    plain = make(UNITS)
    layer.build(x.shape), plain.build(x.shape)
    layer.set_weights(plain.get_weights())
    results = [layer_gradients.run(it, x, training=False) for it in (plain, layer)]
    assert worst_error(results, rtol=0, atol=1e-6) < 1e-6


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_inputs_over_1000_steps_stay_finite(name, size):
    make, _ = PAIRS[name]
    layer = make(2, return_sequences=True)
    x = size * np.random.default_rng(3).normal(size=(1, 1000, 2)).astype("float32")
    layer.build(x.shape)
    outputs, gradients = layer_gradients.run(layer, x)
    assert all(np.isfinite(array).all() for array in outputs + gradients)
