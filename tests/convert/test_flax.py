"""Weights to and from real flax cells."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm.convert import from_flax, to_flax

FEATURES, UNITS = 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, FEATURES)).astype("float32")


def random_weights(use_bias=True):
    shapes = [(FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)]
    weights = [0.5 * RNG.normal(size=shape).astype("float32") for shape in shapes]
    return weights if use_bias else weights[:2]


def flax_module(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def run_linen(params):
    """Parameters and outputs of a linen cell, its own if none are given."""
    linen, jax = flax_module("flax.linen"), flax_module("jax")
    layer = linen.RNN(linen.OptimizedLSTMCell(UNITS))
    own = layer.init(jax.random.key(0), X)["params"]["cell"]
    params = own if params is None else params
    return params, layer.apply({"params": {"cell": params}}, X)


def run_nnx(params):
    """Return the same with an nnx cell."""
    nnx = flax_module("flax.nnx")
    cell = nnx.OptimizedLSTMCell(FEATURES, UNITS, rngs=nnx.Rngs(0))
    if params is not None:
        state = nnx.state(cell, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(cell, state)
    h = c = np.zeros((len(X), UNITS), "float32")
    outputs = []
    for t in range(X.shape[1]):
        (c, h), output = cell((c, h), X[:, t])
        outputs.append(output)
    own = nnx.to_pure_dict(nnx.state(cell, nnx.Param))
    return own, np.stack(outputs, axis=1)


RUN = {"linen": run_linen, "nnx": run_nnx}


@pytest.mark.parametrize("library", [layers, custom_lstm])
@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("api", RUN)
def test_flax_and_the_layer_compute_the_same(api, direction, library):
    weights = random_weights() if direction == "to" else None
    params, expected = RUN[api](to_flax(weights, api) if weights else None)
    layer = library.LSTM(UNITS, return_sequences=True)
    layer.build(X.shape)
    layer.set_weights(weights or from_flax(params))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(X)), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("api", RUN)
def test_the_way_there_and_back_changes_nothing(api, use_bias):
    weights = random_weights(use_bias)
    expected = weights if use_bias else [*weights, np.zeros(4 * UNITS, "float32")]
    for array, original in zip(from_flax(to_flax(weights, api)), expected, strict=True):
        assert array.dtype == original.dtype
        np.testing.assert_array_equal(array, original)


def linen_with(part, **changes):
    params = to_flax(random_weights())
    params[part] = {**params[part], **changes}
    return {name: part for name, part in params.items() if part}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Missing: ii/kernel"),
        ({"params": linen_with("ii")}, "Unexpected: params/ii/kernel"),
        (linen_with("ii", bias=np.ones(4)), "Unexpected: ii/bias"),
        (
            linen_with("hg", kernel=np.ones((4, 3))),
            r"`hg/kernel` must have shape \(4, 4\).*\(4, 3\)",
        ),
        (linen_with("io", kernel=np.ones((2, 4))), r"`io/kernel`.*\(3, 4\).*\(2, 4\)"),
        (linen_with("hf", bias=np.ones(5)), r"`hf/bias`.*\(4,\).*\(5,\)"),
        (
            {"dense_h": {"kernel": np.ones((2, 8))}},
            "Missing: dense_i/kernel, dense_h/b",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        from_flax(params)


@pytest.mark.parametrize(
    ("weights", "api", "message"),
    [
        (2 * random_weights(), "linen", "one LSTM in one direction"),
        ([np.ones((3, 6)), np.ones((2, 6))], "nnx", r"one LSTM.*\(3, 6\)"),
        (random_weights(), "haiku", r"'linen', 'nnx'.*'haiku'"),
    ],
)
def test_weights_that_flax_cannot_hold_are_refused(weights, api, message):
    with pytest.raises(ValueError, match=message):
        to_flax(weights, api)
