"""Whatever the arrays, they are converted or refused with a `ValueError`."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from custom_lstm import cells, convert

FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck)
)
DTYPES = st.sampled_from(["float32", "float64", "float16", "int32", "bool"])
SIZES = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16])
SHAPES = st.lists(SIZES, max_size=3).map(tuple)
ARRAYS = st.builds(np.ones, SHAPES, DTYPES)
FROM = {
    "from_torch": "weight_ih weight_hh weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0 "
    "weight_hr_l0 weight_ih_l0_reverse weight_hh_l1 a.weight_ih_l0",
    "from_flax": "ii/kernel if/kernel hi/bias dense_i/kernel dense_h/kernel "
    "dense_h/bias dense_i/bias i/kernel h/kernel i/bias ir/kernel params/cell/i/kernel",
    "from_tf1": "kernel bias gates/kernel gates/bias candidate/kernel candidate/bias "
    "w_i_diag w_f_diag w_o_diag projection/kernel rnn/kernel:0 rnn/kernel/Adam",
    "from_haiku": "linear/w linear/b linear_1/w linear_1/b w_i w_h b gru/b",
    "from_onnx": "W R B P a.W",
}
GOOD = {
    "from_torch": [("weight_ih_l0", 8, 3), ("weight_hh_l0", 8, 2)],
    "from_flax": [("i/kernel", 3, 4), ("h/kernel", 4, 4), ("i/bias", 4)],
    "from_tf1": [("kernel", 5, 8), ("bias", 8)],
    "from_haiku": [("w_i", 3, 6), ("w_h", 2, 6), ("b", 6)],
    "from_onnx": [("W", 1, 8, 3), ("R", 1, 8, 2)],
}


@st.composite
def named_arrays(draw):
    """A function's name, and arrays: good ones with changes, or any."""
    name = draw(st.sampled_from(list(FROM)))
    changes = st.dictionaries(st.sampled_from(FROM[name].split()), ARRAYS, max_size=4)
    good = {key: np.ones(shape) for key, *shape in GOOD[name]}
    start = draw(st.sampled_from([{}, good]))
    return name, {**start, **draw(changes)}


def finished(function, *args, **kwargs):
    """Return the result, or None if the arguments were refused."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        assert str(error).startswith("`"), error
        assert "Received" in str(error) or "`" in str(error)
        return None


@FUZZ
@given(named_arrays(), st.sampled_from(["", "a.", "rnn/", "nowhere/"]))
def test_arrays_by_name(arrays, prefix):
    name, given_arrays = arrays
    result = finished(getattr(convert, name), given_arrays, prefix=prefix)
    if result is None:
        return
    layers = result if name == "from_torch" else [result]
    for weights in layers:
        assert all(isinstance(array, np.ndarray) for array in weights)
        kernel, recurrent_kernel = weights[:2]
        assert kernel.shape[1] == recurrent_kernel.shape[1] > 0


TWINS = {  # a function, a cell of ours, and names of arrays
    "mgu": ("torchrecurrent", cells.MGUCell(2), "weight_ih weight_hh bias_ih bias_hh"),
    "janet": ("torchrecurrent", cells.JANETCell(2), "weight_ih weight_hh bias_ih beta"),
    "ltc": (
        "ncps",
        cells.LTCCell(2),
        "gleak w sensory_w sparsity_mask output_w output_b",
    ),
    "cfc": (
        "ncps",
        cells.CfCCell(2, 5),
        "ff1.weight ff1.bias backbone.0.weight A fc.weight",
    ),
    "slstm": ("xlstm", cells.SLSTMCell(2), "_recurrent_kernel_ _bias_ igate.weight"),
    "mlstm": ("xlstm", cells.MLSTMCell(2), "igate.weight igate.bias fgate.weight"),
}
for _, cell, _ in TWINS.values():
    cell.build((None, 3))


@FUZZ
@given(st.sampled_from(list(TWINS)), st.data(), st.sampled_from(["", "a.", "cells.0."]))
def test_arrays_of_the_catalogues_cells(twin, data, start):
    library, cell, names = TWINS[twin]
    chosen = data.draw(st.dictionaries(st.sampled_from(names.split()), ARRAYS))
    good = {}
    if library != "xlstm" and data.draw(st.booleans()):
        good = getattr(convert, f"to_{library}")(cell)
    more = {"implicit_param_constraints": True} if library == "ncps" else {}
    arrays = {start + name: array for name, array in chosen.items()}
    finished(getattr(convert, f"from_{library}"), {**good, **arrays}, cell, **more)


@FUZZ
@given(
    st.sampled_from(["torch", "flax", "tf1", "haiku", "onnx", "cudnn"]),
    st.lists(ARRAYS, max_size=8),
    st.sampled_from([None, True, False]),
)
def test_lists_of_weights(library, weights, reset_after):
    source = [weights] if library in ("torch", "cudnn") else weights
    function = getattr(convert, f"to_{library}")
    finished(function, source, reset_after=reset_after)


@FUZZ
@given(st.lists(ARRAYS, max_size=6), st.sampled_from([None, True, False]))
def test_lists_without_names(arrays, bidirectional):
    finished(convert.from_torch, arrays, bidirectional=bidirectional)


@FUZZ
@given(arrays_of.arrays("float32", st.integers(0, 80)), SIZES, SIZES)
def test_buffers(buffer, features, units):
    finished(convert.from_cudnn, buffer, features, units)


CELLS = {  # shapes of weights of F = 3 and u = 2, and what must be said
    "LSTM": ([(3, 8), (2, 8), (8,)], {}),
    "LSTM without bias": ([(3, 8), (2, 8)], {}),
    "GRU": ([(3, 6), (2, 6), (2, 6)], {}),
    "GRU without bias": ([(3, 6), (2, 6)], {"reset_after": True}),
    "SimpleRNN": ([(3, 2), (2, 2), (2,)], {}),
    "projected": ([(3, 8), (1, 8), (8,), (2, 1)], {}),
}


@FUZZ
@given(st.sampled_from(list(CELLS)), DTYPES, st.integers(0, 2**32 - 1))
def test_torch_gives_back_what_it_got(name, dtype, seed):
    shapes, words = CELLS[name]
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    [back] = convert.from_torch(convert.to_torch([weights], **words))
    for array, original in zip(back, weights, strict=True):
        assert array.dtype == original.dtype
        np.testing.assert_array_equal(array, original)
