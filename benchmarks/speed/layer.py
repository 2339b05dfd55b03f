"""The LSTM layer alone, against Keras's and PyTorch's, at six shapes.

Runs on whichever backend KERAS_BACKEND names; on TensorFlow beside `torch.nn.LSTM` and
the matrix products alone, which every implementation needs.
"""

from collections.abc import Callable

import keras
import numpy as np
import torch
from timing import OURS, interleaved, summary

import custom_lstm

SHAPES = {  # batch, time, features, units
    "small": (32, 6, 128, 64),
    "narrow": (64, 20, 64, 24),
    "middle": (64, 50, 64, 128),
    "looped": (32, 100, 64, 64),
    "Keras's own benchmark": (256, 256, 256, 32),
    "wide": (32, 40, 1000, 1000),
    "one long sequence": (1, 1000, 64, 64),
}
LONGEST_UNROLLED = 64


def measure(shape: tuple[int, int, int, int], train: bool, runs: int) -> dict:
    """Time every candidate at one shape."""
    batch, time, features, units = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, time, features)).astype("float32")
    above = rng.normal(size=(batch, time, units)).astype("float32")
    sequences = {"return_sequences": True}
    layers = {
        OURS: custom_lstm.LSTM(units, **sequences),
        "keras.layers.LSTM": keras.layers.LSTM(units, **sequences),
        "keras.layers.RNN(LSTMCell)": keras.layers.RNN(
            keras.layers.LSTMCell(units), **sequences
        ),
    }
    if time <= LONGEST_UNROLLED:
        layers["keras.layers.LSTM, unrolled"] = keras.layers.LSTM(
            units, unroll=True, **sequences
        )
    candidates = {
        name: prepared(layer, x, above, train) for name, layer in layers.items()
    }
    if keras.backend.backend() == "tensorflow":
        candidates["torch.nn.LSTM"] = torch_layer(torch.nn.LSTM, x, above, units, train)
        candidates["matrix products"] = products(shape, train)
        candidates["an empty tf.function"] = empty_tf_function()
    found = summary(interleaved(candidates, runs))
    kernel = layers[OURS].kernel_used
    return {"shape": shape, "kernel": kernel, "candidates": found}


def prepared(layer, x, above, train) -> Callable[[], object]:
    """Return a run of a Keras layer, with all gradients if `train`."""
    prepare = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}
    return prepare[keras.backend.backend()](layer, x, above, train)


def _tensorflow(layer, x, above, train) -> Callable[[], object]:
    import tensorflow as tf

    layer.build(x.shape)
    x, above = tf.constant(x), tf.constant(above)
    weights = [weight.value for weight in layer.trainable_weights]

    @tf.function
    def infer():
        return layer(x)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            form = tf.reduce_sum(layer(x, training=True) * above)
        return tape.gradient(form, [x, *weights])

    return step if train else infer


def _torch(layer, x, above, train) -> Callable[[], object]:
    layer.build(x.shape)
    x, above = torch.tensor(x, requires_grad=train), torch.tensor(above)
    weights = [weight.value for weight in layer.trainable_weights]

    def step():
        return torch.autograd.grad((layer(x) * above).sum(), [x, *weights])

    def infer():
        with torch.no_grad():
            return layer(x)

    return step if train else infer


def _jax(layer, x, above, train) -> Callable[[], object]:
    import jax

    layer.build(x.shape)
    weights = [weight.value for weight in layer.trainable_variables]
    fixed = [weight.value for weight in layer.non_trainable_variables]

    def form(x, weights):
        return (layer.stateless_call(weights, fixed, x)[0] * above).sum()

    compiled = jax.jit(jax.grad(form, argnums=(0, 1)) if train else form)
    x = jax.numpy.asarray(x)
    return lambda: jax.block_until_ready(compiled(x, weights))


def torch_layer(make, x, above, units, train) -> Callable[[], object]:
    """Return a run of one of PyTorch's own layers."""
    layer = make(x.shape[-1], units, batch_first=True)
    x, above = torch.tensor(x, requires_grad=train), torch.tensor(above)

    def step():
        form = (layer(x)[0] * above).sum()
        weights = [weight for weight in layer.parameters() if weight.requires_grad]
        return torch.autograd.grad(form, [x, *weights], allow_unused=True)

    def infer():
        with torch.no_grad():
            return layer(x)

    return step if train else infer


def empty_tf_function() -> Callable[[], object]:
    """Return a call that computes nothing: what TensorFlow takes for any call."""
    import tensorflow as tf

    return tf.function(lambda: tf.constant(1.0))


def products(shape, train, gates: int = 4) -> Callable[[], object]:
    """Return the matrix products that gates need, step after step, alone."""
    import tensorflow as tf

    batch, time, features, units = shape
    rows = batch * time
    width = gates * units
    x, W = tf.ones((rows, features)), tf.ones((features, width))
    U = tf.ones((units, width))
    all_h, all_z = tf.ones((rows, units)), tf.ones((rows, width))
    h, z = tf.ones((time, batch, units)), tf.ones((time, batch, width))

    def steps(operands, **transposed):
        """Return a product a step, in an order that TensorFlow must keep."""
        if time <= LONGEST_UNROLLED:
            done = [U]
            for operand in tf.unstack(operands):
                with tf.control_dependencies(done[-1:]):
                    done.append(tf.matmul(operand, U, **transposed))
            return done[1:]
        array = tf.TensorArray(operands.dtype, time).unstack(operands)

        def step(t, last):
            with tf.control_dependencies([last]):
                return t + 1, tf.matmul(array.read(t), U, **transposed)

        return tf.while_loop(lambda t, _: t < time, step, step(0, U))[1:]

    @tf.function
    def run():
        results = [tf.matmul(x, W), *steps(h)]
        if train:
            with tf.control_dependencies(results):
                results += [
                    *steps(z, transpose_b=True),
                    tf.matmul(all_z, W, transpose_b=True),
                    tf.matmul(x, all_z, transpose_a=True),
                    tf.matmul(all_h, all_z, transpose_a=True),
                ]
        return results

    return run
