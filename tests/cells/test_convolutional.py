"""ConvLSTMCell and ConvGRUCell against Keras's layers, NumPy, and one another."""

import keras
import numpy as np
import pytest
from helpers import cell_oracles
from helpers.layer_gradients import run as with_gradients
from keras import layers, ops

from custom_lstm import RNN, ConvGRUCell, ConvLSTMCell, GRUCell, LSTMCell

KERAS = {1: layers.ConvLSTM1D, 2: layers.ConvLSTM2D, 3: layers.ConvLSTM3D}
IMAGES = {1: (7,), 2: (7, 6), 3: (5, 4, 4)}
OPTIONS = {
    "same": {"padding": "same"},
    "valid": {},
    "strides": {"strides": 2, "padding": "same"},
    "dilation": {"dilation_rate": 2, "padding": "same"},
    "no bias": {"use_bias": False, "padding": "same"},
    "other activations": {
        "padding": "same",
        "activation": "softsign",
        "recurrent_activation": "hard_sigmoid",
    },
}
MASK = np.array([[True, True, False, True], [False, True, True, False]])


def sequences(rng, rank, channels=2, time=4):
    return rng.normal(size=(2, time, *IMAGES[rank], channels)).astype("float32")


def pair(rank, x, rng, options, **of_layer):
    """Return Keras's layer and ours, built, with the same random weights."""
    kernel = (3, 2, 2)[:rank]
    theirs = KERAS[rank](3, kernel, **options, **of_layer)
    ours = RNN(ConvLSTMCell(3, kernel, **options), **of_layer)
    for layer in (theirs, ours):
        layer.build(x.shape)
    weights = [0.4 * rng.normal(size=w.shape) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return theirs, ours


def same(actual, expected, atol=1e-5):
    actual, expected = (keras.tree.flatten(nest) for nest in (actual, expected))
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("rank", KERAS)
def test_outputs_and_states_are_those_of_keras(rank, name, rng):
    x = sequences(rng, rank)
    options = {"return_sequences": True, "return_state": True}
    theirs, ours = pair(rank, x, rng, OPTIONS[name], **options)
    same(ours(x), theirs(x))


@pytest.mark.parametrize("rank", KERAS)
def test_gradients_of_weights_and_inputs_are_those_of_keras(rank, rng):
    x = sequences(rng, rank)
    found = [
        with_gradients(layer, x)
        for layer in pair(rank, x, rng, OPTIONS["same"], return_sequences=True)
    ]
    same(found[1], found[0], atol=1e-4)


def test_going_backwards_is_as_in_keras(rng):
    x = sequences(rng, 2)
    options = {"return_sequences": True, "return_state": True, "go_backwards": True}
    theirs, ours = pair(2, x, rng, OPTIONS["same"], **options)
    same(ours(x), theirs(x))


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras's layers take no mask on JAX"
)
def test_masks_are_as_in_keras(rng):
    x = sequences(rng, 2)
    options = {"return_sequences": True, "return_state": True}
    theirs, ours = pair(2, x, rng, OPTIONS["same"], **options)
    mask = ops.convert_to_tensor(MASK)
    same(ours(x, mask=mask), theirs(x, mask=mask))


def test_masked_steps_are_as_if_they_were_not_there(rng):
    x = sequences(rng, 2)
    _, layer = pair(2, x, rng, OPTIONS["same"], return_state=True)
    seen = layer(x, mask=ops.convert_to_tensor(MASK))
    for row, mask in enumerate(MASK):
        alone = layer(x[row : row + 1, mask])
        same([state[row : row + 1] for state in seen], alone)


def test_a_mask_turned_round_is_a_sequence_turned_round(rng):
    x = sequences(rng, 2)
    _, forward = pair(2, x, rng, OPTIONS["same"])
    backward = RNN(forward.cell, go_backwards=True)
    same(backward(x[:, ::-1], mask=MASK[:, ::-1].copy()), forward(x, mask=MASK))


@pytest.mark.parametrize("cell", [ConvLSTMCell, ConvGRUCell])
def test_dropout_acts_in_training_alone(cell, rng):
    x = sequences(rng, 2)
    options = {"padding": "same", "dropout": 0.5, "recurrent_dropout": 0.5, "seed": 1}
    layer = RNN(cell(3, 3, **options))
    without = ops.convert_to_numpy(layer(x))
    same(layer(x, training=False), without)
    trained = ops.convert_to_numpy(layer(x, training=True))
    assert np.abs(trained - without).max() > 1e-2


@pytest.mark.parametrize("cell", [ConvLSTMCell, ConvGRUCell])
def test_dropout_trains(cell, rng):
    x = sequences(rng, 2, time=3)
    layer = RNN(cell(2, 3, padding="same", dropout=0.2, recurrent_dropout=0.2))
    model = keras.Sequential([layer, layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    first, *_, last = (
        float(model.train_on_batch(x, np.ones((2, 1)))) for _ in range(15)
    )
    assert last < first


@pytest.mark.parametrize("reset_after", [True, False])
def test_conv_gru_is_the_equations_in_numpy(reset_after, rng):
    x = sequences(rng, 2).astype("float64")
    layer = RNN(
        ConvGRUCell(3, (3, 2), padding="same", reset_after=reset_after),
        return_sequences=True,
    )
    layer.build(x.shape)
    weights = [0.4 * rng.normal(size=w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    weights = [np.float64(w) for w in layer.get_weights()]
    h, expected = np.zeros((2, *IMAGES[2], 3)), []
    for t in range(4):
        h = cell_oracles.conv_gru_step(x[:, t], h, weights, reset_after)
        expected.append(h)
    same(layer(x.astype("float32")), np.stack(expected, axis=1))


@pytest.mark.parametrize(
    ("convolved", "plain"),
    [
        (ConvGRUCell(3, 1, reset_after=True), GRUCell(3)),
        (ConvGRUCell(3, 1, reset_after=False), GRUCell(3, reset_after=False)),
        (ConvLSTMCell(3, 1), LSTMCell(3)),
    ],
    ids=["ConvGRUCell", "ConvGRUCell, reset before", "ConvLSTMCell"],
)
def test_on_images_of_one_pixel_it_is_the_cell_of_vectors(convolved, plain, rng):
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    images, vectors = RNN(convolved), RNN(plain)
    images.build((2, 5, 1, 1, 4))
    vectors.build((2, 5, 4))
    weights = [0.4 * rng.normal(size=w.shape) for w in vectors.get_weights()]
    vectors.set_weights(weights)
    shapes = [w.shape for w in images.get_weights()]
    images.set_weights([w.reshape(s) for w, s in zip(weights, shapes, strict=True)])
    same(images(x[:, :, None, None])[:, 0, 0], vectors(x))


@pytest.mark.parametrize("cell", [ConvLSTMCell, ConvGRUCell])
@pytest.mark.parametrize("rank", KERAS)
def test_channels_first_is_the_same_turned(cell, rank, rng):
    x = sequences(rng, rank)
    options = {"padding": "same", "strides": 2}
    last = RNN(cell(3, 3, **options), return_sequences=True, return_state=True)
    first = RNN(
        cell(3, 3, data_format="channels_first", **options),
        return_sequences=True,
        return_state=True,
    )
    turned = np.moveaxis(x, -1, 2)
    last.build(x.shape)
    first.build(turned.shape)
    first.set_weights(last.get_weights())
    outputs, *states = last(x)
    expected = [ops.moveaxis(outputs, -1, 2), *(ops.moveaxis(s, -1, 1) for s in states)]
    same(first(turned), expected)


def test_they_are_stacked(rng):
    x = sequences(rng, 2)
    cells = [ConvLSTMCell(3, 3, padding="same"), ConvGRUCell(2, 3, padding="same")]
    stacked = RNN(cells, return_sequences=True)
    outputs = stacked(x)
    for cell in cells:
        x = RNN(cell, return_sequences=True)(x)
    same(outputs, x)


@pytest.mark.parametrize("cell", [ConvLSTMCell, ConvGRUCell])
def test_a_model_of_it_is_saved_and_loaded(cell, rng, tmp_path):
    x = sequences(rng, 2)
    model = keras.Sequential(
        [keras.Input((None, *x.shape[2:])), RNN(cell(3, 3), return_sequences=True)]
    )
    model.save(tmp_path / "model.keras")
    same(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (None, None, 6, 2), "known length besides the channels.*None"),
        ({}, (None, 2), "one to three axes"),
        ({"kernel_size": (3, 3, 3)}, (None, 6, 6, 2), "one for each of the 2 axes"),
        ({"strides": (2,)}, (None, 6, 6, 2), "`strides` must be one number, or one"),
        ({"kernel_size": 9}, (None, 6, 6, 2), r"no step of the kernel \(9, 9\) fits"),
    ],
)
def test_images_that_do_not_fit_are_refused(options, shape, message):
    cell = ConvLSTMCell(**{"filters": 3, "kernel_size": 3, **options})
    with pytest.raises(ValueError, match=message):
        cell.build(shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": 2, "dilation_rate": 2}, "either `strides` or `dilation_rate`"),
        ({"kernel_size": 0}, "`kernel_size` must be a positive integer"),
        ({"filters": 2.5}, "`filters` must be a positive integer"),
        ({"padding": "causal"}, "`padding` must be one of"),
        ({"data_format": "first"}, "`data_format` must be one of"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvGRUCell(**{"filters": 3, "kernel_size": 3, **options})


def test_other_channels_than_it_was_built_for_are_refused(rng):
    layer = RNN(ConvLSTMCell(3, 3))
    layer(sequences(rng, 2))
    with pytest.raises(ValueError, match=r"built for images of shape \(7, 6, 2\)"):
        layer(sequences(rng, 2, channels=4))
