"""Derivatives, huge inputs over long sequences, low precision."""

import keras
import numpy as np
import pytest
from helpers import layer_gradients
from keras import layers

import custom_lstm
from custom_lstm import GRU, LSTM, SimpleRNN

BACKEND = keras.backend.backend()
ON_TENSORFLOW = BACKEND == "tensorflow"
UNITS, FEATURES = 2, 2
MASK = np.array([[True, True, True], [True, False, True]])
NAMES = ["LSTM", "GRU", "SimpleRNN"]
LAYERS = {
    "LSTM": (LSTM, {}),
    "LSTM, backwards": (LSTM, {"go_backwards": True}),
    "LSTM, unrolled": (LSTM, {"unroll": True}),
    "LSTM, from a learned state": (LSTM, {"learn_initial_state": True}),
    "GRU": (GRU, {}),
    "GRU, reset before": (GRU, {"reset_after": False}),
    "SimpleRNN": (SimpleRNN, {}),
}


def float64_layer(make, rng, **options):
    """Return a layer in float64 with random weights, and inputs for it."""
    layer = make(
        UNITS, return_sequences=True, return_state=True, dtype="float64", **options
    )
    x = rng.normal(size=(*MASK.shape, FEATURES))
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer, x


@pytest.mark.skipif(not ON_TENSORFLOW, reason="TensorFlow alone keeps float64 in loops")
@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_equal_central_differences(kind, rng):
    make, options = LAYERS[kind]
    layer, x = float64_layer(make, rng, **options)
    weights = layer.get_weights()
    _, gradients = layer_gradients.run(layer, x, mask=MASK)
    step = 1e-6
    for array, found in zip([x, *weights], gradients, strict=True):
        expected = np.empty_like(array)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                array[index] += sign * step
                layer.set_weights(weights)
                ends.append(form(layer(x, mask=MASK)))
                array[index] -= sign * step
            expected[index] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def form(outputs):
    outputs = [keras.ops.convert_to_numpy(y) for y in outputs]
    return sum((y * layer_gradients.cotangent(y.shape)).sum() for y in outputs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compiled", [False, True] if ON_TENSORFLOW else [True])
@pytest.mark.parametrize("unroll", [False, True])
def test_second_derivatives_equal_those_of_the_cell_of_keras(
    name, compiled, unroll, rng
):
    dtype = "float64" if ON_TENSORFLOW else "float32"
    flags = {"return_sequences": True, "unroll": unroll, "dtype": dtype}
    cell = getattr(layers, f"{name}Cell")(UNITS, dtype=dtype)
    pair = layers.RNN(cell, **flags), getattr(custom_lstm, name)(UNITS, **flags)
    x = rng.normal(size=(*MASK.shape, FEATURES)).astype(dtype)
    results = []
    for layer in pair:
        layer.build(x.shape)
        layer.set_weights(
            [np.cos(np.arange(w.size)).reshape(w.shape) for w in layer.get_weights()]
        )
        results.append(
            layer_gradients.run(layer, x, mask=MASK, order=2, compiled=compiled)[1]
        )
    tolerance = 1e-10 if ON_TENSORFLOW else 1e-4
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert max(np.abs(second).max() for second in results[0]) > 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_inputs_over_1000_steps_stay_finite(name, size, rng):
    layer = getattr(custom_lstm, name)(2, return_sequences=True, return_state=True)
    x = (size * rng.normal(size=(2, 1000, 2))).astype("float32")
    layer.build(x.shape)
    outputs, gradients = layer_gradients.run(layer, x, compiled=True)
    assert outputs[0].shape == (2, 1000, 2)
    assert all(np.isfinite(array).all() for array in outputs + gradients)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_in_mixed_bfloat16_are_near_those_in_float32(name, rng, note_error):
    x = rng.normal(size=(4, 20, 8)).astype("float32")
    results = []
    for dtype in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(1)
        layer = getattr(custom_lstm, name)(
            16, return_sequences=True, return_state=True, dtype=dtype
        )
        layer.build(x.shape)
        results.append(layer_gradients.run(layer, x)[0])
    errors = [np.abs(low - high).max() for high, low in zip(*results, strict=True)]
    note_error(f"{name}, mixed_bfloat16 against float32", max(errors))
    assert 0 < max(errors) <= 2e-2
