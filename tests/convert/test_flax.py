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


def random_weights(use_bias=True, gates=4):
    width = gates * UNITS
    shapes = [(FEATURES, width), (UNITS, width), (2, width) if gates == 3 else (width,)]
    weights = [0.5 * RNG.normal(size=shape).astype("float32") for shape in shapes]
    return weights if use_bias else weights[:2]


def flax_module(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


CELLS = {  # api of `to_flax` and the class: layer of Keras
    ("linen", "OptimizedLSTMCell"): "LSTM",
    ("linen", "LSTMCell"): "LSTM",
    ("linen", "GRUCell"): "GRU",
    ("linen", "SimpleCell"): "SimpleRNN",
    ("nnx", "OptimizedLSTMCell"): "LSTM",
    ("nnx.LSTMCell", "LSTMCell"): "LSTM",
    ("nnx", "GRUCell"): "GRU",
    ("nnx", "SimpleCell"): "SimpleRNN",
}
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
every_cell = pytest.mark.parametrize(("api", "cell"), CELLS)


def run_linen(cell, params):
    """Variables and outputs of a linen cell in an RNN, its own if none are given."""
    linen, jax = flax_module("flax.linen"), flax_module("jax")
    layer = linen.RNN(getattr(linen, cell)(UNITS))
    variables = layer.init(jax.random.key(0), X) if params is None else params
    return variables, layer.apply(variables, X)


def run_nnx(cell, params):
    """Return the same with an nnx cell."""
    nnx = flax_module("flax.nnx")
    rngs = nnx.Rngs(0)
    layer = nnx.RNN(getattr(nnx, cell)(FEATURES, UNITS, rngs=rngs), rngs=rngs)
    if params is not None:
        state = nnx.state(layer, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(layer, state)
    return nnx.to_pure_dict(nnx.state(layer, nnx.Param)), layer(X)


def own_weights(api, cell, use_bias=True):
    """Return random weights that the cell can hold, and how it gives them back."""
    weights = random_weights(use_bias, GATES[CELLS[api, cell]])
    back = [array.copy() for array in random_weights(True, GATES[CELLS[api, cell]])]
    back[2][:] = 0
    if CELLS[api, cell] == "GRU" and use_bias:
        weights[2][1, : None if api == "nnx" else 2 * UNITS] = 0
    return weights, [*weights, *back[len(weights) :]]


@pytest.mark.parametrize("library", [layers, custom_lstm])
@pytest.mark.parametrize("direction", ["from", "to"])
@every_cell
def test_flax_and_the_layer_compute_the_same(api, cell, direction, library):
    weights = own_weights(api, cell)[0] if direction == "to" else None
    prefix = "params/cell/" if api == "linen" else "cell/"
    given = to_flax(weights, api, prefix) if weights else None
    run = run_linen if api == "linen" else run_nnx
    params, expected = run(cell, given)
    layer = getattr(library, CELLS[api, cell])(UNITS, return_sequences=True)
    layer.build(X.shape)
    layer.set_weights(weights or from_flax(params))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(X)), expected, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("use_bias", [True, False])
@every_cell
def test_the_way_there_and_back_changes_nothing(api, cell, use_bias):
    weights, expected = own_weights(api, cell, use_bias)
    back = from_flax(to_flax(weights, api, reset_after=True))
    for array, original in zip(back, expected, strict=True):
        assert array.dtype == original.dtype
        np.testing.assert_array_equal(array, original)


def test_biases_that_flax_adds_up_keep_their_sum():
    weights = random_weights(gates=3)
    back = from_flax(to_flax(weights))
    both = 2 * UNITS
    np.testing.assert_array_equal(back[2][0, :both], weights[2].sum(0)[:both])
    np.testing.assert_array_equal(back[2][1, :both], 0)
    np.testing.assert_array_equal(back[2][:, both:], weights[2][:, both:])


@pytest.mark.parametrize("prefix", ["params/a/cell/", ""])
def test_parameters_of_a_model_need_the_path(prefix):
    params = {"a": {"cell": to_flax(random_weights())}}
    if prefix:
        params["b"] = {"cell": to_flax(random_weights(gates=3))}
    expected = from_flax(params["a"]["cell"])
    np.testing.assert_equal(from_flax({"params": params}, prefix), expected)
    with pytest.raises(ValueError, match="names are under 'params/a/cell/'"):
        from_flax({"params": params}, "params/cell/")


def test_a_module_of_nnx_and_what_holds_one_are_taken_too():
    nnx = flax_module("flax.nnx")

    class Model(nnx.Module):
        def __init__(self):
            cells = [nnx.LSTMCell(FEATURES, UNITS, rngs=nnx.Rngs(k)) for k in (0, 1)]
            self.rnns = nnx.List([nnx.RNN(cell, rngs=nnx.Rngs(0)) for cell in cells])
            self.gru = nnx.GRUCell(FEATURES, UNITS, rngs=nnx.Rngs(0))
            self.head = nnx.Linear(UNITS, 1, rngs=nnx.Rngs(0))
            self.itself = self

    model, states = Model(), lambda part: nnx.to_pure_dict(nnx.state(part, nnx.Param))
    for part in (model.rnns[0].cell, model.rnns[1], model.gru):
        expected = from_flax(states(part))
        np.testing.assert_equal(from_flax(part), expected)
        np.testing.assert_equal(from_flax(nnx.state(part)), expected)
    np.testing.assert_equal(
        from_flax(model, "rnns/1/cell/"), from_flax(states(model.rnns[1]))
    )
    np.testing.assert_equal(from_flax(model, "gru"), from_flax(states(model.gru)))
    with pytest.raises(
        ValueError, match="under 'rnns/0/cell/', 'rnns/1/cell/', 'gru/'$"
    ):
        from_flax(model)
    with pytest.raises(ValueError, match=r"or a module of nnx. Received: int"):
        from_flax(3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_kept_or_becomes_single(dtype):
    jnp = flax_module("jax.numpy")
    weights = random_weights()
    tree = {
        name: {kind: jnp.asarray(a, dtype) for kind, a in part.items()}
        for name, part in to_flax(weights, "nnx").items()
    }
    for array, original in zip(from_flax(tree), weights, strict=True):
        assert array.dtype == ("float32" if dtype == "bfloat16" else "float16")
        expected = np.asarray(jnp.asarray(original, dtype)).astype("float32")
        np.testing.assert_array_equal(array, expected)


def linen_with(part, **changes):
    params = to_flax(random_weights())
    params[part] = {**params[part], **changes}
    return {name: part for name, part in params.items() if part}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Missing: ii/kernel"),
        ({"a": linen_with("ii"), "b": linen_with("ii")}, "Unexpected: .*'a/', 'b/'"),
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
        (2 * random_weights(), "linen", "one LSTM.* in one direction"),
        ([np.ones((3, 6)), np.ones((2, 6))], "nnx", "or say `reset_after`"),
        (random_weights(), "haiku", r"'linen', 'nnx'.*'haiku'"),
        (random_weights(gates=1), "nnx.LSTMCell", "of an LSTM. Received: SimpleRNN"),
    ],
)
def test_weights_that_flax_cannot_hold_are_refused(weights, api, message):
    with pytest.raises(ValueError, match=message):
        to_flax(weights, api)
