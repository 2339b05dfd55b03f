"""BatchNormalization against Keras's, fused where it should be."""

import keras
import numpy as np
import pytest
from helpers import layer_gradients

from custom_lstm.layers import BatchNormalization

RNG = np.random.default_rng(0)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _pair(shape, **options):
    ours, theirs = (
        BatchNormalization(**options),
        keras.layers.BatchNormalization(**options),
    )
    for layer in (ours, theirs):
        layer.build(shape)
    weights = [RNG.uniform(0.5, 2, w.shape) for w in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


@pytest.mark.parametrize("shape", [(6, 3), (4, 5, 3), (4, 7, 6, 3), (2, 3, 4, 5, 2)])
@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False, "momentum": 0.5}]
)
def test_training_equals_keras(shape, options):
    x = RNG.normal(3, 2, shape).astype("float32")
    ours, theirs = _pair(shape, **options)
    for _ in range(3):
        mine, other = (numpy(layer(x, training=True)) for layer in (ours, theirs))
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    kernel = "fused" if ON_TENSORFLOW else "keras"
    assert ours.kernel_used == ours.kernel_for(x, training=True) == kernel
    np.testing.assert_allclose(numpy(ours(x)), numpy(theirs(x)), rtol=1e-6, atol=1e-6)


def test_gradients_equal_keras():
    x = RNG.normal(size=(4, 5, 5, 3)).astype("float32")
    found = [
        layer_gradients.run(layer, x, training=True)[1] for layer in _pair(x.shape)
    ]
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="elsewhere it is Keras's own")
def test_second_derivatives_equal_central_differences():
    """Of Keras's first ones in float64; its second ones are off by half a per cent."""
    import tensorflow as tf

    x, above, direction = RNG.normal(size=(3, 4, 5, 5, 3))

    def first(layer, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            form = tf.reduce_sum(tf.sin(layer(x, training=True)) * _like(above, x))
        return tape.gradient(form, x)

    with tf.GradientTape() as tape:
        tape.watch(x32 := tf.constant(x, tf.float32))
        form = tf.reduce_sum(first(BatchNormalization(), x32) * _like(direction, x32))
    found = tape.gradient(form, x32).numpy()
    step, oracle = 1e-5, keras.layers.BatchNormalization(dtype="float64")
    for k in [(0, 0, 0, 0), (1, 2, 3, 1), (3, 4, 4, 2), (2, 0, 4, 2)]:
        moved = np.zeros_like(x)
        moved[k] = step
        ends = (first(oracle, tf.constant(x + sign * moved)) for sign in (1, -1))
        up, down = ((end.numpy() * direction).sum() for end in ends)
        np.testing.assert_allclose(found[k], (up - down) / (2 * step), atol=1e-4)


def _like(array, tensor):
    import tensorflow as tf

    return tf.constant(array, tensor.dtype)


@pytest.mark.parametrize(
    ("options", "inputs", "mask", "said"),
    [
        ({"axis": 1}, np.ones((2, 3, 4), "float32"), None, "axis"),
        ({}, np.ones((2, 3, 4), "float32"), np.ones((2, 3), bool), "mask"),
        ({"renorm": True}, np.ones((2, 3), "float32"), None, "renorm"),
        *([({"dtype": "float64"}, np.ones((2, 3)), None, "float64")] * ON_TENSORFLOW),
        *(
            [({"synchronized": True}, np.ones((2, 3), "float32"), None, "several")]
            * ON_TENSORFLOW
        ),
    ],
)
def test_what_the_kernel_cannot_do_goes_to_keras(options, inputs, mask, said):
    layer = BatchNormalization(**options)
    layer(inputs, training=True, mask=mask)
    assert layer.kernel_used == layer.kernel_for(inputs, True, mask) == "keras"
    if ON_TENSORFLOW:
        assert said in layer.why_not_fused(inputs, mask)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="elsewhere it is Keras's own")
def test_kernel_for_says_what_a_compiled_call_runs_again():
    """`kernel_used` cannot: the first graph runs again without choosing again."""
    import tensorflow as tf

    layer, x = BatchNormalization(), tf.TensorSpec((None, 3))
    call = tf.function(layer)
    trained = call.get_concrete_function(x, training=True)
    call.get_concrete_function(x, training=False)
    assert call.get_concrete_function(x, training=True) is trained
    operations = {node.op for node in trained.graph.as_graph_def().node}
    assert "FusedBatchNormV3" in operations
    assert layer.kernel_for(x, training=True) == "fused"
    assert layer.kernel_for(x) == layer.kernel_used == "keras"


def test_frozen_layer_keeps_its_moments():
    layer = BatchNormalization(trainable=False)
    x = RNG.normal(3, 2, (8, 2)).astype("float32")
    layer(x, training=True)
    np.testing.assert_allclose(numpy(layer.moving_mean), np.zeros(2))


def test_configuration_is_keras_configuration():
    layer = BatchNormalization(momentum=0.7, epsilon=0.01)
    theirs = keras.layers.BatchNormalization(momentum=0.7, epsilon=0.01)
    config = layer.get_config()
    assert config | {"name": None} == theirs.get_config() | {"name": None}
    assert BatchNormalization.from_config(config).get_config() == config
