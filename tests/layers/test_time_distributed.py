"""TimeDistributed against keras.layers.TimeDistributed, weights copied."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from custom_lstm import TimeDistributed

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 4, 8, 8, 2)).astype("float32")
VECTORS = RNG.normal(size=(3, 4, 6)).astype("float32")
SEQUENCES = RNG.normal(size=(3, 4, 5, 6)).astype("float32")


def numpy(x):
    return keras.tree.map_structure(ops.convert_to_numpy, x)


def encoder():
    return keras.Sequential(
        [
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )


WRAPPED = {
    "dense": (lambda: layers.Dense(5, activation="relu"), VECTORS),
    "conv": (lambda: layers.Conv2D(3, 3, strides=2), IMAGES),
    "pooling": (lambda: layers.GlobalAveragePooling2D(), IMAGES),
    "batch norm": (lambda: layers.BatchNormalization(), IMAGES),
    "flatten": (lambda: layers.Flatten(), IMAGES),
    "model": (encoder, IMAGES),
    "recurrent": (lambda: layers.LSTM(5), SEQUENCES),
}


def pair(make, inputs):
    """Return both layers, with the same random weights."""
    ours, theirs = TimeDistributed(make()), layers.TimeDistributed(make())
    ours(inputs), theirs(inputs)
    rng = np.random.default_rng(1)
    weights = [0.5 + rng.random(w.shape) for w in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


@pytest.mark.parametrize("kind", WRAPPED)
def test_outputs_and_weights_are_those_of_keras(kind):
    make, inputs = WRAPPED[kind]
    ours, theirs = pair(make, inputs)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    np.testing.assert_allclose(
        numpy(ours(inputs)), numpy(theirs(inputs)), rtol=1.3e-6, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["dense", "model", "recurrent"])
def test_config_is_that_of_keras_and_round_trips(kind):
    make, inputs = WRAPPED[kind]
    ours, theirs = pair(make, inputs)
    assert ours.get_config().keys() == theirs.get_config().keys()
    again = TimeDistributed.from_config(ours.get_config())
    again.build(inputs.shape)
    again.set_weights(ours.get_weights())
    np.testing.assert_array_equal(numpy(again(inputs)), numpy(ours(inputs)))


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("time", [None, 4])
def test_batch_and_time_may_be_dynamic(batch, time):
    inputs = keras.Input(batch_shape=(batch, time, 8, 8, 2))
    layer = TimeDistributed(encoder())
    model = keras.Model(inputs, layer(inputs))
    assert tuple(model.output.shape) == (batch, time, 5)
    predicted = model.predict(IMAGES, batch_size=3, verbose=0)
    np.testing.assert_allclose(predicted, numpy(layer(IMAGES)), rtol=1e-5, atol=1e-6)


def test_takes_any_number_of_sequences_and_steps_after_building():
    layer = TimeDistributed(encoder())
    layer(IMAGES)
    assert tuple(layer(IMAGES[:1, :2]).shape) == (1, 2, 5)


def test_summary_is_complete_before_training():
    model = keras.Sequential(
        [keras.Input((None, 8, 8, 2)), TimeDistributed(encoder()), layers.Dense(1)]
    )
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
    text = "\n".join(lines)
    assert model.built
    assert "(None, None, 5)" in text
    assert "unbuilt" not in text
    assert f"{model.count_params():,}" in text
    assert model.count_params() == (9 * 2 + 1) * 3 + 4 * 3 + (27 + 1) * 5 + 5 + 1


def test_builds_a_layer_whose_weights_sit_in_sublayers():
    class Doubled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return 2 * self.dense(inputs)

    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, TimeDistributed(Doubled())(inputs))
    assert model.count_params() == 6 * 3 + 3
    assert tuple(model.output.shape) == (None, None, 3)


def test_takes_integer_images():
    images = RNG.integers(0, 256, size=(2, 3, 8, 8, 1), dtype="uint8")
    inner = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten()])
    inputs = keras.Input((None, 8, 8, 1), dtype="uint8")
    model = keras.Model(inputs, TimeDistributed(inner)(inputs))
    expected = images.reshape(2, 3, 64) / 255
    np.testing.assert_allclose(numpy(model(images)), expected, rtol=1e-6)


class Masked(layers.Layer):
    """Shows the mask it was given."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return inputs * ops.expand_dims(ops.cast(mask, inputs.dtype), -1)

    def compute_output_shape(self, input_shape):
        return input_shape


def test_mask_reaches_the_layer_folded():
    mask = RNG.random((3, 4)) < 0.5
    output = TimeDistributed(Masked())(VECTORS, mask=mask)
    np.testing.assert_array_equal(numpy(output), VECTORS * mask[..., None])


def test_mask_of_a_mask_per_step_reaches_a_recurrent_layer():
    mask = np.arange(5) < RNG.integers(1, 6, size=(3, 4, 1))
    ours, theirs = pair(lambda: layers.LSTM(5), SEQUENCES)
    np.testing.assert_allclose(
        numpy(ours(SEQUENCES, mask=mask)),
        numpy(theirs(SEQUENCES, mask=mask)),
        rtol=1.3e-6,
        atol=1e-5,
    )


def test_outputs_carry_the_mask_of_the_inputs():
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    embedding = layers.Embedding(4, 3, mask_zero=True)
    dense, lstm = TimeDistributed(layers.Dense(2)), layers.LSTM(3)
    implicit = numpy(lstm(dense(embedding(tokens))))
    features = numpy(dense(embedding(tokens)))
    explicit = numpy(lstm(features, mask=tokens != 0))
    np.testing.assert_allclose(implicit, explicit, rtol=1e-6)
    assert not np.allclose(implicit, numpy(lstm(features)))


def test_training_argument_is_passed_on():
    layer = TimeDistributed(layers.Dropout(0.5, seed=1))
    np.testing.assert_array_equal(numpy(layer(VECTORS, training=False)), VECTORS)
    assert (numpy(layer(VECTORS, training=True)) == 0).any()


def test_losses_of_the_layer_are_kept():
    dense = layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l1")
    layer = TimeDistributed(dense)
    layer(VECTORS)
    assert len(layer.losses) == 2


def test_batch_norm_is_updated_once_over_all_steps():
    layer = TimeDistributed(layers.BatchNormalization(momentum=0.9))
    layer(VECTORS, training=True)
    expected = 0.1 * VECTORS.mean(axis=(0, 1))
    moving_mean = layer.layer.moving_mean.numpy()
    np.testing.assert_allclose(moving_mean, expected, rtol=1e-5, atol=1e-7)


def test_nested_inputs_and_outputs_keep_their_structure():
    a, b = keras.Input((6,), name="a"), keras.Input((2,), name="b")
    both = layers.Concatenate()([a, b])
    inner = keras.Model({"a": a, "b": b}, {"both": both, "twice": a + a})
    inputs = {
        name: keras.Input((None, width), name=name)
        for name, width in {"a": 6, "b": 2}.items()
    }
    model = keras.Model(inputs, TimeDistributed(inner)(inputs))
    data = {"a": VECTORS, "b": VECTORS[..., :2]}
    outputs = numpy(model(data))
    np.testing.assert_allclose(outputs["twice"], 2 * VECTORS)
    np.testing.assert_allclose(outputs["both"], np.concatenate([*data.values()], -1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TimeDistributed(layers.Dense(2))(VECTORS, mask=np.ones((3, 5))),
            r"\(3, 5\).*\(3, 4, 6\)",
        ),
        (
            lambda: TimeDistributed(layers.Dense(2))(VECTORS, mask=np.ones(3)),
            r"\(3,\).*\(3, 4, 6\)",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
