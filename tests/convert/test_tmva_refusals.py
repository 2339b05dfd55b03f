"""XML that is no TMVA weight file ends in one error, before anything is used."""

import numpy as np
import pytest
from helpers import tmva_files as files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custom_lstm.convert import TMVAFormatError, TMVALayer, from_tmva, to_tmva

TAGS = list(files.CHILDREN)
MATRICES = {tag: files.draw(tag, 3, 2, np.random.default_rng(0)) for tag in TAGS}
XML = {tag: files.element(tag, MATRICES[tag]) for tag in TAGS}
LSTM = XML["LSTMLayer"]


def test_the_xml_is_right_before_it_is_spoilt():
    for xml in XML.values():
        assert len(from_tmva(xml.encode())) == 1


BOMB = '<!DOCTYPE a [<!ENTITY a "1.0"><!ENTITY b "&a;&a;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("", "malformed XML"),
        (LSTM[: len(LSTM) // 2], "malformed XML"),
        (LSTM + LSTM, "malformed XML"),
        ("<a>&b;</a>", "malformed XML: undefined entity"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", "unknown encoding"),
        (BOMB + LSTM, "declares types or entities"),
        (OUTSIDE + LSTM, "declares types or entities"),
        ("<Weights><DenseLayer/></Weights>", "none of RNNLayer, LSTMLayer, GRULayer"),
    ],
)
def test_what_is_no_weight_file_is_refused(xml, message):
    with pytest.raises(TMVAFormatError, match=message):
        from_tmva(xml.encode())


ONE_MORE = '<InputBiases Rows="3" Columns="1">1 1 1</InputBiases>'


@pytest.mark.parametrize(
    ("good", "spoilt", "message"),
    [
        ("</OuputWeights", "</OutputWeights", "malformed XML: mismatched tag"),
        ("LSTMLayer", "lstmLayer", "none of RNNLayer"),
        ("OuputWeights", "OutputWeights", "must not hold <OutputWeights>"),
        ("<ForgetWeights", f"{ONE_MORE}<ForgetWeights", "holds <InputBiases> twice"),
        ("<ForgetWeights", "<b/><ForgetWeights", "must not hold <b>"),
        ("</ForgetWeights", "<b/></ForgetWeights", "must not hold <b>"),
        ("<ForgetWeights", "8<ForgetWeights", "holds text: '8'"),
        (" TimeSteps", " Timesteps", "Missing: TimeSteps. Unexpected: Timesteps"),
        (' StateSize="3"', "", "Missing: StateSize"),
        (" StateSize", ' Depth="1" StateSize', "Unexpected: Depth"),
        ('StateSize="3"', 'StateSize="4"', "CellSize must be StateSize=4"),
        ('InputSize="2"', 'InputSize="0"', "InputSize must be at least 1"),
        ('InputSize="2"', 'InputSize="5"', "must have Rows=3 and Columns=5"),
        ('InputSize="2"', 'InputSize="-2"', "whole number.*'-2'"),
        ('InputSize="2"', 'InputSize="2.0"', "whole number.*'2.0'"),
        ('InputSize="2"', 'InputSize="٢"', "whole number.*'٢'"),
        ('InputSize="2"', f'InputSize="{"9" * 5000}"', "whole number"),
        ('TimeSteps="5"', 'TimeSteps=""', "whole number.*''"),
        ('RememberState="0"', 'RememberState="2"', "0 or 1.*2"),
        ('Rows="3" Columns="1"', 'Rows="3" Columns="2"', "6 numbers. Received: 3"),
        ('Rows="3" Columns="2"', 'Rows="2" Columns="3"', "Rows=3 and Columns=2"),
        ('Rows="3"', 'Rows="999999999"', "Rows=999999999.*Received: 6"),
        (' Rows="3"', "", "Missing: Rows"),
    ],
)
def test_a_spoilt_layer_is_refused(good, spoilt, message):
    assert good in LSTM
    count = -1 if good in ("LSTMLayer", "OuputWeights") else 1
    with pytest.raises(TMVAFormatError, match=message):
        from_tmva(LSTM.replace(good, spoilt, count).encode())


def test_a_gru_of_before_the_choice_of_reset_is_refused():
    xml = XML["GRULayer"].replace(' ResetGateAfter="1"', "")
    with pytest.raises(TMVAFormatError, match="GRULayer 1.*Missing: ResetGateAfter"):
        from_tmva(xml.encode())


WORDS = ["nan", "inf", "-inf", "1e999", "1_0", "0x1p3", "1e", "--1", "٣", "1,0", "."]


@pytest.mark.parametrize("word", WORDS)
def test_what_is_no_finite_decimal_number_is_refused(word):
    first = f"{MATRICES['RNNLayer']['W'][0, 0]:.17e}"
    assert first in XML["RNNLayer"]
    with pytest.raises(TMVAFormatError, match="<InputWeights> of RNNLayer 1: "):
        from_tmva(XML["RNNLayer"].replace(first, word).encode())


def test_one_bad_layer_among_good_ones_spoils_the_file():
    bad = LSTM.replace('RememberState="0"', 'RememberState="x"')
    with pytest.raises(TMVAFormatError, match="LSTMLayer 2: RememberState"):
        from_tmva(files.whole_file(LSTM, bad, LSTM))


def test_the_size_is_bounded(tmp_path):
    path = tmp_path / "weights.xml"
    path.write_text(LSTM)
    size = path.stat().st_size
    assert len(from_tmva(path, max_bytes=size)) == 1
    for source in (path, LSTM.encode()):
        with pytest.raises(TMVAFormatError, match=f"larger than {size - 1} bytes"):
            from_tmva(source, max_bytes=size - 1)


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "weights.xml"
    path.write_text("<Weights/>")
    with pytest.raises(TMVAFormatError, match=r"weights\.xml: there is none"):
        from_tmva(path)
    with pytest.raises(FileNotFoundError):
        from_tmva(tmp_path / "missing.xml")


def test_deep_nesting_and_many_elements_are_passed_over():
    deep = "<a>" * 100_000 + LSTM + "</a>" * 100_000
    wide = "<r>" + "<a/>" * 100_000 + LSTM + "</r>"
    for xml in (deep, wide):
        assert from_tmva(xml.encode())[0].units == 3


@st.composite
def spoilt(draw):
    """Return a good document with a few changes at places that hold something."""
    tag = draw(st.sampled_from(TAGS))
    xml = draw(st.sampled_from([XML[tag].encode(), files.whole_file(XML[tag])]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(xml)))
        stop = min(len(xml), start + draw(st.sampled_from([0, 1, 2, 8, 60, 10**6])))
        piece = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([word.encode() for word in [*WORDS, "&a;", "<", '"']]),
                st.integers(0, len(xml)).map(lambda k, x=xml: x[k : k + 40]),
                st.text(max_size=4).map(lambda text: text.encode("utf-8", "replace")),
            )
        )
        xml = xml[:start] + piece + xml[stop:]
    return xml


FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
ORDERS = st.sampled_from([None, True, False])


def read_or_refuse(xml, interleaved):
    """Check that what is read is right, and what is not read ends in the one error."""
    try:
        layers = from_tmva(xml, interleaved)
    except TMVAFormatError:
        return
    assert layers
    for layer in layers:
        TMVALayer(layer.weights, reset_after=layer.reset_after)
        assert all(np.isfinite(array).all() for array in layer.weights)
        assert all(array.dtype == np.float64 for array in layer.weights)
    again = from_tmva(to_tmva(layers, True), True)
    for ours, layer in zip(again, layers, strict=True):
        for array, expected in zip(ours.weights, layer.weights, strict=True):
            np.testing.assert_array_equal(array, expected)


@FUZZ
@given(spoilt(), ORDERS)
def test_spoilt_documents_are_read_or_refused(xml, interleaved):
    read_or_refuse(xml, interleaved)


@FUZZ
@given(st.binary(max_size=200), ORDERS)
def test_any_bytes_are_refused(xml, interleaved):
    read_or_refuse(xml, interleaved)


NAMES = [
    "Weights",
    *TAGS,
    "InputWeights",
    "StateWeights",
    "Biases",
    "StateSize",
    "Rows",
]
TEXTS = st.sampled_from(["", "1", "3", "0", "1.0e+00 2 3", "nan", "x", "1" * 20])
ATTRIBUTES = st.dictionaries(
    st.sampled_from([*files.ATTRIBUTES["LSTMLayer"], "Rows", "Columns"]), TEXTS
)


def joined(tag, attributes, inner):
    text = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<{tag}{text}>{inner}</{tag}>"


def trees():
    """Well-formed XML of TMVA's names, put together at random."""
    tags = st.sampled_from(NAMES)
    return st.recursive(
        st.builds(joined, tags, ATTRIBUTES, TEXTS),
        lambda inner: st.builds(
            joined, tags, ATTRIBUTES, st.lists(inner, max_size=3).map("".join)
        ),
        max_leaves=6,
    )


@FUZZ
@given(trees(), ORDERS)
def test_any_tree_of_its_names_is_read_or_refused(xml, interleaved):
    read_or_refuse(xml.encode(), interleaved)
