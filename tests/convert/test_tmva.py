"""TMVA's weight files against XML written by hand from their description."""

import keras
import numpy as np
import pytest
from helpers import tmva_files as files

import custom_lstm
from custom_lstm.convert import (
    TMVAFormatError,
    TMVALayer,
    from_tmva,
    save_tmva,
    to_tmva,
)

TAGS = list(files.CHILDREN)
LAYERS = {"RNNLayer": "SimpleRNN", "LSTMLayer": "LSTM", "GRULayer": "GRU"}
every_tag = pytest.mark.parametrize("tag", TAGS)
UNITS, FEATURES = 3, 2


def drawn(tag, units=UNITS, features=FEATURES, seed=0):
    return files.draw(tag, units, features, np.random.default_rng(seed))


def assert_same(ours, theirs, dtype="float64"):
    for array, expected in zip(ours, theirs, strict=True):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("interleaved", [False, True])
@every_tag
def test_both_orders_are_read_without_being_told(tag, interleaved, reset_after):
    matrices = drawn(tag)
    xml = files.whole_file(files.element(tag, matrices, interleaved, reset_after))
    [layer] = from_tmva(xml)
    assert_same(layer.weights, files.as_keras(tag, matrices, reset_after))
    assert (layer.tag, layer.units, layer.features) == (tag, UNITS, FEATURES)
    assert layer.reset_after == (reset_after or tag != "GRULayer")


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("tag", TAGS[1:])
def test_equal_sizes_demand_a_word(tag, interleaved):
    matrices = drawn(tag, 3, 3)
    xml = files.element(tag, matrices, interleaved).encode()
    with pytest.raises(TMVAFormatError, match=f"{tag} 1: .*=3 .*`interleaved=True`"):
        from_tmva(xml)
    [layer] = from_tmva(xml, interleaved=interleaved)
    assert_same(layer.weights, files.as_keras(tag, matrices, True))
    [other] = from_tmva(xml, interleaved=not interleaved)
    assert not np.array_equal(other.weights[0], layer.weights[0])


@pytest.mark.parametrize("interleaved", [None, False, True])
def test_a_simple_layer_has_one_order(interleaved):
    matrices = drawn("RNNLayer", 3, 3)
    xml = files.element("RNNLayer", matrices).encode()
    [layer] = from_tmva(xml, interleaved=interleaved)
    assert_same(layer.weights, files.as_keras("RNNLayer", matrices, True))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("tag", TAGS[1:])
def test_a_word_that_the_shapes_deny_is_refused(tag, interleaved):
    xml = files.element(tag, drawn(tag), interleaved).encode()
    with pytest.raises(TMVAFormatError, match=r"must have Rows=3 and Columns=\d"):
        from_tmva(xml, interleaved=not interleaved)


@pytest.mark.parametrize("library", [keras.layers, custom_lstm])
@pytest.mark.parametrize("reset_after", [True, False])
@every_tag
def test_the_layer_computes_what_the_equations_say(tag, reset_after, library):
    """With TMVA's matrices from the left: z_k = W_k·x + U_k·h + b_k."""
    m = drawn(tag)
    xml = files.element(tag, m, reset_after=reset_after).encode()
    [read] = from_tmva(xml)
    options = {"reset_after": reset_after} if tag == "GRULayer" else {}
    layer = getattr(library, LAYERS[tag])(read.units, return_sequences=True, **options)
    x = np.random.default_rng(1).normal(size=(2, 5, FEATURES)).astype("float32")
    layer.build(x.shape)
    layer.set_weights(read.weights)
    ours = keras.ops.convert_to_numpy(layer(x))
    for sequence, outputs in zip(x, ours, strict=True):
        expected = tmva_forward(tag, m, sequence, reset_after)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def tmva_forward(tag, m, sequence, reset_after):
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def z(gate, h):
        return m["W" + gate] @ x + m["U" + gate] @ h + m["b" + gate][:, 0]

    h = c = np.zeros(UNITS)
    outputs = []
    for x in sequence:
        if tag == "RNNLayer":
            h = np.tanh(z("", h))
        elif tag == "LSTMLayer":
            c = sigmoid(z("_f", h)) * c + sigmoid(z("_i", h)) * np.tanh(z("_c", h))
            h = sigmoid(z("_o", h)) * np.tanh(c)
        else:
            r, u = sigmoid(z("_r", h)), sigmoid(z("_z", h))
            recalled = r * (m["U_c"] @ h) if reset_after else m["U_c"] @ (r * h)
            g = np.tanh(m["W_c"] @ x + recalled + m["b_c"][:, 0])
            h = u * h + (1 - u) * g
        outputs.append(h)
    return np.stack(outputs)


def test_layers_are_found_in_a_whole_file_in_their_order():
    tags = ["GRULayer", "LSTMLayer", "RNNLayer", "LSTMLayer"]
    sizes = [(4, 2), (3, 4), (5, 3), (2, 5)]
    matrices = [
        drawn(tag, *size, seed=k)
        for k, (tag, size) in enumerate(zip(tags, sizes, strict=True))
    ]
    xml = files.whole_file(*map(files.element, tags, matrices))
    layers = from_tmva(xml)
    assert [layer.tag for layer in layers] == tags
    assert [(layer.units, layer.features) for layer in layers] == sizes
    for layer, tag, own in zip(layers, tags, matrices, strict=True):
        assert_same(layer.weights, files.as_keras(tag, own, True))


def test_attributes_become_options():
    changes = {"TimeSteps": 7, "RememberState": 1, "ReturnSequence": 0}
    xml = files.element("RNNLayer", drawn("RNNLayer"), **changes).encode()
    [layer] = from_tmva(xml)
    assert layer.time_steps == 7
    assert layer.remember_state is True
    assert layer.return_sequence is False


def test_a_file_of_before_return_sequence_returns_every_step():
    xml = files.element("RNNLayer", drawn("RNNLayer"), ReturnSequence=None)
    [layer] = from_tmva(xml.encode())
    assert layer.return_sequence is True


def layers_of(dtype):
    """One of each kind, with numbers of all sizes."""
    rng = np.random.default_rng(5)
    shapes = {
        "LSTMLayer": [(2, 12), (3, 12), (12,)],
        "GRULayer": [(3, 12), (4, 12), (12,)],
        "RNNLayer": [(4, 4), (4, 4), (4,)],
    }
    with np.errstate(over="ignore"):
        return [
            TMVALayer(
                [
                    (rng.normal(size=s) * 10.0 ** rng.integers(-30, 30, s)).astype(
                        dtype
                    )
                    for s in own
                ],
                time_steps=9,
                remember_state=tag == "LSTMLayer",
                return_sequence=tag != "RNNLayer",
                reset_after=False,
            )
            for tag, own in shapes.items()
        ]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_way_there_and_back_changes_nothing(dtype, interleaved, tmp_path):
    layers = layers_of(dtype)
    path = tmp_path / "weights.xml"
    save_tmva(path, layers, interleaved)
    assert path.read_bytes() == to_tmva(layers, interleaved)
    for ours, layer in zip(from_tmva(path), layers, strict=True):
        back = [array.astype(dtype) for array in ours.weights]
        assert_same(back, layer.weights, dtype)
        for name in ("tag", "time_steps", "remember_state", "return_sequence"):
            assert getattr(ours, name) == getattr(layer, name)


@every_tag
def test_what_is_written_is_what_the_description_says(tag):
    """Read by ElementTree, not by our reader."""
    from xml.etree import ElementTree

    matrices = drawn(tag)
    weights = files.as_keras(tag, matrices, True)
    root = ElementTree.fromstring(to_tmva([TMVALayer(weights, time_steps=5)]))
    [element] = root
    expected = ElementTree.fromstring(files.element(tag, matrices, ReturnSequence=0))
    assert element.tag == tag
    assert list(element.attrib.items()) == list(expected.attrib.items())
    for child, other in zip(element, expected, strict=True):
        assert child.tag == other.tag
        assert list(child.attrib.items()) == list(other.attrib.items())
        assert [*map(float, child.text.split())] == [*map(float, other.text.split())]
        assert all("e" in word for word in child.text.split())


def test_both_biases_of_a_gru_are_added_where_that_is_the_same():
    rng = np.random.default_rng(0)
    kernel, recurrent_kernel, bias = (
        rng.normal(size=s) for s in ((2, 9), (3, 9), (2, 9))
    )
    with pytest.raises(ValueError, match=r"`layers\[0\]`.*`bias\[1\]` must be 0"):
        to_tmva([TMVALayer([kernel, recurrent_kernel, bias])])
    bias[1, 6:] = 0
    [layer] = from_tmva(to_tmva([TMVALayer([kernel, recurrent_kernel, bias])]))
    assert_same(layer.weights[2], [bias[0] + bias[1], np.zeros(9)])


def test_a_missing_bias_is_written_as_zeros():
    [layer] = from_tmva(to_tmva([TMVALayer([np.ones((2, 12)), np.ones((3, 12))])]))
    assert_same([layer.weights[2]], [np.zeros(12)])


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ([np.ones((2, 12))], {}, "must be a list of weights"),
        ([np.ones((2, 12)), np.ones((3, 12))] * 2, {}, "one direction.*2 directions"),
        ([np.ones((2, 9)), np.ones((3, 9)), np.ones(9)], {}, "or say `reset_after`"),
        ([np.ones((2, 9)), np.ones((3, 9))], {}, "or say `reset_after`"),
        (
            [np.ones((2, 9)), np.ones((3, 9)), np.ones(9)],
            {"reset_after": True},
            r"reset_after=True.*\(9,\)",
        ),
        (
            [np.ones((2, 9)), np.ones((3, 9)), np.ones((2, 9))],
            {"reset_after": False},
            r"reset_after=False.*\(2, 9\)",
        ),
        ([np.ones((0, 12)), np.ones((3, 12))], {}, r"at least 1.*\(0, 12\)"),
        ([np.ones((2, 12)), np.ones((3, 12))], {"time_steps": 0}, "at least 1.*0"),
        ([np.ones((2, 12)), np.ones((3, 12))], {"time_steps": 10**9}, "at most 9{9}"),
        ([np.ones((2, 12)), np.ones((3, 12))], {"time_steps": 2.5}, "whole.*2.5"),
        ([np.ones((2, 12)), np.ones((3, 12))], {"time_steps": True}, "whole.*True"),
        ([np.ones((2, 12)), np.ones((3, 12))], {"remember_state": 5}, "True or.*5"),
        ([np.ones((2, 12)), np.ones((3, 12))], {"return_sequence": "no"}, "'no'"),
    ],
)
def test_what_is_no_layer_of_tmva_is_refused(weights, options, message):
    with pytest.raises(ValueError, match=message):
        TMVALayer(weights, **options)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("library", [keras.layers, custom_lstm])
@every_tag
def test_a_layer_says_what_it_is(tag, library, reset_after):
    options = {"reset_after": reset_after} if tag == "GRULayer" else {}
    layer = getattr(library, LAYERS[tag])(UNITS, return_sequences=True, **options)
    layer.build((2, 5, FEATURES))
    [read] = from_tmva(to_tmva([layer]))
    assert (read.tag, read.units, read.features) == (tag, UNITS, FEATURES)
    assert (read.return_sequence, read.remember_state) == (True, False)
    assert read.reset_after is (reset_after or tag != "GRULayer")
    assert_same(TMVALayer(layer).weights, layer.get_weights(), "float32")
    assert_same(
        [a.astype("float32") for a in read.weights], layer.get_weights(), "float32"
    )
    assert TMVALayer(layer, return_sequence=False).return_sequence is False


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (custom_lstm.LSTMCell(4, "relu"), "LSTMLayer has `activation` tanh"),
        (custom_lstm.PeepholeLSTMCell(4), "LSTMLayer has no peephole"),
        (custom_lstm.LayerNormLSTMCell(4), "must be an LSTM.*LayerNormLSTMCell"),
    ],
)
def test_a_layer_that_tmva_does_not_have_is_refused(cell, message):
    cell.build((2, FEATURES))
    with pytest.raises(ValueError, match=message):
        TMVALayer(cell)


def test_what_is_no_list_of_layers_is_refused():
    weights = [np.ones((2, 12)), np.ones((3, 12))]
    for layers in ([], [weights], TMVALayer(weights)):
        with pytest.raises(ValueError, match="at least one TMVALayer"):
            to_tmva(layers)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_failed_save_leaves_the_old_file(number, tmp_path):
    path = tmp_path / "weights.xml"
    good = TMVALayer([np.ones((2, 12)), np.ones((3, 12)), np.ones(12)])
    save_tmva(path, [good])
    old = path.read_bytes()
    bad = TMVALayer([np.ones((2, 12)), np.full((3, 12), number)])
    with pytest.raises(ValueError, match="<CandidateWeights> of LSTMLayer 2.*finite"):
        save_tmva(path, [good, bad])
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["weights.xml"]
