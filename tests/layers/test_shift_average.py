"""The average over shifts, against NumPy."""

import keras
import numpy as np
import pytest

from custom_lstm.layers import ShiftAverage

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 6, 5, 2)).astype("uint8")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def shifted(images, down, right):
    moved = np.zeros_like(images)
    for y in range(images.shape[1]):
        for x in range(images.shape[2]):
            if 0 <= y - down < images.shape[1] and 0 <= x - right < images.shape[2]:
                moved[:, y, x] = images[:, y - down, x - right]
    return moved


def encoder():
    stack = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    return keras.Sequential([keras.Input((6, 5, 2)), *stack, keras.layers.Dense(3)])


@pytest.mark.parametrize("pixels", [1, 2])
def test_is_the_mean_over_the_image_and_its_shifts(pixels):
    layer = encoder()
    moves = [(0, 0), (pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
    expected = np.mean([numpy(layer(shifted(IMAGES, *move))) for move in moves], 0)
    found = numpy(ShiftAverage(layer, pixels)(IMAGES))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_training_sees_the_image_alone():
    layer = encoder()
    found = numpy(ShiftAverage(layer)(IMAGES, training=True))
    np.testing.assert_array_equal(found, numpy(layer(IMAGES, training=True)))


def test_weights_are_those_of_the_layer():
    layer = encoder()
    average = ShiftAverage(layer)
    average(IMAGES)
    assert [w.path for w in average.weights] == [w.path for w in layer.weights]


def test_survives_saving(tmp_path):
    inputs = keras.Input((6, 5, 2), dtype="uint8")
    model = keras.Model(inputs, ShiftAverage(encoder(), pixels=2)(inputs))
    assert model.output_shape == (None, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(IMAGES)), numpy(model(IMAGES)), rtol=1e-5)
    assert again.layers[-1].pixels == 2


@pytest.mark.parametrize("pixels", [0, -1, 1.0, True])
def test_names_pixels_out_of_range(pixels):
    with pytest.raises(ValueError, match=f"`pixels`.*pixels={pixels}"):
        ShiftAverage(encoder(), pixels)


@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 1, 5, 1), (2, 5, 2, 5, 1)])
def test_names_images_of_another_rank_or_too_small(shape):
    with pytest.raises(ValueError, match="ShiftAverage.*height.*Received shape"):
        ShiftAverage(keras.layers.Flatten())(np.zeros(shape, "float32"))
