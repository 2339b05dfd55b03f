"""The average over views, against NumPy."""

import keras
import numpy as np
import pytest

from custom_lstm.layers import ViewAverage

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 6, 5, 2)).astype("uint8")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def seen(images, look):
    """Images whose pixel (y, x) shows what lies at `look(y, x)`, by linear weights."""
    _, height, width, _ = images.shape
    view = np.zeros(images.shape)
    for y, x in np.ndindex(height, width):
        for row, column in np.ndindex(height, width):
            away = np.abs(np.subtract(look(y, x), (row, column)))
            view[:, y, x] += np.prod(np.maximum(1 - away, 0)) * images[:, row, column]
    return view


def turned(degrees, size=1.0):
    """About the centre of IMAGES."""
    a = np.radians(degrees)
    matrix = size * np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    centre = np.array([2.5, 2.0])
    return lambda y, x: centre + matrix @ (np.array([y, x]) - centre)


def shifted(down, right):
    return lambda y, x: (y - down, x - right)


def encoder():
    stack = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    return keras.Sequential([keras.Input((6, 5, 2)), *stack, keras.layers.Dense(3)])


SHIFTS = [shifted(*move) for move in ((1, 0), (-1, 0), (0, 1), (0, -1))]
HALVES = [shifted(*move) for move in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
TURNS = [turned(20), turned(-20)]
ZOOMS = [turned(0, 1.3), turned(0, 0.7)]


@pytest.mark.parametrize(
    ("options", "looks"),
    [
        ({}, SHIFTS),
        ({"shift": 0.5}, HALVES),
        ({"shift": 0, "rotate": 20}, TURNS),
        ({"shift": 0, "zoom": 0.3}, ZOOMS),
        ({"rotate": 20, "zoom": 0.3}, [*SHIFTS, *TURNS, *ZOOMS]),
        ({"shift": 0}, []),
    ],
)
def test_is_the_mean_over_the_image_and_its_views(options, looks):
    layer = encoder()
    views = [IMAGES.astype(float), *(seen(IMAGES, look) for look in looks)]
    expected = np.mean([numpy(layer(view.astype("float32"))) for view in views], 0)
    found = numpy(ViewAverage(layer, **options)(IMAGES))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_training_sees_the_image_alone():
    layer = encoder()
    found = numpy(ViewAverage(layer)(IMAGES, training=True))
    np.testing.assert_array_equal(found, numpy(layer(IMAGES, training=True)))


def test_weights_are_those_of_the_layer():
    layer = encoder()
    average = ViewAverage(layer)
    average(IMAGES)
    assert [w.path for w in average.weights] == [w.path for w in layer.weights]


def test_survives_saving(tmp_path):
    inputs = keras.Input((6, 5, 2), dtype="uint8")
    average = ViewAverage(encoder(), shift=2, rotate=6, zoom=0.06)
    model = keras.Model(inputs, average(inputs))
    assert model.output_shape == (None, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(IMAGES)), numpy(model(IMAGES)), rtol=1e-5)
    last = again.layers[-1]
    assert (last.shift, last.rotate, last.zoom) == (2, 6, 0.06)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shift", -1),
        ("shift", True),
        ("shift", "1"),
        ("shift", float("inf")),
        ("rotate", float("nan")),
        ("rotate", 180),
        ("zoom", 1.0),
    ],
)
def test_names_what_is_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be.*{name}={value!r}"):
        ViewAverage(encoder(), **{name: value})


@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 1, 5, 1), (2, 5, 2, 5, 1)])
def test_names_images_of_another_rank_or_too_small(shape):
    with pytest.raises(ValueError, match="ViewAverage.*height.*Received shape"):
        ViewAverage(keras.layers.Flatten())(np.zeros(shape, "float32"))


def test_names_images_of_unknown_size():
    with pytest.raises(ValueError, match=r"known size.*\(None, None, 5, 1\)"):
        ViewAverage(keras.layers.Conv2D(2, 3))(keras.Input((None, 5, 1)))
