"""A sequence cut anywhere, the state carried on: outputs and gradients of the whole."""

import keras
import numpy as np
import pytest

import custom_lstm
from custom_lstm import RNN

BACKEND = keras.backend.backend()
DTYPE = "float32" if BACKEND == "jax" else "float64"
FEATURES, UNITS, TIME = 3, 4, 5
CUTS = (1, 4) if BACKEND == "jax" else range(1, TIME)  # JAX compiles for each length
LAYERS = {
    "LSTM": lambda **options: custom_lstm.LSTM(UNITS, **options),
    "GRU": lambda **options: custom_lstm.GRU(UNITS, **options),
    "SimpleRNN": lambda **options: custom_lstm.SimpleRNN(UNITS, **options),
    "peephole": lambda **options: RNN(
        custom_lstm.PeepholeLSTMCell(UNITS, dtype=DTYPE), **options
    ),
    "projected": lambda **options: RNN(
        custom_lstm.ProjectedLSTMCell(UNITS, 2, dtype=DTYPE), **options
    ),
}


ATOL = 1e-15 if BACKEND == "tensorflow" else 1e-6
"""PyTorch's products of few and of many rows differ in their last bits; JAX, as Keras
sets it up, knows no float64."""


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def made(name, **options):
    """Return a built layer whose weights depend on its name alone."""
    keras.utils.set_random_seed(1)
    layer = LAYERS[name](return_sequences=True, dtype=DTYPE, **options)
    layer.build((2, TIME, FEATURES))
    return layer


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, TIME, FEATURES)).astype(DTYPE)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_initial_state_carries_on(name, cut, x):
    layer = made(name, return_state=True)
    whole, *last = map(numpy, layer(x))
    first, *states = layer(x[:, :cut])
    second, *ours = layer(x[:, cut:], initial_state=states)
    both = np.concatenate([numpy(first), numpy(second)], 1)
    np.testing.assert_allclose(both, whole, atol=ATOL)
    for state, expected in zip(map(numpy, ours), last, strict=True):
        np.testing.assert_allclose(state, expected, atol=ATOL)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_stateful_layer_carries_on(name, cut, x):
    whole = numpy(made(name)(x))
    layer = made(name, stateful=True)
    chunks = [numpy(layer(x[:, :cut])), numpy(layer(x[:, cut:]))]
    np.testing.assert_allclose(np.concatenate(chunks, 1), whole, atol=ATOL)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="float64 tape of TensorFlow")
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_the_chunks_make_up_that_of_the_whole(name, cut, x, rng):
    """∂L/∂w of the whole = ∂L₂/∂w + ∂(L₁ + s·∂L₂/∂s)/∂w, s carried from 1 to 2."""
    import tensorflow as tf

    layer = made(name, return_state=True)
    weights = [w.value for w in layer.trainable_weights]
    direction = rng.normal(size=(2, TIME, layer.cell.output_size))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x)[0] * direction)
    whole = tape.gradient(loss, weights)
    with tf.GradientTape() as early:
        first, *states = layer(x[:, :cut])
        loss = tf.reduce_sum(first * direction[:, :cut])
        with tf.GradientTape() as late:
            begun = [tf.identity(state) for state in states]
            late.watch(begun)
            second = layer(x[:, cut:], initial_state=begun)[0]
            later = tf.reduce_sum(second * direction[:, cut:])
        of_late, of_states = late.gradient(later, (weights, begun))
        for state, gradient in zip(states, of_states, strict=True):
            loss += tf.reduce_sum(state * tf.stop_gradient(gradient))
    of_early = early.gradient(loss, weights)
    for a, b, expected in zip(of_early, of_late, whole, strict=True):
        np.testing.assert_allclose(a + b, expected, atol=1e-13)

    carrying = made(name, stateful=True)
    carrying(x[:, :cut])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(carrying(x[:, cut:]) * direction[:, cut:])
    within = tape.gradient(loss, [w.value for w in carrying.trainable_weights])
    for ours, expected in zip(within, of_late, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-13)
