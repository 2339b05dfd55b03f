"""Models like those of public reports, of which an export failed or answered wrongly.

Each is a small model of its own with the trait that the report is about. The names are
those of the report's repository on GitHub and its number there.
"""

import keras
import numpy as np
import pytest
from helpers.exported_models import onnx_runner, openvino_runner
from keras import layers, ops

import custom_lstm
from custom_lstm import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

BACKEND = keras.backend.backend()
if BACKEND != "tensorflow":
    pytest.skip("the reports are about TensorFlow's exports", allow_module_level=True)
pytest.importorskip("tf2onnx")
pytest.importorskip("openvino")
litert = pytest.importorskip("ai_edge_litert.interpreter")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters
ALL = {"return_sequences": True}


def sequential(shape, *made, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *made])


def image_to_text(*made):
    """Return columns of a picture, read from left to right."""
    return sequential(
        (8, None, 1),
        layers.Conv2D(2, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D((2, 1)),
        layers.Permute((2, 1, 3)),
        layers.Reshape((-1, 8)),
        *made,
        layers.Dense(5, activation="softmax"),
    )


def mask_of_lengths():
    x, lengths = keras.Input((None, 1)), keras.Input((), dtype="int32")
    counted = layers.Lambda(
        lambda given: ops.arange(ops.shape(given[0])[1])[None] < given[1][:, None],
        output_shape=(None,),
    )
    return keras.Model([x, lengths], LSTM(3)(x, mask=counted([x, lengths])))


def two_states_given():
    x, h, c = keras.Input((None, 4)), keras.Input((3,)), keras.Input((3,))
    both = Bidirectional(LSTM(3, **ALL))(x, initial_state=[h, c, h, c])
    return keras.Model([x, h, c], both)


def several_heads():
    x = keras.Input((None, 6))
    h = GRU(5)(x)
    return keras.Model(x, [layers.Dense(2)(h), layers.Dense(3)(h)])


def encoder_and_decoder():
    x, y = keras.Input((None, 4)), keras.Input((None, 2))
    _, *states = LSTM(3, return_state=True)(x)
    decoded = LSTM(3, **ALL)(y, initial_state=states)
    return keras.Model([x, y], layers.Dense(2)(decoded))


REPORTS = {
    "onnx/keras-onnx#134, a length of None": lambda: sequential(
        (None, 4), LSTM(3, **ALL), layers.Dense(2)
    ),
    "onnx/keras-onnx#122, length and batch in one axis": lambda: sequential(
        (None, 4), SimpleRNN(3, **ALL), GRU(3, **ALL), Bidirectional(LSTM(3))
    ),
    "Sierkinhane/CRNN_Chinese_Characters_Rec#302, other batches": lambda: image_to_text(
        Bidirectional(LSTM(3, **ALL)), Bidirectional(LSTM(3, **ALL))
    ),
    "onnx/keras-onnx#619, pictures to text answer otherwise": lambda: image_to_text(
        Bidirectional(GRU(3, **ALL), merge_mode="sum"), layers.BatchNormalization()
    ),
    "onnx/tensorflow-onnx#2221, a mask of lengths": mask_of_lengths,
    "onnx/tensorflow-onnx#2030, padding anywhere": lambda: sequential(
        (None, 4), layers.Masking(), LSTM(3, **ALL), LSTM(2)
    ),
    "onnx/keras-onnx#400, both ways and masked": lambda: sequential(
        (None,), layers.Embedding(9, 4, mask_zero=True), Bidirectional(LSTM(3)),
        dtype="int32",
    ),
    "onnx/keras-onnx#523, backwards": lambda: sequential(
        (None,), layers.Embedding(9, 4), LSTM(3, go_backwards=True, **ALL),
        dtype="int32",
    ),
    "onnx/keras-onnx#98, biases of both ways": lambda: sequential(
        (None, 4), Bidirectional(LSTM(3, bias_initializer="normal"))
    ),
    "onnx/onnx-tensorflow#409, states given": two_states_given,
    "keras-team/keras#4192, padding first and last": lambda: sequential(
        (None,), layers.Embedding(9, 4, mask_zero=True),
        Bidirectional(SimpleRNN(3, **ALL)), dtype="int32",
    ),
    "an encoder's states begin a decoder": encoder_and_decoder,
}  # fmt: skip
OPENVINO = {
    "openvinotoolkit/openvino#2736, an LSTM and two layers": lambda: sequential(
        (5, 6), LSTM(4, dropout=0.5), layers.Dense(5, activation="relu"),
        layers.Dropout(0.5), layers.Dense(2, activation="softmax"),
    ),
    "openvinotoolkit/openvino#3768, sizes that are free": lambda: sequential(
        (None, 6), LSTM(4, **ALL)
    ),
    "openvinotoolkit/openvino#5988, a TensorList": lambda: sequential(
        (None, 4), RNN(LSTMCell(3, activation="softsign"), **ALL)
    ),
    "openvinotoolkit/openvino#14944, a GRU over rows": lambda: sequential(
        (28, 28), GRU(4, activation="elu"), layers.Dense(3)
    ),
    "openvinotoolkit/openvino#19384, several heads": several_heads,
    "openvinotoolkit/openvino#11730, a cell behind both ways": lambda: image_to_text(
        Bidirectional(LSTM(3, **ALL)), RNN(LSTMCell(3), **ALL)
    ),
    "openvinotoolkit/openvino#1911, a batch of several": lambda: image_to_text(
        Bidirectional(LSTM(3, **ALL))
    ),
}  # fmt: skip
LITERT = {
    "tensorflow/tensorflow#43649, a plain LSTM": lambda: sequential((6, 3), LSTM(4)),
    "tensorflow/tensorflow#34266, cells of a GRU": lambda: sequential(
        (None, 3), RNN([GRUCell(4), GRUCell(3)])
    ),
    "tensorflow/tensorflow#33416, no unrolling": lambda: sequential(
        (1, 1), RNN(GRUCell(10))
    ),
}


def inputs(model, batch, time):
    """Return arrays; of whole numbers some are 0, first, last and between."""
    rng = np.random.default_rng(batch)
    made = {}
    for k, tensor in enumerate(model.inputs):
        shape = [batch, *(time if n is None else n for n in tensor.shape[1:])]
        if tensor.dtype == "int32":
            x = rng.integers(0, min(time, 8) + 1, shape)
        else:
            x = rng.normal(size=shape)
            if len(shape) == 3:
                x[rng.random(shape[:2]) < 0.3] = 0
        name = tensor.name if len(model.inputs) > 1 else "input"
        made[name] = (k, x.astype(tensor.dtype))
    return {name: x for name, (_, x) in made.items()}


def assert_alike(model, made, run, sizes):
    assert made.difference < 1e-5
    for batch, time in sizes:
        given = inputs(model, batch, time)
        flat = list(given.values())
        expected = model(flat if len(flat) > 1 else flat[0], training=False)
        found = run(**given)
        for name, one in zip(made.outputs, keras.tree.flatten(expected), strict=True):
            np.testing.assert_allclose(found[name], one, atol=1e-5)


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("suffix", ["onnx", "xml"])
def test_what_onnx_got_wrong(suffix, report, tmp_path):
    model = REPORTS[report]()
    made = custom_lstm.export(model, tmp_path / f"model.{suffix}")
    runner = {"onnx": onnx_runner, "xml": openvino_runner}[suffix]
    assert_alike(model, made, runner(made.path), [(1, 2), (4, 9)])


@pytest.mark.parametrize("report", OPENVINO)
def test_what_openvino_refused(report, tmp_path):
    model = OPENVINO[report]()
    made = custom_lstm.export(model, tmp_path / "model.xml")
    assert_alike(model, made, openvino_runner(made.path), [(1, 2), (4, 9)])


@pytest.mark.parametrize("report", LITERT)
def test_what_litert_refused(report, tmp_path):
    model = LITERT[report]()
    made = custom_lstm.export(model, tmp_path / "model.tflite")
    run = litert.Interpreter(model_path=str(made.path)).get_signature_runner()
    assert_alike(model, made, run, [(1, 2), (1, 9)])


@pytest.mark.parametrize("suffix", ["onnx", "xml"])
def test_states_are_not_lost(suffix, tmp_path):
    """onnx/keras-onnx#676: a stateful layer answered the same twice."""
    inputs = keras.Input(batch_shape=(1, None, 1))
    model = keras.Model(inputs, LSTM(2, stateful=True, **ALL)(inputs))
    made = custom_lstm.export(model, tmp_path / f"model.{suffix}")
    run = {"onnx": onnx_runner, "xml": openvino_runner}[suffix](made.path)
    x, states = np.ones((1, 1, 1), "float32"), made.initial_states
    for _ in range(2):
        found = run(input=x, **states)
        np.testing.assert_allclose(found["output"], model.predict(x, verbose=0), 1e-5)
        states = {name: found[f"next_{name}"] for name in states}
