"""Weights out of files that Keras wrote, into layers of this package."""

import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest

import custom_lstm
from custom_lstm.convert import from_keras

FEATURES, UNITS = 3, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, FEATURES)).astype("float32")
KINDS = {
    "LSTM": {},
    "LSTM without bias": {"use_bias": False},
    "GRU": {},
    "GRU before": {"reset_after": False},
    "SimpleRNN": {},
}


def random(model):
    model.set_weights([0.5 * RNG.normal(size=w.shape) for w in model.get_weights()])
    return model


def saved(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save = model.save_weights if ".weights" in path.name else model.save
        save(path)
    return path


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5", "m.h5"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stock_layer_becomes_ours(kind, file, tmp_path):
    name, options = kind.split()[0], {"return_sequences": True, **KINDS[kind]}
    layer = getattr(keras.layers, name)(UNITS, **options)
    model = random(keras.Sequential([keras.Input((None, FEATURES)), layer]))
    [weights] = from_keras(saved(model, tmp_path / file))
    ours = getattr(custom_lstm, name)(UNITS, **options)
    ours.build(X.shape)
    ours.set_weights(weights)
    np.testing.assert_allclose(
        *map(keras.ops.convert_to_numpy, (ours(X), model(X))), atol=1e-6
    )


@pytest.fixture(scope="module")
def model_of_many():
    """Return a model with layers of all kinds, and those that are recurrent."""
    inputs = keras.Input((None, FEATURES))
    x = keras.layers.GRU(2, return_sequences=True, name="first")(inputs)
    for k in range(11):
        x = keras.layers.LSTM(1 + k, return_sequences=True, name=f"l{k}")(x)
    both = keras.layers.Bidirectional(
        keras.layers.LSTM(3, return_sequences=True), name="both"
    )
    x = keras.layers.Dense(2, name="between")(both(x))
    cells = [keras.layers.GRUCell(2), keras.layers.LSTMCell(3)]
    x = keras.layers.RNN(cells, return_sequences=True, name="stacked")(x)
    inner = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(2, name="deep")])
    model = keras.Model(inputs, inner(x))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # its arrays are in files too
    names = ["first", *(f"l{k}" for k in range(11)), "both", "stacked"]
    return model, [model.get_layer(name) for name in names] + [inner.layers[-1]]


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5", "m.h5"])
def test_layers_come_in_order_and_by_name(file, model_of_many, tmp_path):
    model, layers = model_of_many
    path = saved(model, tmp_path / file)
    if file == "m.weights.h5":  # which does not tell the order of classes
        found = from_keras(path)
        assert len(found) == len(layers)
        lstms = [layer for layer in layers if type(layer) is keras.layers.LSTM]
        shapes = [[w.shape for w in weights] for weights in found]
        own = [[w.shape for w in layer.get_weights()] for layer in lstms]
        assert [shape for shape in shapes if shape in own] == own
    else:
        expected = [layer.get_weights() for layer in layers]
        np.testing.assert_equal(from_keras(path), expected)
    named = layers if file != "m.h5" else layers[:-1]  # there a part of a model
    for layer in named:
        np.testing.assert_equal(from_keras(path, layer.name), [layer.get_weights()])
    with pytest.raises(ValueError, match="no LSTM, GRU or SimpleRNN layer 'x'.*'both'"):
        from_keras(path, "x")


def write(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("root", ["", "model_weights/"])
@pytest.mark.parametrize("cell", ["/lstm_cell", ""])  # tf.keras, Keras 2.3
def test_files_of_keras_2_and_of_its_weights(cell, root, tmp_path):
    stack = [
        [RNG.normal(size=shape) for shape in ((3, 8), (2, 8), (8,))] for _ in range(3)
    ]
    names = ["kernel", "recurrent_kernel", "bias"]
    places = [
        f"{root}lstm_9/lstm_9{cell and cell + '_4'}",
        f"{root}bi/bi/forward_lstm{cell}",
        f"{root}bi/bi/backward_lstm{cell}",
    ]
    arrays = {
        f"{place}/{name}:0": array
        for place, weights in zip(places, stack, strict=True)
        for name, array in zip(names, weights, strict=True)
    }
    expected = [stack[0], [*stack[1], *stack[2]]]
    path = write(tmp_path / "w.h5", arrays)
    with h5py.File(path, "a") as file:
        file[root or "/"].attrs["layer_names"] = [b"lstm_9", b"bi", b"dense"]
    np.testing.assert_equal(from_keras(path), expected)
    np.testing.assert_equal(from_keras(path, "bi"), expected[1:])


def test_checkpoints_of_tf_keras_are_arrays_by_name():
    weights = [RNG.normal(size=shape) for shape in ((3, 8), (2, 8), (8,))]
    names, end = ["kernel", "recurrent_kernel", "bias"], "/.ATTRIBUTES/VARIABLE_VALUE"
    arrays = {"optimizer/iter" + end: np.int64(3), "_CHECKPOINTABLE_OBJECT_GRAPH": b""}
    for place in ("0/cell", "1/forward_layer/cell", "1/backward_layer/cell"):
        for name, array in zip(names, weights, strict=True):
            path = f"layer_with_weights-{place}/{name}"
            arrays[path + end] = array
            arrays[f"{path}/.OPTIMIZER_SLOT/optimizer/m{end}"] = array
    found = from_keras(arrays)
    np.testing.assert_equal(found, [weights, 2 * weights])
    np.testing.assert_equal(from_keras(arrays, "layer_with_weights-1"), found[1:])


@pytest.mark.parametrize(("gates", "width"), [("ifco", 8), ("zrh", 6)])
def test_files_of_keras_1_have_an_array_for_each_gate(gates, width, tmp_path):
    kernel, recurrent_kernel, bias = (
        RNG.normal(size=shape) for shape in ((3, width), (2, width), (width,))
    )
    arrays = {}
    for k, gate in enumerate(gates):
        part = slice(2 * k, 2 * k + 2)
        arrays[f"lstm_1/lstm_1_W_{gate}"] = kernel[:, part]
        arrays[f"lstm_1/lstm_1_U_{gate}"] = recurrent_kernel[:, part]
        arrays[f"lstm_1/lstm_1_b_{gate}"] = bias[part]
    [weights] = from_keras(write(tmp_path / "w.h5", arrays))
    np.testing.assert_equal(weights, [kernel, recurrent_kernel, bias])


def cell(*shapes):
    arrays = {f"layers/lstm/cell/vars/{k}": np.ones(s) for k, s in enumerate(shapes)}
    return lambda path: write(path, arrays)


def zipped(*names):
    def make(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "{}")
        return path

    return make


def linked(path):
    write(path.with_suffix(".other"), {"x": np.ones((3, 8))})
    with h5py.File(path, "w") as file:
        file["layers/lstm/cell/vars/0"] = h5py.ExternalLink(
            path.with_suffix(".other"), "x"
        )
        file["layers/lstm/cell/vars/1"] = np.ones((2, 8))
    return path


def external(path):
    with h5py.File(path, "w") as file:
        raw = [(str(path.with_suffix(".raw")), 0, 192)]
        file.create_dataset("layers/lstm/cell/vars/0", (3, 8), "f8", external=raw)
        file["layers/lstm/cell/vars/1"] = np.ones((2, 8))
    return path


def swollen(path):
    with h5py.File(path, "w") as file:
        shape = (10**5, 10**5)
        file.create_dataset("layers/lstm/cell/vars/0", shape, chunks=(100, 100))
        file["layers/lstm/cell/vars/1"] = np.ones((2, 8))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            cell((3, 8), (2, 8), (7,)),
            r"`layers/lstm/cell`: `bias` must.*\(8,\).*\(7,\)",
        ),
        (cell((3, 8), (2, 8), (16,)), "`layers/lstm/cell` is of a CuDNNLSTM"),
        (cell((3, 8), (2, 7)), r"`recurrent_kernel` must have shape.*\(2, 7\)"),
        (cell((3, 8), (8,)), "holds no LSTM, GRU or SimpleRNN layer"),
        (zipped("a", "b"), "must hold config.json and model.weights.h5.*a, b"),
        (zipped("config.json", "model.weights.h5"), "is no HDF5 file"),
        (linked, "holds no LSTM"),
        (external, "must be an array of numbers within it"),
        (swollen, "arrays declare 40000000128 bytes"),
    ],
)
def test_other_files_are_refused(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_keras(make(tmp_path / "m.weights.h5"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere.keras"):
        from_keras(tmp_path / "nowhere.keras")
