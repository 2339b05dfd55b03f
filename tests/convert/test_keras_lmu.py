"""Weights from keras-lmu's layers, whose outputs are the oracle."""

import keras
import numpy as np
import pytest

from custom_lstm import RNN, cells
from custom_lstm.convert import from_keras_lmu

if keras.backend.backend() != "tensorflow":
    pytest.skip("keras-lmu needs TensorFlow", allow_module_level=True)
keras_lmu = pytest.importorskip("keras_lmu")
FEATURES, UNITS, BATCH, TIME = 3, 5, 2, 6
SIZES = {"order": 4, "theta": 10}
X = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype("float32")
RECURRENT = {"hidden_to_memory": True, "memory_to_memory": True}
TRAINED = {"trainable_theta": True, **RECURRENT}


def theirs(hidden="SimpleRNNCell", memories=2, activation="tanh", **options):
    hidden = getattr(keras.layers, hidden)(UNITS, activation=activation)
    layer = keras_lmu.LMU(
        memories, hidden_cell=hidden, return_sequences=True, **SIZES, **options
    )
    layer.build(X.shape)
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        if weight.name not in ("theta_inv", "bias"):
            weight.assign(0.5 * rng.normal(size=weight.shape))
    return layer


def ours(recurrent=True, memories=2, **options):
    options = {**SIZES, **options}
    cell = cells.LMUCell(UNITS, memories=memories, recurrent=recurrent, **options)
    layer = RNN(cell, return_sequences=True)
    layer.build(X.shape)
    return layer


@pytest.mark.parametrize("method", ["zoh", "euler"])
@pytest.mark.parametrize("to_hidden", [True, False])
@pytest.mark.parametrize(
    ("hidden", "options"),
    [
        ("SimpleRNNCell", RECURRENT),
        ("SimpleRNNCell", {"hidden_to_memory": True}),
        ("SimpleRNNCell", {"memory_to_memory": True}),
        ("Dense", RECURRENT),
        ("Dense", {}),
        ("SimpleRNNCell", {}),
        ("SimpleRNNCell", TRAINED),
    ],
)
def test_an_lmu_with_any_connections(hidden, options, to_hidden, method):
    layer = theirs(hidden, input_to_hidden=to_hidden, discretizer=method, **options)
    made = ours(recurrent=bool(options) or hidden != "Dense", method=method)
    for source in (layer, layer.layer):
        made.set_weights(from_keras_lmu(source, made))
        np.testing.assert_allclose(made(X), layer(X), rtol=1e-4, atol=1e-5)


def test_an_lmu_without_an_encoder_has_an_identity_matrix():
    layer = theirs("Dense", memories=3, kernel_initializer=None)
    made = ours(recurrent=False, memories=3)
    made.set_weights(from_keras_lmu(layer, made))
    np.testing.assert_allclose(made(X), layer(X), rtol=1e-4, atol=1e-5)


def with_bias():
    layer = theirs(use_bias=True, **RECURRENT)
    layer.layer.cell.bias.assign(np.ones(2))
    return layer


def with_other_theta():
    layer = theirs(**TRAINED)
    layer.layer.cell.theta_inv.assign(0.05)
    return layer


@pytest.mark.parametrize(
    ("source", "layer", "message"),
    [
        (lambda: theirs(**RECURRENT), lambda: ours(recurrent=False), "recurrent=True"),
        (lambda: theirs(discretizer="euler"), ours, "`method='euler'`"),
        (theirs, lambda: ours(memories=1), "`memories=2`"),
        (theirs, lambda: ours(theta=11.0), "`theta=10`"),
        (with_other_theta, ours, "`theta=20`"),
        (lambda: theirs(activation="relu"), ours, "`activation='relu'`"),
        (with_bias, ours, "adds a bias"),
        (lambda: theirs("LSTMCell"), ours, "Received: LSTMCell"),
        (lambda: keras.layers.Dense(3), ours, "of keras-lmu, built.*Dense"),
        (theirs, lambda: RNN(cells.LSTMCell(3)), "must be one LMUCell"),
    ],
)
def test_what_is_another_network_is_refused(source, layer, message):
    with pytest.raises(ValueError, match=message):
        from_keras_lmu(source(), layer())
