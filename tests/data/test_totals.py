import itertools

import numpy as np
import pytest

from custom_lstm.data import (
    DataError,
    alternating_signs,
    total_range,
    totals_by_cumsum,
    totals_by_scan,
)

WAYS = [totals_by_cumsum, totals_by_scan]


def plain_totals(labels, start):
    """Add and subtract one digit after the other, in plain Python."""
    total, totals = 0, []
    for position, digit in enumerate(labels):
        total += start * digit if position % 2 == 0 else -start * digit
        totals.append(total)
    return totals


@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_signs_alternate(length, start):
    signs = alternating_signs(length, start)
    assert signs.dtype == "int32"
    assert signs.numpy().tolist() == [start * (-1) ** k for k in range(length)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("shape", [(1,), (6,), (3, 5), (2, 3, 4)])
def test_totals_match_plain_python(way, start, dtype, shape):
    labels = np.random.default_rng(0).integers(0, 10, shape).astype(dtype)
    totals = way(labels, start)
    assert totals.dtype == "int32"
    flat = labels.reshape(-1, shape[-1]).tolist()
    expected = [plain_totals(row, start) for row in flat]
    np.testing.assert_array_equal(totals, np.reshape(expected, shape))


@pytest.mark.parametrize("way", WAYS)
def test_totals_of_dynamic_time(way):
    import tensorflow as tf

    signature = [tf.TensorSpec((2, None), tf.uint8)]
    traced = tf.function(way, input_signature=signature)
    for time in (1, 4):
        labels = np.random.default_rng(time).integers(0, 10, (2, time), np.uint8)
        expected = [plain_totals(row, 1) for row in labels.tolist()]
        np.testing.assert_array_equal(traced(labels), expected)


@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_range_is_the_tightest(length, start):
    sequences = itertools.product((0, 9), repeat=length)
    totals = [t for labels in sequences for t in plain_totals(labels, start)]
    assert total_range(length, start) == (min(totals), max(totals))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, 2.0], "not float32"),
        (np.array([True]), "not bool"),
        (5, r"not int32 \(\)"),
        (np.zeros((3, 0), int), r"time at least 1, not int64 \(3, 0\)"),
        ([[1], [2, 3]], "labels must be integers"),
        ("12", "not string"),
        (object(), "labels must be integers"),
    ],
)
def test_refuses_wrong_labels(way, labels, message):
    with pytest.raises(DataError, match=message):
        way(labels)


@pytest.mark.parametrize("start", [0, 2, "1", None])
def test_refuses_wrong_start_sign(start):
    calls = [lambda way=way: way([1, 2], start) for way in WAYS]
    calls += [lambda: alternating_signs(3, start), lambda: total_range(3, start)]
    for call in calls:
        with pytest.raises(DataError, match="start must be 1 or -1"):
            call()


@pytest.mark.parametrize("function", [alternating_signs, total_range])
@pytest.mark.parametrize(
    ("length", "message"), [(0, "at least 1, not 0"), (2.5, "whole"), ("4", "whole")]
)
def test_refuses_wrong_length(function, length, message):
    with pytest.raises(DataError, match=message):
        function(length)
