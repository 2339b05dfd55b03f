"""Symbols: how they are read, learned from totals, and left out when finished."""

import keras
import numpy as np
import pytest

from custom_lstm import RNN, Stream, trace
from custom_lstm.cells import CarouselLSTMCell
from custom_lstm.tasks.digits.model import Head, build, build_compiled, build_model
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.digits.symbols import (
    FIRST_SPREAD,
    LeavesCandidates,
    ReachesCandidates,
    Symbols,
    SymbolsCell,
    SymbolsLikelihood,
    WholeSteps,
    codes,
)

SYMBOLS, TIME = 5, 3
SMALL = {"units": 6, "filters": (3, 4), "features": 5}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, TIME, 28, 28, 1), np.uint8)
HEAD = Head("value", -9, 18, symbols=SYMBOLS)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def network(length, **options):
    return build_model(HEAD, length=length, recurrent="carousel", **SMALL | options)


def logits_of(model):
    """Return the logits that the training model's encoder gives."""
    return numpy(model.get_layer("encode")(IMAGES))


def test_each_symbol_lies_on_the_line_and_has_an_axis_of_its_own():
    line, own = codes(4)[:, 0], codes(4)[:, 1:]
    assert np.ptp(np.diff(line)) == pytest.approx(0, abs=1e-6)
    assert np.diff(line).min() > 0
    np.testing.assert_array_equal(own > 0, np.eye(4, dtype=bool))


def test_the_likeliest_symbol_is_read():
    logits = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(
        numpy(Symbols(4)(logits)), codes(4)[logits.argmax(axis=-1)]
    )


def test_a_step_is_taken_with_the_mean_and_with_every_symbol():
    rng = np.random.default_rng(6)
    inner = CarouselLSTMCell(6, carousels=4)
    cell = SymbolsCell(inner, 3)
    logits = rng.normal(size=(2, 3)).astype("float32")
    states = [rng.normal(size=(2, 6)).astype("float32") for _ in range(2)]
    outputs, after = cell(logits, states)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ways = [shares @ codes(3), *(np.tile(code, (2, 1)) for code in codes(3))]
    for k, inputs in enumerate(ways):
        output, new = inner(inputs, states)
        np.testing.assert_allclose(
            numpy(outputs)[:, k], numpy(output), rtol=1e-5, atol=1e-6
        )
        if k == 0:
            for state, expected in zip(after, new, strict=True):
                np.testing.assert_allclose(
                    numpy(state), numpy(expected), rtol=1e-5, atol=1e-6
                )


def test_a_cell_of_symbols_is_rebuilt_from_its_configuration():
    cell = SymbolsCell(CarouselLSTMCell(6, carousels=4), 3)
    twin = SymbolsCell.from_config(cell.get_config())
    assert twin.symbols == 3
    assert twin.cell.get_config() == cell.cell.get_config()


def likelihood(y, outputs, symbols, scale, final_scale):
    """Return the loss of `SymbolsLikelihood` in NumPy, step by step."""
    of_mean = np.empty(y.shape)
    chosen, misfit = np.empty((2, *y.shape, symbols))
    for n, t in np.ndindex(y.shape):
        truth = y[n, t] - (y[n, t - 1] if t else 0)
        steps = outputs[n, t, : symbols + 1] - (outputs[n, t - 1, 0] if t else 0)
        shares = np.exp(outputs[n, t, symbols + 1 :])
        shares /= shares.sum()
        of_mean[n, t] = np.log(1 + (2 * (steps[0] - truth)) ** 2)
        chosen[n, t], misfit[n, t] = shares, steps[1:] - truth
    known = np.exp(-of_mean.mean())
    width = scale + known * (final_scale - scale)
    of_choice = -np.log((chosen / (1 + (misfit / width) ** 2)).sum(axis=-1))
    return of_mean + known * (of_choice - of_mean)


def test_the_likelihood_is_a_mixture_over_symbols():
    rng = np.random.default_rng(6)
    y = rng.integers(-9, 10, (2, TIME)).astype("float32")
    outputs = rng.normal(size=(2, TIME, 2 * SYMBOLS + 1)).astype("float32")
    outputs[..., : SYMBOLS + 1] += y[..., None]
    loss = SymbolsLikelihood(SYMBOLS, scale=0.5, final_scale=0.2)
    expected = likelihood(y, outputs.astype("float64"), SYMBOLS, 0.5, 0.2)
    given = (
        keras.ops.convert_to_tensor(y[..., None]),
        keras.ops.convert_to_tensor(outputs),
    )
    np.testing.assert_allclose(numpy(loss.call(*given)), expected, rtol=1e-4)
    assert float(loss(*given)) == pytest.approx(expected.mean(), 1e-4)


def test_a_total_misread_before_costs_a_step_nothing():
    outputs = np.random.default_rng(2).normal(size=(1, 2, 2 * SYMBOLS + 1))
    shifted = outputs.copy()
    shifted[..., : SYMBOLS + 1] += 7.0
    y = np.array([[[1.0], [-2.0]]])
    loss = SymbolsLikelihood(SYMBOLS)
    first, second = (
        numpy(loss.call(*map(keras.ops.convert_to_tensor, (y, x))))[0]
        for x in (outputs, shifted)
    )
    assert float(second[0]) > float(first[0])
    scales = loss.scale, loss.final_scale
    before = likelihood(y[..., 0], outputs, SYMBOLS, *scales)
    after = likelihood(y[..., 0], shifted, SYMBOLS, *scales)
    assert float(first[1]) == pytest.approx(before[0, 1], 1e-4)
    assert float(second[1]) == pytest.approx(after[0, 1], 1e-4)


def test_the_loss_survives_serialisation():
    loss = SymbolsLikelihood(3, scale=0.5, final_scale=0.1)
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(twin, SymbolsLikelihood)
    assert twin.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Symbols(0), "Symbols: `symbols` must be a positive integer"),
        (
            lambda: SymbolsCell(CarouselLSTMCell(3), 1.5),
            "SymbolsCell: `symbols` must be a positive integer",
        ),
        (lambda: SymbolsLikelihood(3, scale=0), "SymbolsLikelihood: `scale` must be"),
        (lambda: SymbolsLikelihood(3, final_scale=-1), "`final_scale` must be"),
        (lambda: Head("totals", 0, 9, symbols=3), "`symbols` need.*3, 'totals'"),
        (lambda: Head("value", 0, 9, start=0), "`start` must be 1 or -1.*0"),
        (lambda: WholeSteps(0), "WholeSteps: `members` must be a positive integer"),
        (lambda: build_model(HEAD, length=3, **SMALL), "'carousel'.*'cell'"),
    ],
)
def test_what_cannot_be_is_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_the_default_network_is_small():
    config = Config().resolve_defaults("mnist")
    trained = build_compiled(config, steps_per_epoch=1)
    assert trained.count_params() <= 150_000
    assert build(config, any_length=True).count_params() == trained.count_params()


@pytest.mark.parametrize("start", [1, -1])
def test_fresh_symbols_add_numbers_in_order_from_0_on(start):
    keras.utils.set_random_seed(3)
    head = Head("value", -9, 18, symbols=SYMBOLS, start=start)
    model = build_model(head, length=TIME, recurrent="carousel", **SMALL)
    cell, head = model.get_layer("core").cell.cell, model.get_layer("value")
    line = codes(SYMBOLS) * np.eye(1, SYMBOLS + 1, dtype="float32")
    output, _ = cell(line, cell.get_initial_state(SYMBOLS))
    adds = start * numpy(head(output))[:, 0]
    assert adds[0] == pytest.approx(0, abs=1e-5)
    assert np.all(np.diff(adds) > 0)
    assert adds[-1] == pytest.approx(FIRST_SPREAD, rel=1e-4)


def test_the_finished_model_adds_what_each_chosen_symbol_adds_in_training():
    keras.utils.set_random_seed(4)
    trained, finished = network(TIME), network(None)
    finished.set_weights(trained.get_weights())
    cell, head = trained.get_layer("core").cell.cell, trained.get_layer("value")
    read = codes(SYMBOLS)[logits_of(trained).argmax(axis=-1)]
    layer = RNN(cell, return_sequences=True)
    totals = RNN(WholeSteps(), return_sequences=True)(head(layer(read)))
    np.testing.assert_array_equal(numpy(finished(IMAGES)), numpy(totals))


def test_the_training_model_gives_all_answers_and_the_logits():
    keras.utils.set_random_seed(5)
    model = network(TIME)
    outputs = numpy(model(IMAGES))
    assert outputs.shape == (2, TIME, 2 * SYMBOLS + 1)
    np.testing.assert_allclose(
        outputs[..., SYMBOLS + 1 :], logits_of(model), rtol=1e-5, atol=1e-6
    )


def test_training_is_judged_by_what_the_finished_model_will_answer():
    """So that the best epoch is the best of what is kept."""
    keras.utils.set_random_seed(10)
    model, finished = network(TIME), network(None)
    model.compile(keras.optimizers.Adam(0.01), HEAD.loss())
    totals = np.arange(2 * TIME, dtype="float32").reshape(2, TIME, 1)
    model.fit(IMAGES, totals, epochs=3, verbose=0)
    finished.set_weights(model.get_weights())
    said, outputs = numpy(finished(IMAGES)), numpy(model(IMAGES))
    np.testing.assert_array_equal(numpy(HEAD.answers(outputs)), said[..., 0])
    assert np.abs(outputs[..., :1] - said).max() > 0.5  # means say something else
    exact, distance = HEAD.metrics()
    right, off = said == totals, np.abs(said - totals)
    assert float(exact(totals, outputs)) == pytest.approx(right.mean())
    assert float(distance(totals, outputs)) == pytest.approx(off.mean(), rel=1e-5)


def test_a_stream_of_symbols_goes_on_in_whole_steps():
    model = network(None)
    images = np.random.default_rng(1).integers(0, 256, (1, 12, 28, 28, 1), np.uint8)
    stream = Stream(model)
    parts = [stream(images[:, :7]), stream(images[:, 7:])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), numpy(model(images)))


def test_what_a_symbol_adds_depends_on_the_step_alone():
    """After training too: gates do not see which symbols came before."""
    keras.utils.set_random_seed(7)
    model = network(TIME)
    model.compile("adam", HEAD.loss())
    totals = np.arange(2 * TIME, dtype="float32").reshape(2, TIME, 1)
    model.fit(IMAGES, totals, epochs=3, verbose=0)
    cell, head = model.get_layer("core").cell.cell, model.get_layer("value")
    chosen = np.random.default_rng(8).integers(0, SYMBOLS, (64, 9))
    sums = numpy(head(RNN(cell, return_sequences=True)(codes(SYMBOLS)[chosen])))
    added = np.diff(sums[..., 0], axis=1, prepend=0)
    means = np.empty((9, SYMBOLS))
    for t, (step, symbols) in enumerate(zip(added.T, chosen.T, strict=True)):
        for symbol in range(SYMBOLS):
            same = step[symbols == symbol]
            np.testing.assert_allclose(same, same[0], rtol=1e-3, atol=1e-4)
            means[t, symbol] = same[0]
    assert np.ptp(added) > 1
    factors = means[:, -1:] / means[:1, -1:]  # a number of each, times one of each step
    np.testing.assert_allclose(means, factors * means[:1], rtol=1e-2, atol=1e-2)


def test_units_that_forget_are_a_clock_that_training_leaves_alone():
    """So that gates can tell odd steps from even ones at lengths not trained at."""
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = network(TIME, units=24)
        model.compile(keras.optimizers.Adam(0.01), HEAD.loss())
        totals = np.arange(2 * TIME, dtype="float32").reshape(2, TIME, 1)
        model.fit(IMAGES, totals, epochs=30, verbose=0)
        cell = model.get_layer("core").cell.cell
        still = np.zeros((1, 1000, SYMBOLS + 1), "float32")
        traced = trace(RNN(cell, return_sequences=True), still)
        h, i = (numpy(traced[name])[0] for name in ("h", "input"))
        swing = np.tanh(1) * (1 - np.arange(1000) % 2)
        np.testing.assert_allclose(h[:, 18:], np.tile(swing, (6, 1)).T, atol=1e-4)
        np.testing.assert_allclose(i[2:], i[:-2], atol=1e-4)


@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_the_step_that_most_networks_take_counts(members):
    rng = np.random.default_rng(members)
    steps = rng.integers(-2, 3, (4, 200, members))
    errors = rng.uniform(-0.2, 0.2, steps.shape).cumsum(axis=1).clip(-0.2, 0.2)
    totals = (steps.cumsum(axis=1) + errors).astype("float32")
    whole = numpy(RNN(WholeSteps(members), return_sequences=True)(totals))
    expected = np.empty((4, 200))
    for row, t in np.ndindex(4, 200):
        votes = steps[row, t].tolist()
        expected[row, t] = max(votes, key=votes.count)  # of ties the first
    np.testing.assert_array_equal(whole[..., 0], expected.cumsum(axis=1))


def test_networks_of_symbols_vote_when_finished():
    keras.utils.set_random_seed(9)
    trained, finished = (network(n, ensemble_size=3) for n in (TIME, None))
    finished.set_weights(trained.get_weights())
    first = network(TIME)
    for name in ("encode", "core", "value"):
        first.get_layer(name).set_weights(trained.get_layer(name).get_weights())
    np.testing.assert_allclose(  # not a mean over networks whose symbols differ
        numpy(trained(IMAGES)), numpy(first(IMAGES)), rtol=1e-5, atol=1e-5
    )
    three = np.concatenate([IMAGES] * 3)
    assert trained(three, training=True).shape == (6, TIME, 2 * SYMBOLS + 1)
    alone = []
    for nth in ("", "_2", "_3"):
        codes_ = finished.get_layer(f"symbols{nth}")(
            finished.get_layer(f"encode{nth}")(IMAGES)
        )
        core, head = (finished.get_layer(f"{name}{nth}") for name in ("core", "value"))
        alone.append(numpy(head(core(codes_)))[..., 0])
    totals = np.stack(alone, axis=-1)
    voted = RNN(WholeSteps(3), return_sequences=True)(totals)
    np.testing.assert_array_equal(numpy(finished(IMAGES)), numpy(voted))


@pytest.mark.parametrize("kind", [ReachesCandidates, LeavesCandidates])
def test_constraints_hold_after_training_and_serialisation(kind):
    twin = keras.constraints.deserialize(keras.constraints.serialize(kind(3)))
    weights = np.random.default_rng(0).normal(size=(4, 20)).astype("float32")
    once = numpy(twin(weights))
    np.testing.assert_allclose(numpy(twin(once)), once, rtol=1e-6)
    theirs = np.zeros(20, bool)
    theirs[10:13] = True
    if kind is ReachesCandidates:
        assert not once[:, ~theirs].any()
        mean = weights[:, theirs].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(once[:, theirs], np.tile(mean, 3), rtol=1e-5)
    else:
        assert not once[:, theirs].any()
        np.testing.assert_array_equal(once[:, ~theirs], weights[:, ~theirs])
    with pytest.raises(ValueError, match=f"{kind.__name__}: `carousels` must be"):
        kind(0)
