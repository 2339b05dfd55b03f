"""Flat buffers in cuDNN's canonical order."""

import numpy as np
import pytest

from custom_lstm.convert import from_cudnn, to_cudnn

FEATURES, UNITS = 3, 2
ORDER = {"LSTM": "ifgo", "GRU": "rzg", "SimpleRNN": "g"}
KERAS = {"LSTM": "ifgo", "GRU": "zrg", "SimpleRNN": "g"}
CASES = [
    (kind, count, both_ways, use_bias)
    for kind in ORDER
    for count in (1, 2)
    for both_ways in (False, True)
    for use_bias in (False, True)
]
every_case = pytest.mark.parametrize(
    ("kind", "num_layers", "both_ways", "use_bias"), CASES
)


def by_hand(kind, num_layers, both_ways, use_bias):
    """Return a buffer, and the weights of each layer, written out one by one."""
    rng = np.random.default_rng(0)
    ways = 2 if both_ways else 1
    weights = [[] for _ in range(num_layers)]
    matrices, biases = [], []
    for k in range(num_layers):
        width = ways * UNITS if k else FEATURES
        for _ in range(ways):
            gates = ORDER[kind]
            w = {gate: rng.normal(size=(UNITS, width)) for gate in gates}
            r = {gate: rng.normal(size=(UNITS, UNITS)) for gate in gates}
            bw = {gate: rng.normal(size=UNITS) for gate in gates}
            br = {gate: rng.normal(size=UNITS) for gate in gates}
            matrices += [*w.values(), *r.values()]
            biases += [*bw.values(), *br.values()]
            rows = [np.concatenate([b[g] for g in KERAS[kind]]) for b in (bw, br)]
            weights[k] += [
                np.concatenate([m[g].T for g in KERAS[kind]], axis=1) for m in (w, r)
            ]
            if use_bias:
                weights[k] += [np.stack(rows) if kind == "GRU" else sum(rows)]
    parts = matrices + (biases if use_bias else [])
    return np.concatenate([part.ravel() for part in parts]), weights


@every_case
def test_a_buffer_written_by_hand_is_read(kind, num_layers, both_ways, use_bias):
    buffer, weights = by_hand(kind, num_layers, both_ways, use_bias)
    options = (FEATURES, UNITS, kind, num_layers, both_ways, use_bias)
    np.testing.assert_equal(from_cudnn(buffer, *options), weights)
    np.testing.assert_equal(from_cudnn(buffer[:, None], *options), weights)


@every_case
def test_the_way_there_and_back_changes_nothing(kind, num_layers, both_ways, use_bias):
    buffer, weights = by_hand(kind, num_layers, both_ways, use_bias)
    options = (FEATURES, UNITS, kind, num_layers, both_ways, use_bias)
    there = to_cudnn(weights, reset_after=True)
    assert there.shape == buffer.shape
    np.testing.assert_equal(from_cudnn(there, *options), weights)
    if kind == "GRU" or not use_bias:
        np.testing.assert_array_equal(there, buffer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "must hold 56 numbers with features=3, units=2.*Received: 55"),
        ({"kind": "RNN"}, "`kind` must be one of.*'RNN'"),
        ({"units": 0}, "at least 1. Received: 3, 0, 1"),
        ({"num_layers": 2}, "num_layers=2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        from_cudnn(np.zeros(55), **{"features": 3, "units": 2, **options})
