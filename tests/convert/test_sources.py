"""What the `to_` functions make of layers and cells, and what they refuse."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm import cells
from custom_lstm.convert import (
    from_flax,
    from_torch,
    to_cudnn,
    to_flax,
    to_haiku,
    to_onnx,
    to_tf1,
    to_torch,
)

FEATURES, UNITS = 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, FEATURES)).astype("float32")
TO = {
    "torch": to_torch,
    "flax": to_flax,
    "tf1": to_tf1,
    "haiku": to_haiku,
    "onnx": to_onnx,
    "cudnn": to_cudnn,
}


def built(layer, seed=1):
    """Return the layer with random weights."""
    rng = np.random.default_rng(seed)
    if getattr(layer, "go_backwards", None) is None and hasattr(layer, "state_size"):
        layer.build((None, FEATURES))
    else:
        layer.build(X.shape)
    layer.set_weights([0.5 * rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def assert_equal(ours, theirs):
    np.testing.assert_equal(keras.tree.flatten(ours), keras.tree.flatten(theirs))


SAME = {  # what is given: what it must be as good as
    "LSTM": lambda: layers.LSTM(UNITS),
    "GRU": lambda: layers.GRU(UNITS),
    "SimpleRNN": lambda: layers.SimpleRNN(UNITS),
    "our LSTM": lambda: custom_lstm.LSTM(UNITS),
    "our GRU": lambda: custom_lstm.GRU(UNITS),
    "our SimpleRNN": lambda: custom_lstm.SimpleRNN(UNITS),
    "LSTMCell": lambda: layers.LSTMCell(UNITS),
    "our GRUCell": lambda: cells.GRUCell(UNITS),
    "RNN": lambda: layers.RNN(layers.SimpleRNNCell(UNITS)),
    "our RNN": lambda: custom_lstm.RNN(cells.LSTMCell(UNITS, dropout=0.5)),
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(UNITS)),
    "our Bidirectional": lambda: custom_lstm.Bidirectional(custom_lstm.GRU(UNITS)),
    "zoneout of 0": lambda: cells.ZoneoutLSTMCell(UNITS, 0.0, 0.0),
    "implementation": lambda: layers.LSTM(UNITS, implementation=1, dropout=0.5),
}


@pytest.mark.parametrize("case", SAME)
def test_a_layer_is_as_good_as_its_weights(case):
    layer = built(SAME[case]())
    weights = layer.get_weights()
    assert_equal(to_torch(layer), to_torch([weights]))
    assert_equal(to_torch([layer]), to_torch([weights]))
    assert_equal(to_onnx(layer), to_onnx(weights))
    assert_equal(to_cudnn(layer), to_cudnn([weights]))
    if "Bidirectional" not in case:
        assert_equal(to_flax(layer), to_flax(weights))
        if "GRU" not in case:
            assert_equal(to_tf1(layer), to_tf1(weights))


def test_stacked_cells_are_stacked_layers():
    stacked = built(layers.RNN([cells.LSTMCell(4), layers.LSTMCell(5)]))
    one, two = stacked.get_weights()[:3], stacked.get_weights()[3:]
    with pytest.raises(ValueError, match="to make one torch module"):
        to_torch(stacked)
    stacked = built(custom_lstm.RNN([cells.LSTMCell(4), layers.LSTMCell(4)]))
    one, two = stacked.get_weights()[:3], stacked.get_weights()[3:]
    assert_equal(to_torch(stacked), to_torch([one, two]))
    with pytest.raises(ValueError, match="stacked cells; give them one by one"):
        to_onnx(stacked)


def run(layer):
    return keras.ops.convert_to_numpy(layer(X))


@pytest.mark.parametrize("use_bias", [True, False])
def test_coupled_gates_become_those_of_a_plain_lstm(use_bias):
    coupled = built(custom_lstm.RNN(cells.CoupledLSTMCell(UNITS, use_bias=use_bias)))
    plain = custom_lstm.LSTM(UNITS, use_bias=use_bias)
    plain.build(X.shape)
    [weights] = from_torch(to_torch(coupled))
    plain.set_weights(weights)
    np.testing.assert_allclose(run(plain), run(coupled), rtol=1e-6, atol=1e-6)
    assert len(to_flax(coupled)) == 8


ONE_GRU = [np.ones((3, 6)), np.ones((2, 6))]


@pytest.mark.parametrize("to", TO)
def test_three_gates_without_a_bias_demand_a_word(to):
    weights = [ONE_GRU] if to in ("torch", "cudnn") else ONE_GRU
    with pytest.raises(ValueError, match=r"Give the layer .* or say `reset_after`"):
        TO[to](weights)
    after = to in ("torch", "cudnn", "flax", "onnx")
    assert len(TO[to](weights, reset_after=after)) > 0
    if to != "onnx":
        with pytest.raises(ValueError, match=f"a GRU with `reset_after={after}`"):
            TO[to](weights, reset_after=not after)


@pytest.mark.parametrize("to", ["tf1", "haiku", "onnx"])
def test_three_gates_with_one_row_of_biases_demand_a_word_too(to):
    weights = [*ONE_GRU, np.ones(6)]
    with pytest.raises(ValueError, match="or of an LSTM with coupled gates"):
        TO[to](weights)
    assert len(TO[to](weights, reset_after=False)) > 0


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_gru_is_judged_by_its_reset(use_bias):
    before = built(layers.GRU(UNITS, reset_after=False, use_bias=use_bias))
    after = built(custom_lstm.GRU(UNITS, use_bias=use_bias))
    for to in ("torch", "flax", "cudnn"):
        with pytest.raises(ValueError, match="is a GRU with `reset_after=True`"):
            TO[to](before)
        assert len(TO[to](after)) > 0 or use_bias
    for to in ("tf1", "haiku"):
        with pytest.raises(ValueError, match="is a GRU with `reset_after=False`"):
            TO[to](after)
        assert len(TO[to](before)) > 0


@pytest.mark.parametrize(
    "weights", [[*ONE_GRU, np.ones(6)], [*ONE_GRU, np.ones((2, 6))]]
)
def test_a_word_that_the_bias_denies_is_refused(weights):
    with pytest.raises(ValueError, match=r"`reset_after=\w+` is not true of this GRU"):
        to_onnx(weights, reset_after=weights[2].ndim == 1)


def test_a_word_that_the_layer_denies_is_refused():
    layer = built(layers.GRU(UNITS, use_bias=False, reset_after=False))
    with pytest.raises(ValueError, match="`reset_after=True` is not true of this GRU"):
        to_torch(layer, reset_after=True)


def tanh(x):
    """It might compute anything."""
    return x


class OwnCell(cells.LSTMCell):
    """It might compute anything."""


REFUSED = [
    (lambda: layers.LSTM(4, "relu"), "LSTM has `activation` tanh. Received: relu"),
    (
        lambda: layers.LSTM(4, recurrent_activation="hard_sigmoid"),
        "`recurrent_activation` sigmoid. Received: hard_sigmoid",
    ),
    (lambda: layers.LSTM(4, None), "`activation` tanh. Received: linear"),
    (lambda: layers.GRU(4, "relu"), "torch.nn.GRU has `activation` tanh"),
    (lambda: layers.LSTM(4, tanh), r"`activation` tanh. Received: test_sources\.tanh"),
    (lambda: layers.SimpleRNN(4, "gelu"), "tanh or relu. Received: gelu"),
    (lambda: layers.LSTM(4, go_backwards=True), "`go_backwards=True`"),
    (
        lambda: layers.Bidirectional(
            layers.LSTM(4, go_backwards=True), backward_layer=layers.LSTM(4)
        ),
        "`go_backwards=True`",
    ),
    (lambda: layers.Bidirectional(layers.LSTM(4), "sum"), "merge_mode='sum'"),
    (lambda: layers.RNN(cells.LayerNormLSTMCell(4)), "LayerNormLSTMCell, whose"),
    (lambda: cells.ZoneoutLSTMCell(4, 0.5, 0.0), r"with zoneout \[0.5, 0.0\]"),
    (lambda: cells.LSTMCell(4, output_activation="relu"), "`output_activation` tanh"),
    (lambda: cells.PeepholeLSTMCell(4), "torch.nn.LSTM has no peephole"),
    (lambda: layers.RNN(OwnCell(4)), r"test_sources.OwnCell.*get_weights\(\)"),
    (lambda: layers.Dense(4), "keras.*Dense"),
    (
        lambda: layers.Bidirectional(
            custom_lstm.RNN([cells.LSTMCell(4), cells.LSTMCell(4)])
        ),
        "stacked cells",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_torch_cannot_hold_is_refused_not_converted(make, message):
    layer = built(make())
    with pytest.raises(ValueError, match=rf"`layers\[0\]`.*{message}"):
        to_torch([layer])


@pytest.mark.parametrize("activation", [keras.ops.tanh, keras.activations.tanh])
def test_tanh_is_tanh_wherever_it_comes_from(activation):
    assert to_torch(built(layers.LSTM(4, activation)))


def test_a_layer_without_weights_is_refused():
    with pytest.raises(ValueError, match="build it first"):
        to_torch(layers.LSTM(4))


@pytest.mark.parametrize("to", ["flax", "tf1"])
def test_an_activation_of_c_alone_is_refused(to):
    relu = {"activation": "relu", "output_activation": "relu"}
    assert TO[to](built(cells.LSTMCell(4, **relu)))
    with pytest.raises(ValueError, match="`output_activation` tanh. Received: relu"):
        TO[to](built(cells.LSTMCell(4, output_activation="relu")))


def test_layers_of_a_stack_have_the_same_activations():
    first, second = (
        built(cells.SimpleRNNCell(FEATURES, activation=a)) for a in ("tanh", "relu")
    )
    with pytest.raises(ValueError, match=r"`layers\[1\]` must have the activations"):
        to_torch([first, second])
    assert to_torch([second, second.get_weights()])


@pytest.mark.parametrize("to", ["flax", "haiku", "onnx", "tf1"])
def test_variants_that_a_library_lacks_are_refused(to):
    projected = built(cells.ProjectedLSTMCell(4, 2))
    if to != "tf1":
        with pytest.raises(ValueError, match="has no projection"):
            TO[to](projected)
    if to not in ("tf1", "onnx"):
        with pytest.raises(ValueError, match="has no peephole"):
            TO[to](built(cells.PeepholeLSTMCell(4)))
    with pytest.raises(ValueError, match="a projection has no place"):
        to_cudnn(projected)


@pytest.mark.parametrize("to", ["flax", "haiku", "tf1"])
def test_two_directions_are_converted_one_by_one(to):
    with pytest.raises(ValueError, match="one LSTM.*in one direction"):
        TO[to](built(layers.Bidirectional(layers.LSTM(UNITS))))


def test_arrays_of_a_variant_are_told_from_those_of_two_directions():
    for use_bias in (True, False):
        cell = built(cells.ProjectedLSTMCell(UNITS, 2, use_bias=use_bias))
        assert_equal(to_torch([cell.get_weights()]), to_torch(cell))
        cell = built(cells.PeepholeLSTMCell(UNITS, use_bias=use_bias))
        assert_equal(to_onnx(cell.get_weights()), to_onnx(cell))


def test_arrays_that_may_be_of_two_variants_demand_the_layer():
    weights = [np.ones((2, 12)), np.ones((3, 12)), np.ones(12), np.ones((3, 3))]
    with pytest.raises(ValueError, match="may be peepholes or a projection"):
        to_torch([weights])
    with pytest.raises(ValueError, match=r"fourth array.*\(2, 2\)"):
        to_torch([[*weights[:3], np.ones((2, 2))]])
    assert to_torch(built(cells.ProjectedLSTMCell(3, 3)))


def test_what_flax_has_of_a_gru_comes_back():
    weights = built(layers.GRU(UNITS)).get_weights()
    folded = from_flax(to_flax(weights))
    np.testing.assert_array_equal(folded[2].sum(0), weights[2].sum(0))
    with pytest.raises(ValueError, match=r"nnx.GRUCell has no bias within the reset"):
        to_flax(weights, "nnx")
