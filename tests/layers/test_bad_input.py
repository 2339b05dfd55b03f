"""Bad input gets one error: what was wrong, what was expected and what came."""

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm import GRU, LSTM, RNN, LSTMCell, SimpleRNN, TimeDistributed

X = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
STATE = np.ones((3, 2), "float32")
VARIANTS = ("Coupled", "LayerNorm", "Peephole", "Projected", "Zoneout")
CELLS = ["LSTMCell", "GRUCell", "SimpleRNNCell", *(f"{v}LSTMCell" for v in VARIANTS)]
RUN = ["LSTM", "GRU", "SimpleRNN"]

NOT_WHOLE = [0, -1, 2.5, "4", True, None]
NOT_A_RATE = [-0.1, 1.0, float("nan"), "half", True, None]
NOT_A_FLAG = ["yes", None, 2, 0.5]
NOT_A_NAME = ["none such", 3]
OF_EVERY_CELL = {
    "units": NOT_WHOLE,
    "activation": NOT_A_NAME,
    "use_bias": NOT_A_FLAG,
    "kernel_initializer": NOT_A_NAME,
    "recurrent_initializer": NOT_A_NAME,
    "bias_initializer": [*NOT_A_NAME, None],
    "kernel_regularizer": NOT_A_NAME,
    "recurrent_regularizer": NOT_A_NAME,
    "bias_regularizer": NOT_A_NAME,
    "kernel_constraint": NOT_A_NAME,
    "recurrent_constraint": NOT_A_NAME,
    "bias_constraint": NOT_A_NAME,
    "dropout": NOT_A_RATE,
    "recurrent_dropout": NOT_A_RATE,
    "seed": [1.5, "one", True],
}
OF_GATED_CELLS = {
    "recurrent_activation": NOT_A_NAME,
    "implementation": [3, "fast", None],
}
OF_LSTM_CELLS = {"unit_forget_bias": NOT_A_FLAG, "output_activation": NOT_A_NAME}
OF_CELL = {
    "GRUCell": {"reset_after": NOT_A_FLAG},
    "LayerNormLSTMCell": {
        "gain_initializer": NOT_A_NAME,
        "epsilon": [0, -1e-3, "small", float("nan"), None],
    },
    "PeepholeLSTMCell": {
        "peephole_initializer": NOT_A_NAME,
        "peephole_regularizer": NOT_A_NAME,
        "peephole_constraint": NOT_A_NAME,
    },
    "ProjectedLSTMCell": {
        "projection_units": NOT_WHOLE,
        "projection_initializer": NOT_A_NAME,
        "projection_regularizer": NOT_A_NAME,
        "projection_constraint": NOT_A_NAME,
    },
    "ZoneoutLSTMCell": {"zoneout_cell": NOT_A_RATE, "zoneout_hidden": NOT_A_RATE},
}
OF_EVERY_LAYER = {
    "activity_regularizer": NOT_A_NAME,
    "return_sequences": NOT_A_FLAG,
    "return_state": NOT_A_FLAG,
    "go_backwards": NOT_A_FLAG,
    "stateful": NOT_A_FLAG,
    "unroll": NOT_A_FLAG,
    "zero_output_for_mask": NOT_A_FLAG,
    "learn_initial_state": NOT_A_FLAG,
}


def out_of_range(name):
    """Values out of range for a class, by argument."""
    of_cell = name if name.endswith("Cell") else f"{name}Cell"
    found = {**OF_EVERY_CELL, **OF_CELL.get(of_cell, {})}
    if of_cell != "SimpleRNNCell":
        found |= OF_GATED_CELLS
    if of_cell.endswith("LSTMCell"):
        found |= OF_LSTM_CELLS
    if name in RUN:
        found |= OF_EVERY_LAYER
    if name in ("LSTM", "GRU"):
        found |= {"use_cudnn": ["yes", None]}
    if name == "LSTM":
        found |= {"kernel": ["fast", None, 1]}
    return found


def arguments_of(cls):
    """Every named argument of a class and of those that it hands the rest on to."""
    found = set(cls.__init__.__code__.co_varnames[: cls.__init__.__code__.co_argcount])
    if issubclass(cls, LSTMCell):
        found |= set(OF_EVERY_CELL | OF_GATED_CELLS | OF_LSTM_CELLS)
    return found - {"self"}


@pytest.mark.parametrize("name", [*CELLS, *RUN])
def test_every_argument_is_held_to_its_range(name):
    cls = getattr(custom_lstm, name)
    bad = out_of_range(name)
    assert set(bad) - {"zero_output_for_mask"} == arguments_of(cls)
    for argument, values in bad.items():
        for value in values:
            options = {"units": 2, "projection_units": 2, argument: value}
            if name != "ProjectedLSTMCell":
                del options["projection_units"]
            with pytest.raises(ValueError) as caught:
                cls(**options)
            said = str(caught.value)
            assert f"`{argument}` must be" in said, (argument, value, said)
            assert f"Received: {argument}={value!r}" in said, (argument, value, said)
            assert said.count("\n") == 0


@pytest.mark.parametrize("flag", [True, False, 1, 0, np.True_, np.False_])
def test_flags_may_be_any_true_or_false(flag):
    assert LSTM(2, return_sequences=flag).get_config()["return_sequences"] is bool(flag)


def test_numpy_integers_are_integers():
    config = LSTM(np.int64(2), seed=np.int32(7)).get_config()
    assert (config["units"], config["seed"]) == (2, 7)


def called(layer, inputs=X, **kwargs):
    return lambda: layer(inputs, **kwargs)


def step(*states, inputs=X[:, 0], kind="LSTMCell"):
    cell = getattr(custom_lstm, kind)(2)
    cell.build((None, 4))
    return lambda: cell(inputs, list(states))


BAD = {
    "no time axis": (called(LSTM(2), X[:, 0]), r"ndim=3.*\(3, 4\)"),
    "no steps": (called(LSTM(2), X[:, :0]), r"one step.*\(3, 0, 4\)"),
    "no time axis, generic": (called(RNN(LSTMCell(2)), X[:, 0]), r"time.*\(3, 4\)"),
    "several inputs": (
        called(RNN(LSTMCell(2)), [X, STATE]),
        r"list.*2 state.*\(3, 2\)",
    ),
    "complex": (called(LSTM(2), X.astype("complex64")), "real numbers.*complex64"),
    "no features": (
        lambda: LSTM(2)(keras.Input((6, None))),
        r"`features` known.*\(None, None\)",
    ),
    "one state": (
        called(LSTM(2), initial_state=[STATE]),
        r"initial_state.*2 tensor.*\(3, 2\), \(3, 2\).*Received 1: \(3, 2\)",
    ),
    "three states": (
        called(LSTM(2), initial_state=[STATE] * 3),
        "2 tensor.*Received 3",
    ),
    "width of state": (
        called(GRU(2), initial_state=[np.ones((3, 4))]),
        r"initial_state.*\(3, 2\).*\(3, 4\)",
    ),
    "batch of state": (
        called(GRU(2), initial_state=np.ones((5, 2))),
        r"initial_state.*\(3, 2\).*\(5, 2\)",
    ),
    "state a number": (called(GRU(2), initial_state=[0.0]), r"initial_state.*\(3, 2\)"),
    "mask of other steps": (
        called(LSTM(2), mask=np.ones((3, 5), bool)),
        r"mask.*\(3, 6, 4\).*\(3, 5\)",
    ),
    "mask of every feature": (
        called(LSTM(2), mask=np.ones((3, 6, 4), bool)),
        r"mask.*\(batch, time\).*\(3, 6, 4\)",
    ),
    "mask a list": (called(GRU(2), mask=[True] * 6), "mask.*booleans.*bool of dtype"),
    "mask a word": (called(LSTM(2), mask="right"), "mask.*booleans.*str of dtype"),
    "mask complex": (
        called(RNN(LSTMCell(2)), mask=np.ones((3, 6), "complex64")),
        r"mask.*booleans.*complex64.*\(3, 6\)",
    ),
    "complex states": (
        called(LSTM(2), initial_state=[STATE, STATE.astype("complex64")]),
        r"initial_state.*real numbers.*complex64.*\(3, 2\)",
    ),
    "states in a dict": (
        called(LSTM(2), initial_state={"h": STATE, "c": STATE}),
        r"initial_state.*in a list. Received 2 in a dict of .*\(3, 2\), \(3, 2\)",
    ),
    "two-way, one state": (
        called(layers.Bidirectional(LSTM(2)), initial_state=[STATE] * 2),
        r"initial_state.*2 tensor.*Received 1: \(3, 2\)",
    ),
    "two-way, mask": (
        called(layers.Bidirectional(GRU(2)), mask=np.ones((3, 5), bool)),
        r"mask.*\(3, 6, 4\).*\(3, 5\)",
    ),
    "stack, states": (
        called(RNN([LSTMCell(2), LSTMCell(3)]), initial_state=[[STATE] * 2] * 2),
        r"initial_state.*4 tensor.*\(3, 3\).*Received 4: \(3, 2\)",
    ),
    "layer in the place of a cell": (lambda: RNN(LSTM(2)), "one time step.*LSTM"),
    "layer among cells": (lambda: RNN([LSTMCell(2), GRU(2)]), "one time step.*GRU"),
    "class in a stack": (
        lambda: RNN(layers.StackedRNNCells([LSTMCell])),
        r"RNN\(LSTMCell\(...\)\)",
    ),
    "class": (lambda: RNN(LSTMCell), r"RNN\(LSTMCell\(...\)\)"),
    "class in a list": (
        lambda: RNN([LSTMCell(2), LSTMCell]),
        r"RNN\(LSTMCell\(...\)\)",
    ),
    "no cells": (lambda: RNN([]), "`cell`.*at least one"),
    "word for a cell": (lambda: RNN("lstm"), "`cell`.*lstm"),
    "layer for a cell": (lambda: RNN(layers.Dense(2)), "cell.*state_size"),
    "flag of RNN": (lambda: RNN(LSTMCell(2), unroll="yes"), "RNN: `unroll`.*'yes'"),
    "learned and stateful": (
        lambda: LSTM(2, stateful=True, learn_initial_state=True),
        "`stateful` and `learn_initial_state`",
    ),
    "cudnn": (called(LSTM(2, use_cudnn=True)), "use_cudnn=True"),
    "unknown": (lambda: LSTM(2, return_sequence=True), "return_sequence"),
    "dtype": (lambda: LSTM(2, dtype="float23"), "float23"),
    "trainable": (lambda: LSTM(2, trainable="yes"), "trainable.*yes"),
    "sequence for a cell": (step(STATE, STATE, inputs=X), r"one step.*\(3, 6, 4\)"),
    "sequence for a GRU cell": (
        step(STATE, inputs=X, kind="GRUCell"),
        r"GRUCell.*one step.*\(3, 6, 4\)",
    ),
    "list for a cell": (step(STATE, STATE, inputs=[[1.0]]), "tensor of real numbers"),
    "words for a cell": (step(STATE, STATE, inputs=np.array([["a"]])), "real numbers"),
    "features of a cell": (step(STATE, STATE, inputs=X[:, 0, :3]), r"4 feat.*\(3, 3\)"),
    "one state of a cell": (step(STATE), r"2 tensor.*Received 1: \(3, 2\)"),
    "state of a cell a number": (step(STATE, 1.0), r"2 tensor.*\(3, 2\), \(\)"),
    "batch of a cell": (step(STATE[:2], STATE), r"\(3, 2\).*Received.*\(2, 2\)"),
    "complex state of a cell": (
        step(STATE, STATE.astype("complex64")),
        r"states.*real numbers.*complex64.*\(3, 2\)",
    ),
    "no time to distribute over": (
        called(TimeDistributed(layers.Dense(2)), None),
        r"\(batch, time, ...\).*\(\)",
    ),
    "mask to distribute a word": (
        called(TimeDistributed(layers.Dense(2)), mask="right"),
        "mask.*booleans.*str",
    ),
    "no layer": (lambda: TimeDistributed("dense"), "Layer"),
    "stateful inside": (
        lambda: TimeDistributed(LSTM(2, stateful=True)),
        "cannot carry a state.*stateful",
    ),
    "no time to distribute": (
        called(TimeDistributed(layers.Dense(2)), X[:, 0]),
        r"\(batch, time, ...\).*\(3, 4\)",
    ),
    "other times": (
        called(TimeDistributed(layers.Concatenate()), [X, X[:, :5]]),
        r"\(batch, time\).*\(3, 6, 4\), \(3, 5, 4\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": -1}, "`batch_size`.*batch_size=-1"),
        ({"batch_size": "three"}, "`batch_size`.*batch_size='three'"),
        ({"batch_size": 2.0}, "`batch_size`.*batch_size=2.0"),
        ({"batch_size": 3, "dtype": "float23"}, "float23"),
    ],
)
@pytest.mark.parametrize("name", CELLS)
def test_what_is_no_batch_for_an_initial_state_is_named(name, options, message):
    widths = (2, 2) if name == "ProjectedLSTMCell" else (2,)
    with pytest.raises(ValueError, match=message):
        getattr(custom_lstm, name)(*widths).get_initial_state(**options)


@pytest.mark.parametrize("argument", ["units", "dropout", "implementation"])
def test_arrays_are_no_numbers(argument):
    value = np.array([1, 2])
    with pytest.raises(ValueError, match=f"`{argument}` must be.*array"):
        LSTMCell(**{"units": 2, argument: value})


def test_other_features_than_built_for_are_named():
    layer = LSTM(2)
    layer(X)
    with pytest.raises(ValueError, match=r"4 features.*\(3, 6, 3\)"):
        layer(X[..., :3])


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_a_mask_may_have_a_last_axis_of_one(make):
    layer, mask = make(2), X[..., 0] > 0
    outputs = [layer(X, mask=m) for m in (mask, mask[..., None], mask.astype(float))]
    outputs = [keras.ops.convert_to_numpy(output) for output in outputs]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_integers_are_numbers():
    layer, whole = LSTM(2), np.arange(72).reshape(X.shape)
    outputs = [keras.ops.convert_to_numpy(layer(x)) for x in (whole, np.float32(whole))]
    np.testing.assert_allclose(*outputs, rtol=1e-6)
