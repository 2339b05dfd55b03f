"""Our layers against Keras's, weights copied: outputs, states, all gradients.

On TensorFlow an LSTM runs with 128 of the 512 combinations of `OPTIONS`, among which
every combination of any five two-valued ones is equally frequent (a mask counts as two
of them). The `REST` goes through its eight combinations from one to the next. Other
layers, and other backends, take a fixed random share. CUSTOM_LSTM_PARITY=8 takes all
512 and, each time, all eight; and eight times as many of the others.
"""

import itertools
import os

import keras
import numpy as np
import pytest
from helpers import layer_gradients
from keras import layers

import custom_lstm

BACKEND = keras.backend.backend()
SHARE = {"tensorflow": 1, "torch": 4, "jax": 32}[BACKEND]
TURNS = int(os.environ.get("CUSTOM_LSTM_PARITY", 1))
UNITS, FEATURES = 5, 4
OPTIONS = {
    "use_bias": (True, False),
    "return_sequences": (True, False),
    "return_state": (True, False),
    "go_backwards": (False, True),
    "stateful": (False, True),
    "unroll": (False, True),
    "mask": ("none", "right", "left", "interior"),
    "initial_state": (False, True),
}
REST = {"zero_output_for_mask": (False, True), "batch": (3, 1), "time": (4, 1)}


def grid(share, **more):
    """One in `share` of combinations of `OPTIONS` and `more`, with ids.

    Each has `TURNS` combinations of `REST`, every one of which is as frequent.
    """
    options = {**OPTIONS, **more}
    every = list(itertools.product(*options.values()))
    if TURNS == 1 and share == 1:
        every = list(filter(balanced, every))
    rest = list(itertools.product(*REST.values()))
    rng = np.random.default_rng(0)
    order, first = rng.permutation(len(every)), rng.permutation(len(every))
    names = [*options, *REST]
    cases = (
        dict(zip(names, every[k] + rest[(n + turn) % len(rest)], strict=True))
        for k, n in zip(order[::share], first[::share], strict=True)
        for turn in range(TURNS)
    )
    return [
        pytest.param(case, id="-".join(str(value) for value in case.values()))
        for case in filter(keras_can, cases)
    ]


def balanced(values):
    """Whether these values of `OPTIONS` belong to a fractional factorial design.

    It is the one of nine factors and resolution VI in 128 runs.
    """
    places = [v.index(x) for v, x in zip(OPTIONS.values(), values, strict=True)]
    mask = places.pop(6)
    a, b, c, d, e, f, g, h, i = [*places, mask & 1, mask >> 1]
    return (a + c + d + f + g + h) % 2 == (b + c + e + f + g + i) % 2 == 0


def keras_can(case):
    """Whether Keras itself runs it, and as it says.

    On PyTorch it cannot flip its list of masks, and it writes the states that it begins
    with over before the gradient needs them. On JAX an unrolled loop takes no notice of
    `zero_output_for_mask`.
    """
    masked_loop = case["unroll"] and case["mask"] != "none"
    flips = masked_loop and case["go_backwards"]
    if BACKEND == "jax" and masked_loop and case["zero_output_for_mask"]:
        return False
    overwrites = case["stateful"] and not case["initial_state"]
    return BACKEND != "torch" or not (flips or overwrites)


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


@pytest.mark.parametrize("case", grid(SHARE))
def test_lstm_equals_keras(case, note_error):
    results = both(custom_lstm.LSTM, layers.LSTM, case)
    note_error("LSTM", worst_error(results))


@pytest.mark.parametrize("case", grid(8 * SHARE, reset_after=(True, False)))
def test_gru_equals_keras(case, note_error):
    note_error("GRU", worst_error(both(custom_lstm.GRU, layers.GRU, case)))


@pytest.mark.parametrize("case", grid(8 * SHARE))
def test_simple_rnn_equals_keras(case, note_error):
    results = both(custom_lstm.SimpleRNN, layers.SimpleRNN, case)
    note_error("SimpleRNN", worst_error(results))


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
@pytest.mark.parametrize("case", grid(128 if BACKEND == "tensorflow" else 256))
def test_dtypes_equal_keras(name, dtype, case, note_error):
    tolerance = TOLERANCES[dtype]
    results = both(*PAIRS[name], case, dtype=dtype)
    note_error(dtype, worst_error(results, rtol=tolerance, atol=tolerance))


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
