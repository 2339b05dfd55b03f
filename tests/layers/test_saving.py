"""A saved or exported model comes back, in another process too."""

import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
from keras import layers

import custom_lstm
from custom_lstm.cells import Chrono, GatewiseOrthogonal
from custom_lstm.layers import BatchNormalization

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
LOAD = """
import sys
import numpy as np
import custom_lstm
import keras
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""
SERVE = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
assert "custom_lstm" not in sys.modules
np.save(sys.argv[2], loaded.serve(np.load(sys.argv[3])))
"""


def everything():
    """Return a model with every layer, cell and initialiser of the package's core."""
    image = keras.Sequential([layers.Flatten(), layers.Dense(5), BatchNormalization()])
    stack = [custom_lstm.LSTMCell(3), custom_lstm.GRUCell(4, reset_after=False)]
    variants = [
        custom_lstm.CoupledLSTMCell(3),
        custom_lstm.LayerNormLSTMCell(3),
        custom_lstm.PeepholeLSTMCell(3),
        custom_lstm.ProjectedLSTMCell(4, 2),
        custom_lstm.ZoneoutLSTMCell(3),
    ]
    every_step = {"return_sequences": True}
    return keras.Sequential(
        [
            keras.Input((None, 2, 3)),
            custom_lstm.TimeDistributed(image),
            custom_lstm.LSTM(
                4,
                learn_initial_state=True,
                bias_initializer=Chrono(10, seed=1),
                recurrent_initializer=GatewiseOrthogonal(seed=1),
                dropout=0.5,
                **every_step,
            ),
            layers.Bidirectional(custom_lstm.GRU(4, **every_step)),
            custom_lstm.RNN(stack, learn_initial_state=True, **every_step),
            custom_lstm.RNN(variants, **every_step),
            BatchNormalization(),
            layers.RNN(custom_lstm.SimpleRNNCell(3), **every_step),
            custom_lstm.SimpleRNN(2),
        ]
    )


def sharing(make_cell, several):
    cell = make_cell()
    cells = [cell, custom_lstm.GRUCell(3)] if several else cell
    other = [custom_lstm.SimpleRNNCell(3), cell] if several else cell
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            custom_lstm.RNN(cells, return_sequences=True),
            custom_lstm.RNN(other),
        ]
    )


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    "make_cell",
    [
        lambda: custom_lstm.LSTMCell(3),
        lambda: custom_lstm.PeepholeLSTMCell(3),
        lambda: layers.GRUCell(3),
    ],
)
def test_layers_that_share_a_cell_share_it_when_they_are_loaded(
    make_cell, several, tmp_path
):
    model = sharing(make_cell, several)
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6
    )
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    first, second = loaded.layers
    if several:
        assert second.cell.cells[1] is first.cell.cells[0]
    else:
        assert second.cell is first.cell


@keras.saving.register_keras_serializable(package="tests")
class Noted(custom_lstm.LSTM):
    """Notes each layer that is made, without keeping it."""

    made = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made.append(weakref.ref(self))


def test_no_layer_is_freed_while_its_model_is_loaded(tmp_path):
    """Keras would take the next layer at the same address for the one freed."""
    model = keras.Sequential([keras.Input((3, 2)), custom_lstm.Bidirectional(Noted(2))])
    model.save(tmp_path / "model.keras")
    Noted.made.clear()
    loaded = keras.models.load_model(tmp_path / "model.keras")
    gc.collect()
    assert len(Noted.made) == 3 and all(made() for made in Noted.made)
    assert isinstance(loaded.layers[0].forward_layer, Noted)


def test_a_cell_of_one_layer_has_no_mark_in_its_config():
    layer = custom_lstm.RNN(custom_lstm.LSTMCell(3))
    assert "shared_object_id" not in layer.get_config()["cell"]


@keras.saving.register_keras_serializable("test_saving")
class OwnInitializer(keras.initializers.Zeros):
    """Registered under a name that a test takes away."""


def own_activation(x):
    return x


@pytest.mark.parametrize(
    "options",
    [{"activation": own_activation}, {"kernel_initializer": OwnInitializer()}],
    ids=list,
)
def test_what_is_not_registered_is_refused_with_the_way_to_register(options):
    config = custom_lstm.LSTM(3, **options).get_config()
    registered = keras.saving.get_custom_objects()
    kept = registered.pop("test_saving>OwnInitializer")
    try:
        with pytest.raises(ValueError, match="keras.saving.register_keras_serializa"):
            custom_lstm.LSTM.from_config(config)
    finally:
        registered["test_saving>OwnInitializer"] = kept


@pytest.fixture(scope="module")
def model():
    """`everything`, with random weights, and with moving averages as if trained."""
    model = everything()
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(2, 5, 2, 3)).astype("float32")


def in_fresh_process(program, path, x):
    """Return the outputs for x of the model at `path`, loaded in a fresh process."""
    np.save(path.parent / "x.npy", x)
    arguments = [path, path.parent / "y.npy", path.parent / "x.npy"]
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True)
    return np.load(path.parent / "y.npy")


def test_loads_in_fresh_process(model, x, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    np.testing.assert_allclose(
        in_fresh_process(LOAD, path, x),
        model.predict(x, verbose=0),
        rtol=1e-6,
        atol=1e-7,
    )


@pytest.mark.skipif(not ON_TENSORFLOW, reason="a SavedModel is TensorFlow's")
def test_exported_model_serves_in_a_fresh_process_without_this_package(
    model, x, tmp_path
):
    model.export(tmp_path / "saved", verbose=False)
    for sequences in (x, x[:1, :3]):
        np.testing.assert_allclose(
            in_fresh_process(SERVE, tmp_path / "saved", sequences),
            model.predict(sequences, verbose=0),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.skipif(not ON_TENSORFLOW, reason="a SavedModel is TensorFlow's")
def test_saved_model_of_tensorflow_keeps_masks_training_and_states(x, tmp_path):
    import tensorflow as tf

    lstm = custom_lstm.LSTM(4, dropout=0.5, stateful=True)
    inputs = x.reshape(2, 5, 6)
    lstm.build(inputs.shape)
    archive = keras.export.ExportArchive()
    archive.track(lstm)
    shapes = [tf.TensorSpec(inputs.shape), tf.TensorSpec(inputs.shape[:2], tf.bool)]
    archive.add_endpoint("step", lambda x, mask: lstm(x, mask=mask), shapes)
    archive.add_endpoint("train", lambda x: lstm(x, training=True), shapes[:1])
    archive.write_out(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(tmp_path / "saved")
    mask = np.arange(5) < np.array([[5], [2]])
    for _ in range(2):
        np.testing.assert_allclose(saved.step(inputs, mask), lstm(inputs, mask=mask))
    drawn = [saved.train(inputs).numpy() for _ in range(2)]
    assert not np.allclose(*drawn)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="a SavedModel is TensorFlow's")
@pytest.mark.parametrize("kernel", ["unrolled", "loop", "xla", "reference"])
def test_every_kernel_is_exported_at_known_sizes(x, tmp_path, kernel):
    import tensorflow as tf

    lstm = custom_lstm.LSTM(4, kernel=kernel)
    inputs = x.reshape(2, 5, 6)
    lstm.build(inputs.shape)
    archive = keras.export.ExportArchive()
    archive.track(lstm)
    archive.add_endpoint("serve", lambda x: lstm(x), [tf.TensorSpec(inputs.shape)])
    archive.write_out(tmp_path / "saved", verbose=False)
    assert lstm.kernel_used == kernel
    saved = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(saved.serve(inputs), lstm(inputs), rtol=1e-5, atol=1e-6)
