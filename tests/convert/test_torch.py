"""Weights to and from real torch modules, which run in a process of their own."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import torch_modules
from keras import layers

import custom_lstm
from custom_lstm.convert import from_torch, to_torch

SCRIPT = Path(torch_modules.__file__)
X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
SIZES = {"input_size": 3, "hidden_size": 4}
BOTH_WAYS = {"num_layers": 2, "bidirectional": True}
CASES = {  # name: torch module, its arguments
    "LSTM": ("LSTM", SIZES),
    "LSTM without bias": ("LSTM", {**SIZES, "bias": False}),
    "LSTM of 3 layers": ("LSTM", {**SIZES, "num_layers": 3}),
    "LSTM both ways": ("LSTM", {**SIZES, "bidirectional": True}),
    "LSTM both ways without bias": ("LSTM", {**SIZES, **BOTH_WAYS, "bias": False}),
    "LSTM of 2 layers both ways": ("LSTM", {**SIZES, **BOTH_WAYS}),
    "GRU": ("GRU", SIZES),
    "GRU without bias": ("GRU", {**SIZES, "bias": False}),
    "GRU of 2 layers both ways": ("GRU", {**SIZES, **BOTH_WAYS}),
    "RNN": ("RNN", SIZES),
    "LSTM projected": ("LSTM", {**SIZES, "proj_size": 2}),
    "LSTM projected without bias": ("LSTM", {**SIZES, "proj_size": 2, "bias": False}),
    "LSTM projected both ways": ("LSTM", {**SIZES, **BOTH_WAYS, "proj_size": 2}),
    "LSTMCell": ("LSTMCell", SIZES),
    "GRUCell": ("GRUCell", SIZES),
    "GRUCell without bias": ("GRUCell", {**SIZES, "bias": False}),
    "RNNCell": ("RNNCell", SIZES),
}
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def make(case, library=layers):
    """Return the stack of Keras layers of a case, with random weights."""
    kind, options = CASES[case]
    kind = kind.removesuffix("Cell")
    layer_class = getattr(library, "SimpleRNN" if kind == "RNN" else kind)
    if "proj_size" in options:
        layer_class = partial(projected, library.RNN, options["proj_size"])
    rng = np.random.default_rng(1)
    stack, shape = [], X.shape
    for _ in range(options.get("num_layers", 1)):
        layer = layer_class(
            options["hidden_size"],
            use_bias=options.get("bias", True),
            return_sequences=True,
            return_state=True,
        )
        layer = layers.Bidirectional(layer) if "bidirectional" in options else layer
        layer.build(shape)
        shape = layer.compute_output_shape(shape)[0]
        weights = [0.5 * rng.normal(size=w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        stack.append(layer)
    return stack


def projected(layer_class, width, units, use_bias, **options):
    cell = custom_lstm.ProjectedLSTMCell(units, width, use_bias=use_bias)
    return layer_class(cell, **options)


def run(stack, case):
    """Return outputs, and last states of all layers and directions, as torch does."""
    outputs, states = X, []
    for layer in stack:
        outputs, *own = map(keras.ops.convert_to_numpy, layer(outputs))
        states += own
    count = 2 if CASES[case][0].startswith("LSTM") else 1
    return [outputs, *(np.stack(states[k::count]) for k in range(count))]


@pytest.fixture(scope="module")
def torch_results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    given, results = folder / "weights.npz", folder / "results.npz"
    arrays = {
        f"{case}/{name}": array
        for case in CASES
        for name, array in to_torch(
            make(case), cell=CASES[case][0].endswith("Cell")
        ).items()
    }
    np.savez(given, x=X, **arrays)
    paths = os.pathsep.join([str(SCRIPT.parents[2]), *sys.path])
    subprocess.run(
        [sys.executable, SCRIPT, given, results, json.dumps(CASES)],
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": paths},
        check=True,
    )
    return dict(np.load(results))


def under(results, prefix):
    """Return the arrays `prefix/0`, `prefix/1` and so on."""
    count = sum(name.startswith(f"{prefix}/") for name in results)
    return [results[f"{prefix}/{k}"] for k in range(count)]


@needs_torch
@pytest.mark.parametrize("library", [layers, custom_lstm])
@pytest.mark.parametrize("case", CASES)
def test_layers_with_weights_of_torch_compute_what_torch_does(
    case, library, torch_results
):
    stack = make(case, library)
    for k, layer in enumerate(stack):
        layer.set_weights(under(torch_results, f"{case}/ours/{k}"))
    expected = under(torch_results, f"{case}/theirs")
    for ours, theirs in zip(run(stack, case), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@needs_torch
@pytest.mark.parametrize("case", CASES)
def test_torch_with_our_weights_computes_what_the_layers_do(case, torch_results):
    expected = under(torch_results, f"{case}/loaded")
    for ours, theirs in zip(run(make(case), case), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@needs_torch
@pytest.mark.parametrize("way", ["module", "nested", "flat", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_a_module_a_list_and_bfloat16_are_taken_too(case, way, torch_results):
    ours = under(torch_results, f"{case}/{way}")
    kept = "rounded" if way == "bfloat16" else "ours"
    expected = [a for n, a in torch_results.items() if n.startswith(f"{case}/{kept}/")]
    if way == "flat" and CASES[case][0].endswith("Cell"):
        assert ours == []  # a cell keeps no such list
        return
    for array, theirs in zip(ours, expected, strict=True):
        assert array.dtype == "float32"
        np.testing.assert_array_equal(array, theirs)


@pytest.mark.parametrize("prefix", ["", "model.core."])
@pytest.mark.parametrize("case", CASES)
def test_the_way_there_and_back_changes_nothing(case, prefix):
    weights = [layer.get_weights() for layer in make(case)]
    state_dict = to_torch(weights, prefix, reset_after=True)
    back = from_torch(
        {**state_dict, "other.weight_ih_l0": 0} if prefix else state_dict, prefix
    )
    assert len(back) == len(weights)
    for ours, original in zip(back, weights, strict=True):
        for array, expected in zip(ours, original, strict=True):
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)


def test_both_biases_of_a_gru_survive_and_those_of_an_lstm_are_added():
    rng = np.random.default_rng(2)
    for gates in (3, 4):
        state_dict = {
            "weight_ih_l0": rng.normal(size=(gates * 2, 3)),
            "weight_hh_l0": rng.normal(size=(gates * 2, 2)),
            "bias_ih_l0": rng.normal(size=gates * 2),
            "bias_hh_l0": rng.normal(size=gates * 2),
        }
        back = to_torch(from_torch(state_dict))
        assert list(back) == list(state_dict)
        if gates == 4:
            state_dict["bias_ih_l0"] += state_dict["bias_hh_l0"]
            state_dict["bias_hh_l0"][:] = 0
        for name in state_dict:
            np.testing.assert_array_equal(back[name], state_dict[name], err_msg=name)


def test_results_share_no_memory_with_what_came():
    [weights] = [layer.get_weights() for layer in make("LSTM")]
    state_dict = to_torch([weights])
    for array in state_dict.values():
        assert not any(np.shares_memory(array, weight) for weight in weights)
    for weight in from_torch(state_dict)[0]:
        assert not any(np.shares_memory(weight, a) for a in state_dict.values())


def state_dict_with(**changes):
    state_dict = {
        "weight_ih_l0": np.ones((8, 3)),
        "weight_hh_l0": np.ones((8, 2)),
        "bias_ih_l0": np.ones(8),
        "bias_hh_l0": np.ones(8),
        **changes,
    }
    return {name: array for name, array in state_dict.items() if array is not None}


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        ({}, "Missing: weight_ih_l0, weight_hh_l0"),
        (state_dict_with(bias_hh_l0=None), "Missing: bias_hh_l0. Unexpected: nothing"),
        (state_dict_with(gain=np.ones((1, 2))), "Unexpected: gain"),
        (state_dict_with(weight_hr_l0=np.ones((1, 2))), r"_hh_l0.*\(8, 1\).*\(8, 2\)"),
        (state_dict_with(weight_ih_l1=np.ones((8, 2))), "Missing: weight_hh_l1"),
        (state_dict_with(weight_hh_l0=np.ones((2, 8))), r"_hh_l0.*: \(2, 8\)"),
        (state_dict_with(weight_hh_l0=np.ones(8)), r"_hh_l0.*: \(8,\)"),
        (
            state_dict_with(weight_ih_l0=np.ones((6, 3))),
            r"_ih_l0` must have shape \(8, 3\).*: \(6, 3\)",
        ),
        (state_dict_with(bias_hh_l0=np.ones(6)), r"bias_hh_l0.*\(8,\).*: \(6,\)"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(state_dict, message):
    with pytest.raises(ValueError, match=message):
        from_torch(state_dict)


def test_a_wrong_prefix_is_named():
    with pytest.raises(ValueError, match="under 'encoder.'.*Missing: weight_ih_l0"):
        from_torch(state_dict_with(), "encoder.")


@pytest.mark.parametrize("prefix", ["", "lstm", "c."])
def test_of_a_wrong_prefix_those_that_there_are_are_listed(prefix):
    model = {
        f"{part}.{name}": array
        for part in ("a.lstm", "b")
        for name, array in state_dict_with().items()
    }
    with pytest.raises(ValueError, match=r"Such names are under 'a\.lstm\.', 'b\.'$"):
        from_torch({**model, "head.weight": 0}, prefix)


def test_a_prefix_that_all_names_have_need_not_be_said():
    plain = from_torch(state_dict_with())
    long = {f"net.0.{name}": array for name, array in state_dict_with().items()}
    np.testing.assert_equal(from_torch(long), plain)


@pytest.mark.parametrize("layers", [2, 1])
def test_a_list_of_arrays_is_told_from_one_of_two_directions(layers):
    weights = make("LSTM of 2 layers both ways")[:layers]
    arrays = list(to_torch(weights).values())
    expected = [layer.get_weights() for layer in weights]
    np.testing.assert_equal(from_torch(arrays), expected)


def test_a_list_of_arrays_that_may_be_of_two_directions_demands_a_word():
    weights = [[np.ones((2, 8)), np.ones((2, 8)), np.ones(8)]] * 2
    arrays = list(to_torch(weights).values())
    with pytest.raises(ValueError, match="say `bidirectional`"):
        from_torch(arrays)
    np.testing.assert_equal(from_torch(arrays, bidirectional=False), weights)
    [both] = from_torch(arrays, bidirectional=True)
    assert len(both) == 6
    with pytest.raises(ValueError, match="two groups.*: 1 groups"):
        from_torch(arrays[:4], bidirectional=True)


LSTM_WEIGHTS = [np.ones((3, 8)), np.ones((2, 8)), np.ones(8)]


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ([], "list with one list of weights per layer"),
        (3, "list with one list of weights per layer.*int"),
        ([[np.ones((3, 6)), np.ones((2, 6))]], "reset_after=True` or `False`.*coupled"),
        (LSTM_WEIGHTS, r"`layers\[0\]` must be a list.*ndarray"),
        ([LSTM_WEIGHTS[:1]], r"\[kernel, recurrent_kernel, bias\].*Received: 1"),
        ([[np.ones((3, 8)), np.ones((2, 7))]], r"`recurrent_kernel`.*: \(2, 7\)"),
        ([[np.ones((3, 6)), np.ones((2, 8))]], r"`kernel`.*\(3, 8\).*: \(3, 6\)"),
        ([[*LSTM_WEIGHTS[:2], np.ones(6)]], r"`bias`.*\(8,\).*: \(6,\)"),
        ([LSTM_WEIGHTS, LSTM_WEIGHTS], r"`layers\[1\]`.*LSTM\(2, 2.*LSTM\(3, 2"),
        (
            [LSTM_WEIGHTS, [np.ones((2, 8)), np.ones((2, 8))]],
            r"`layers\[1\]`.*bias=True.*bias=False",
        ),
        (
            [[np.ones((3, 6)), np.ones((2, 6)), np.ones(6)]],
            r"reset_after=True.*\(2, 6\).*: \(6,\)",
        ),
    ],
)
def test_layers_that_make_no_torch_module_are_refused(stack, message):
    with pytest.raises(ValueError, match=message):
        to_torch(stack)


def test_a_cells_names_are_of_one_layer_in_one_direction():
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert list(to_torch([LSTM_WEIGHTS], "a.", cell=True)) == [f"a.{n}" for n in names]
    for case in ("LSTM of 3 layers", "LSTM both ways", "LSTM projected"):
        with pytest.raises(
            ValueError, match="`cell=True` must be for one layer in one"
        ):
            to_torch(make(case), cell=True)
