"""The main job's network: shape, size and interchangeable parts."""

import typing

import keras
import numpy as np
import pytest

from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.heads import Head
from custom_lstm.layers import ViewAverage
from custom_lstm.models import (
    POOLINGS,
    RECURRENT,
    VIEWS,
    build_core,
    build_encoder,
    build_model,
    summarise,
)
from custom_lstm.options.names import kinds
from custom_lstm.training.build import build, head_of
from custom_lstm.training.config import Config

CONFIG = Config().settled("mnist")
SMALL = {"units": 6, "filters": (3, 4), "features": 5}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28, 1), np.uint8)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_default_size_is_pinned():
    convolutions = 5**2 * 16 + 3**2 * (16 * 48 + 48 * 64 + 64 * 96)
    dense = 2 * 2 * 96 * 128
    normalisation = 4 * (16 + 48 + 64 + 96 + 128)
    lstm = 4 * (128 * 256 + 256 * 256 + 256)
    head = 256 * 37 + 37
    total = convolutions + dense + normalisation + lstm + head
    assert build(CONFIG).count_params() == total == 544_565


def test_summary_is_complete_before_training():
    lines: list[str] = []
    summarise(build(CONFIG), lines.append)
    text = "\n".join(lines)
    assert "?" not in text
    assert "unbuilt" not in text
    assert "Conv2D" in text


def test_default_core_is_keras_rnn_around_our_cell():
    core = build_model(Head("totals", -9, 9), length=3, **SMALL).get_layer("core")
    assert type(core) is keras.layers.RNN
    assert isinstance(core.cell, LSTMCell)


@pytest.mark.parametrize("head", [Head("totals", -9, 18), Head("value", -9, 18)])
@pytest.mark.parametrize("recurrent", RECURRENT)
@pytest.mark.parametrize("length", [3, None])
def test_every_core_and_length_gives_the_same_answers(head, recurrent, length):
    reference = build_model(head, length=3, recurrent="keras", **SMALL)
    model = build_model(head, length=length, recurrent=recurrent, **SMALL)
    model.set_weights(reference.get_weights())
    outputs, expected = (numpy(it(IMAGES)) for it in (model, reference))
    assert outputs.shape == (2, 3, head.units)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_reduce_an_image_to_a_vector(pooling):
    encoder = build_encoder((3, 4), features=0, pooling=pooling)
    assert encoder.output_shape == (None, {"flatten": 144, "global": 4}[pooling])


def test_an_answer_depends_on_no_later_digit():
    model = build_model(Head("value", -9, 18), **SMALL)
    changed = IMAGES.copy()
    changed[:, 2] = 255 - changed[:, 2]
    before, after = numpy(model(IMAGES)), numpy(model(changed))
    np.testing.assert_allclose(before[:, :2], after[:, :2], rtol=1e-5, atol=1e-6)
    assert np.abs(before[:, 2] - after[:, 2]).max() > 1e-4


def alone(model, head, nth, images):
    """What one member answers by its own layers."""
    x = images
    for name in ("encode", "core", head.kind):
        x = model.get_layer(name + nth)(x)
    return numpy(x)


@pytest.mark.parametrize("kind", ["totals", "value"])
def test_members_vote(kind):
    head = Head(kind, -9, 18)
    model = build_model(head, length=3, members=2, **SMALL)
    each = np.array([alone(model, head, nth, IMAGES) for nth in ("", "_2")], float)
    assert np.abs(each[0] - each[1]).max() > 1e-3  # each has weights of its own
    if kind == "totals":
        each = np.log(np.exp(each) / np.exp(each).sum(-1, keepdims=True))
    votes = each.mean(0)
    np.testing.assert_allclose(numpy(model(IMAGES)), votes, rtol=1e-5, atol=1e-6)


def test_each_member_learns_from_its_share_alone():
    model = build_model(Head("totals", -9, 18), length=3, members=2, **SMALL)
    twin = build_model(Head("totals", -9, 18), length=3, members=2, **SMALL)
    twin.set_weights(model.get_weights())
    images = np.concatenate([IMAGES, 255 - IMAGES])
    changed = images.copy()
    changed[1::2] //= 3
    ours, others = (
        numpy(net(x, training=True)) for net, x in ((model, images), (twin, changed))
    )
    np.testing.assert_array_equal(ours[::2], others[::2])
    assert np.all(np.abs(ours[1::2] - others[1::2]).max(axis=(1, 2)) > 0)
    moments = [layer.layer.layers[3].moving_mean for layer in _encoders(model, twin)]
    first, second, first_twin, second_twin = map(numpy, moments)
    np.testing.assert_array_equal(first, first_twin)
    assert np.abs(second - second_twin).max() > 0


def _encoders(*models):
    return [m.get_layer(f"encode{nth}") for m in models for nth in ("", "_2")]


def test_finished_model_reads_shifted_digits_too():
    config = CONFIG.replace(units=6, filters=(3, 4), features=5)
    training, finished = build(config), build(config, any_length=True)
    finished.set_weights(training.get_weights())
    assert finished.input_shape[1] is None
    reader = finished.get_layer("encode").layer
    assert isinstance(reader, ViewAverage)
    alone = build(config.replace(views=1), any_length=True)
    alone.set_weights(training.get_weights())
    images = np.zeros((1, 4, 28, 28, 1), np.uint8)
    images[:, :, 9:19, 9:19] = 255
    np.testing.assert_allclose(
        numpy(alone(images)), numpy(training(images)), rtol=1e-4, atol=1e-5
    )
    assert np.abs(numpy(finished(images)) - numpy(training(images))).max() > 1e-4


class Probe(keras.layers.Layer):
    def call(self, images):
        self.seen = images.shape[0]
        return images


@pytest.mark.parametrize("views", VIEWS)
def test_options_of_views_make_as_many_as_they_say(views):
    probe = Probe()
    if views > 1:
        ViewAverage(probe, **VIEWS[views])(np.zeros((2, 28, 28, 1)))
        assert probe.seen == 2 * views
    config = CONFIG.replace(units=6, filters=(3, 4), features=5, views=views)
    reader = build(config, any_length=True).get_layer("encode").layer
    options = reader.get_config() if views > 1 else {}
    assert options.items() >= VIEWS[views].items()
    assert isinstance(reader, ViewAverage) == (views > 1)


def test_every_number_of_views_can_be_asked_for():
    assert typing.get_args(kinds(Config())["views"]) == tuple(VIEWS)


def test_head_covers_every_total_of_the_length():
    head = head_of(Config())
    assert (head.lowest, head.highest) == (-18, 18)


@pytest.mark.parametrize(
    ("build_it", "said"),
    [
        (lambda: build_encoder(()), "filters"),
        (lambda: build_encoder((3, 0)), "filters"),
        (lambda: build_encoder(features=-1), "features"),
        (lambda: build_encoder(pooling="max"), "'max'"),
        (lambda: build_encoder(dropout=1.0), "dropout"),
        (lambda: build_core("torch"), "'torch'"),
        (lambda: build_core(units=0), "units"),
        (lambda: build_model(Head("value", 0, 9), views=3), "views.*1, 5, 9.*3"),
        (lambda: build_model(Head("value", 0, 9), members=0), "members.*positive.*0"),
    ],
)
def test_arguments_out_of_range_are_named(build_it, said):
    with pytest.raises(ValueError, match=said):
        build_it()
