"""Long sequences, huge inputs, low precision."""

import keras
import layer_gradients
import numpy as np
import pytest

import custom_lstm

LAYERS = ["LSTM", "GRU", "SimpleRNN"]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_inputs_over_1000_steps_stay_finite(name, size, rng):
    layer = getattr(custom_lstm, name)(2, return_sequences=True, return_state=True)
    x = (size * rng.normal(size=(2, 1000, 2))).astype("float32")
    layer.build(x.shape)
    outputs, gradients = layer_gradients.run(layer, x, compiled=True)
    assert outputs[0].shape == (2, 1000, 2)
    assert all(np.isfinite(array).all() for array in outputs + gradients)


@pytest.mark.parametrize("name", LAYERS)
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
