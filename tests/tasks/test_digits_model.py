"""The digits' network: shape, size and interchangeable parts."""

import keras
import numpy as np
import pytest

from custom_lstm import RNN, Stream, heads, models
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.errors import UsageError
from custom_lstm.layers import ViewAverage
from custom_lstm.tasks.digits import model
from custom_lstm.tasks.digits.model import (
    POOLINGS,
    RECURRENT,
    VIEWS,
    AbsoluteError,
    Cauchy,
    ExactMatch,
    Head,
    TotalsCrossentropy,
    WholeSteps,
    build,
    build_compiled,
    build_core,
    build_encoder,
    build_model,
    build_optimizer,
    head_of,
    summarise,
)
from custom_lstm.tasks.digits.options import Config

CONFIG = Config().replace(recurrent="cell").resolve_defaults("mnist")
SMALL = {"units": 6, "filters": (3, 4), "features": 5}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28, 1), np.uint8)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_sizes_are_pinned():
    convolutions = 5**2 * 16 + 3**2 * (16 * 48 + 48 * 64 + 64 * 96)
    dense = 2 * 2 * 96 * 128
    normalisation = 4 * (16 + 48 + 64 + 96 + 128)
    lstm = 4 * (128 * 256 + 256 * 256 + 256)
    head = 256 * 37 + 37
    total = convolutions + dense + normalisation + lstm + head
    assert build(CONFIG).count_params() == total == 544_565
    default = build(Config().resolve_defaults("mnist"))
    carousels, symbols = 4 * (17 * 24 + 24 * 24 + 24) + 18, 128 * 16 + 16
    total = convolutions + dense + normalisation + carousels + symbols
    assert default.count_params() == total == 146_930


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
@pytest.mark.parametrize("recurrent", RECURRENT[:3])
@pytest.mark.parametrize("length", [3, None])
def test_every_core_and_length_gives_the_same_answers(head, recurrent, length):
    reference = build_model(head, length=3, recurrent="keras", **SMALL)
    model = build_model(head, length=length, recurrent=recurrent, **SMALL)
    model.set_weights(reference.get_weights())
    outputs, expected = (numpy(it(IMAGES)) for it in (model, reference))
    assert outputs.shape == (2, 3, head.units)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def carousels(length, **options):
    head = Head("value", -9, 18)
    return build_model(head, length=length, recurrent="carousel", **options)


@pytest.mark.parametrize("ensemble_size", [1, 2])
def test_carousels_answer_in_whole_steps_at_any_length(ensemble_size):
    keras.utils.set_random_seed(0)
    small = SMALL | {"ensemble_size": ensemble_size}
    trained, finished = carousels(3, **small), carousels(None, **small)
    assert "whole" not in [layer.name for layer in trained.layers]
    for layer in trained.layers:
        if layer.name.startswith("value"):
            layer.kernel.assign(100 * layer.kernel)  # so that steps are far from 0
    finished.set_weights(trained.get_weights())
    totals = np.float64(numpy(trained(IMAGES)))[..., 0]
    steps = np.diff(totals, prepend=0)
    assert abs(steps).max() > 1
    expected = np.cumsum(np.rint(steps), axis=1)
    np.testing.assert_array_equal(numpy(finished(IMAGES))[..., 0], expected)


def test_a_head_on_carousels_has_no_bias_that_every_sum_would_begin_with():
    model = carousels(3, **SMALL)
    assert model.get_layer("value").bias is None
    assert model.get_layer("core").cell.carousels == 4


def test_carousels_have_no_softmax_over_totals():
    with pytest.raises(ValueError, match="'carousel'.*kind 'value'.*'totals'"):
        build_model(Head("totals", -9, 18), recurrent="carousel", **SMALL)


def test_small_errors_of_every_step_add_up_in_totals_and_not_in_whole_steps():
    steps = np.random.default_rng(0).integers(-9, 10, (2, 1000))
    totals = np.cumsum(steps + 0.3, axis=1)[..., None].astype("float32")
    whole = numpy(RNN(WholeSteps(), return_sequences=True)(totals))
    np.testing.assert_array_equal(whole[..., 0], np.cumsum(steps, axis=1))


def test_a_stream_of_carousels_goes_on_in_whole_steps():
    model = carousels(None, **SMALL)
    images = np.random.default_rng(1).integers(0, 256, (1, 12, 28, 28, 1), np.uint8)
    stream = Stream(model)
    parts = [stream(images[:, :7]), stream(images[:, 7:])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), numpy(model(images)))


def test_cauchy_is_the_log_of_its_density_but_for_a_constant():
    y, answers = np.array([[[3.0], [-2.0]]]), np.array([[[3.2], [5.0]]])
    density = 1 / (1 + ((answers - y) / 0.5) ** 2)
    assert float(Cauchy()(y, answers)) == pytest.approx(-np.log(density).mean())
    assert isinstance(Head("value", 0, 9, "cauchy").loss(), Cauchy)


@pytest.mark.parametrize("scale", [0, -1.0, "wide"])
def test_a_cauchy_without_a_width_is_refused(scale):
    with pytest.raises(ValueError, match="Cauchy: `scale` must be"):
        Cauchy(scale)


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
    """Return what one network answers by its own layers."""
    x = images
    for name in ("encode", "core", head.kind):
        x = model.get_layer(name + nth)(x)
    return numpy(x)


@pytest.mark.parametrize("kind", ["totals", "value"])
def test_an_ensemble_answers_by_its_mean(kind):
    head = Head(kind, -9, 18)
    model = build_model(head, length=3, ensemble_size=2, **SMALL)
    each = np.array([alone(model, head, nth, IMAGES) for nth in ("", "_2")], float)
    assert np.abs(each[0] - each[1]).max() > 1e-3  # each has weights of its own
    if kind == "totals":
        each = np.log(np.exp(each) / np.exp(each).sum(-1, keepdims=True))
    votes = each.mean(0)
    np.testing.assert_allclose(numpy(model(IMAGES)), votes, rtol=1e-5, atol=1e-6)


def test_each_network_learns_from_its_share_alone():
    model = build_model(Head("totals", -9, 18), length=3, ensemble_size=2, **SMALL)
    twin = build_model(Head("totals", -9, 18), length=3, ensemble_size=2, **SMALL)
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


@pytest.mark.parametrize("views", range(12))
def test_the_option_takes_every_number_of_views_that_there_is(views):
    if views in VIEWS:
        assert Config().replace(views=views).model.views == views
    else:
        with pytest.raises(
            UsageError, match=f"--views must be one of 1, 5, 9, not {views}$"
        ):
            Config().replace(views=views)


def test_head_covers_every_total_of_the_length():
    head = head_of(CONFIG)
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
        (
            lambda: build_model(Head("value", 0, 9), ensemble_size=0),
            "ensemble_size.*positive.*0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(build_it, said):
    with pytest.raises(ValueError, match=said):
        build_it()


def test_the_modules_of_before_name_the_same_things():
    for old in (heads, models):
        for name in old.__all__:
            assert getattr(old, name) is getattr(model, name)


@pytest.mark.parametrize("name", ["TotalsCrossentropy", "ExactMatch", "AbsoluteError"])
def test_files_of_before_find_the_classes_by_their_registered_names(name):
    kind = keras.losses if name == "TotalsCrossentropy" else keras.metrics
    twin = keras.saving.deserialize_keras_object(
        {
            "module": "custom_lstm.heads",
            "class_name": name,
            "config": {"lowest": -3, "name": "x"},
            "registered_name": f"custom_lstm>{name}",
        }
    )
    assert type(twin) is getattr(model, name)
    assert kind.serialize(twin)["registered_name"] == f"custom_lstm>{name}"


# --- training

SHORT = CONFIG.replace(length=3, units=6, filters=(3, 4), features=5, epochs=1)
LAYERS = ("encode", "core", "totals")
STEPS = 4


def test_a_network_of_an_ensemble_learns_what_it_would_alone():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS, 8, 3, 28, 28, 1), np.uint8)
    totals = rng.integers(-9, 19, (STEPS, 8, 3, 1)).astype("float32")
    model = build_compiled(SHORT.replace(ensemble_size=2), STEPS)
    parts = [[model.get_layer(n + nth) for n in LAYERS] for nth in ("", "_2")]
    before = [[layer.get_weights() for layer in part] for part in parts]
    for batch in zip(images, totals, strict=True):
        model.train_on_batch(*batch)
    for number, (part, first) in enumerate(zip(parts, before, strict=True)):
        alone = build_compiled(SHORT, STEPS)
        layers = [alone.get_layer(name) for name in LAYERS]
        for layer, weights in zip(layers, first, strict=True):
            layer.set_weights(weights)
        for batch in zip(images[:, number::2], totals[:, number::2], strict=True):
            alone.train_on_batch(*batch)
        for ours, theirs, weights in zip(part, layers, first, strict=True):
            for one, other, was in zip(
                ours.get_weights(), theirs.get_weights(), weights, strict=True
            ):
                np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)
                assert np.abs(one - was).max() > 1e-4


def test_adam_steps_alike_for_a_networks_part_of_the_gradient():
    """Also where it is as small as Adam's ε."""
    gradient = np.float32([1e-9, -1e-8, 1e-7, -1e-6, 1e-3])
    reached = []
    for size in (1, 8):
        weights = keras.Variable(np.zeros(5, "float32"))
        optimizer = build_optimizer(SHORT.replace(ensemble_size=size), STEPS)
        for _ in range(STEPS):
            optimizer.apply([keras.ops.convert_to_tensor(gradient / size)], [weights])
        reached.append(keras.ops.convert_to_numpy(weights))
    np.testing.assert_allclose(reached[1], reached[0], rtol=1e-5)


# --- losses and metrics of both heads against NumPy

RANDOM = np.random.default_rng(0)
TOTALS = RANDOM.integers(-9, 10, (5, 4, 1)).astype("float32")
LOGITS = RANDOM.normal(size=(5, 4, 19)).astype("float32")
VALUES = (TOTALS + RANDOM.normal(scale=0.5, size=TOTALS.shape)).astype("float32")
KEPT = RANDOM.integers(0, 2, (5, 4)).astype("float32")


def test_totals_loss_is_the_negative_log_share():
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    picked = np.take_along_axis(shares, TOTALS.astype(int) + 9, axis=-1)
    loss = Head("totals", -9, 9).loss()(TOTALS, LOGITS)
    assert float(loss) == pytest.approx(-np.log(picked).mean(), rel=1e-6)


def test_value_loss_is_the_squared_error():
    loss = Head("value", -9, 9).loss()(TOTALS, VALUES)
    assert float(loss) == pytest.approx(((TOTALS - VALUES) ** 2).mean(), rel=1e-6)


@pytest.mark.parametrize("kind", ["totals", "value"])
def test_metrics_count_unmasked_steps_alone(kind):
    head = Head(kind, -9, 9)
    outputs = LOGITS if kind == "totals" else VALUES
    answers = LOGITS.argmax(-1) - 9.0 if kind == "totals" else VALUES[..., 0]
    assert np.allclose(head.answers(outputs), answers)
    right = np.rint(answers) == TOTALS[..., 0]
    error = np.abs(answers - TOTALS[..., 0])
    exact, mae = head.metrics()
    exact.update_state(TOTALS, outputs, sample_weight=KEPT)
    mae.update_state(TOTALS, outputs, sample_weight=KEPT)
    assert float(exact.result()) == pytest.approx((right * KEPT).sum() / KEPT.sum())
    assert float(mae.result()) == pytest.approx((error * KEPT).sum() / KEPT.sum())


@pytest.mark.parametrize(
    "thing",
    [
        TotalsCrossentropy(-18),
        ExactMatch(-18),
        ExactMatch(),
        AbsoluteError(-3),
    ],
)
def test_settings_survive_serialisation(thing):
    kind = keras.losses if isinstance(thing, keras.losses.Loss) else keras.metrics
    twin = kind.deserialize(kind.serialize(thing))
    assert type(twin) is type(thing)
    assert twin.get_config() == thing.get_config()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("total", 0, 9), "total"),
        (("value", 3, 1), "lowest=3"),
        (("value", 0, 9, "huber"), "value_loss.*'huber'"),
    ],
)
def test_impossible_heads_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Head(*arguments)
