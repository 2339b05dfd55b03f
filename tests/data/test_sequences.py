import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.digit_oracles import plain_totals

from custom_lstm.data import (
    Augment,
    DataError,
    Digits,
    alternating_signs,
    augment_images,
    epoch_order,
    evaluation_sequences,
    index_batches,
    steps_per_epoch,
    total_range,
    totals_by_cumsum,
    totals_by_scan,
    training_sequences,
)

SIZE = 50
WAYS = [totals_by_cumsum, totals_by_scan]


def pool_of(size):
    """Make a pool whose digit k has the number k in its first pixels."""
    images = np.zeros((size, 28, 28), np.uint8)
    images[:, 0, :2] = np.arange(size, dtype="<u2").view(np.uint8).reshape(size, 2)
    return Digits(images, (np.arange(size) * 7 % 10).astype(np.uint8))


def numbers(images):
    """Read back which digits of the pool these images are."""
    return images[..., 0, :2, 0].astype(int) @ [1, 256]


@pytest.fixture(scope="module")
def pool():
    return pool_of(SIZE)


def train(pool, **changes):
    options = {"length": 4, "batch_size": 3, "epochs": 2, "seed": 5} | changes
    return training_sequences(pool, **options)


def batches(*args, **kwargs):
    return list(train(*args, **kwargs).as_numpy_iterator())


def assert_equal(some, others):
    for one, other in zip(some, others, strict=True):
        for part, other_part in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_signs_alternate(length, start):
    signs = alternating_signs(length, start)
    assert signs.dtype == "int32"
    assert signs.numpy().tolist() == [start * (-1) ** k for k in range(length)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("shape", [(1,), (6,), (3, 5), (2, 3, 4)])
def test_totals_match_plain_python(way, start, dtype, shape):
    labels = np.random.default_rng(0).integers(0, 10, shape).astype(dtype)
    totals = way(labels, start)
    assert totals.dtype == "int32"
    flat = labels.reshape(-1, shape[-1]).tolist()
    expected = [plain_totals(row, start) for row in flat]
    np.testing.assert_array_equal(totals, np.reshape(expected, shape))


@pytest.mark.parametrize("way", WAYS)
def test_totals_of_dynamic_time(way):
    signature = [tf.TensorSpec((2, None), tf.uint8)]
    traced = tf.function(way, input_signature=signature)
    for time in (1, 4):
        labels = np.random.default_rng(time).integers(0, 10, (2, time), np.uint8)
        expected = [plain_totals(row, 1) for row in labels.tolist()]
        np.testing.assert_array_equal(traced(labels), expected)


@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_range_is_the_tightest(length, start):
    sequences = itertools.product((0, 9), repeat=length)
    totals = [t for labels in sequences for t in plain_totals(labels, start)]
    assert total_range(length, start) == (min(totals), max(totals))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, 2.0], "not float32"),
        (np.array([True]), "not bool"),
        (5, r"not int32 \(\)"),
        (np.zeros((3, 0), int), r"time at least 1, not int64 \(3, 0\)"),
        ([[1], [2, 3]], "labels must be integers"),
        ("12", "not string"),
        (object(), "labels must be integers"),
    ],
)
def test_refuses_wrong_labels(way, labels, message):
    with pytest.raises(DataError, match=message):
        way(labels)


@pytest.mark.parametrize("start", [0, 2, "1", None])
def test_refuses_wrong_start_sign(start):
    calls = [lambda way=way: way([1, 2], start) for way in WAYS]
    calls += [lambda: alternating_signs(3, start), lambda: total_range(3, start)]
    for call in calls:
        with pytest.raises(DataError, match="start must be 1 or -1"):
            call()


@pytest.mark.parametrize("function", [alternating_signs, total_range])
@pytest.mark.parametrize(
    ("length", "message"), [(0, "at least 1, not 0"), (2.5, "whole"), ("4", "whole")]
)
def test_refuses_wrong_length(function, length, message):
    with pytest.raises(DataError, match=message):
        function(length)


@pytest.mark.parametrize(
    ("n_digits", "length", "batch_size", "steps"),
    [(55_000, 4, 64, 214), (55_000, 10, 64, 85), (12, 4, 3, 1), (7, 7, 1, 1)],
)
def test_counts_full_batches(n_digits, length, batch_size, steps):
    assert steps_per_epoch(n_digits, length, batch_size) == steps


def test_order_is_a_permutation_by_seed_and_epoch():
    orders = {
        pair: epoch_order(100, *pair).numpy()
        for pair in [(0, 0), (0, 1), (1, 0), (1, 1), (2**63 - 1, 0)]
    }
    for pair, order in orders.items():
        assert sorted(order) == list(range(100))
        np.testing.assert_array_equal(order, epoch_order(100, *pair))
    for one, other in itertools.combinations(orders.values(), 2):
        assert (one == other).mean() < 0.1


def test_orders_are_uniform():
    orders = np.stack([epoch_order(4, 0, epoch) for epoch in range(200)])
    for position in range(4):
        counts = np.bincount(orders[:, position], minlength=4)
        assert np.abs(counts - 50).max() < 25


def test_training_shapes_are_static(pool):
    images, totals = train(pool).element_spec
    assert (images.shape, images.dtype) == ((3, 4, 28, 28, 1), "uint8")
    assert (totals.shape, totals.dtype) == ((3, 4, 1), "float32")


@pytest.mark.parametrize("start", [1, -1])
def test_training_pairs_digits_with_their_totals(pool, start):
    for images, totals in batches(pool, start=start):
        labels = pool.labels[numbers(images)].tolist()
        expected = [plain_totals(row, start) for row in labels]
        np.testing.assert_array_equal(totals[..., 0], expected)


def test_training_follows_the_epochs_orders(pool):
    shown = [numbers(images).ravel() for images, _ in batches(pool, epochs=3)]
    assert len(shown) == len(train(pool, epochs=3)) == 3 * 4
    for epoch in range(3):
        order = np.concatenate(shown[4 * epoch : 4 * epoch + 4])
        assert len(set(order)) == 48
        np.testing.assert_array_equal(order, epoch_order(SIZE, 5, epoch)[:48])


def test_each_network_of_an_ensemble_follows_an_order_of_its_own(pool):
    options = {"batch_size": 6, "ensemble_size": 3}
    shown = [numbers(images) for images, _ in batches(pool, epochs=2, **options)]
    assert len(shown) == 2 * 6  # of 2 sequences for each network, of 50 digits
    for epoch, batches_of_epoch in enumerate(np.reshape(shown, (2, 6, 6, 4))):
        for k in range(3):
            seen = batches_of_epoch[:, k::3].ravel()
            order = epoch_order(SIZE, 5, epoch * 3 + k)
            np.testing.assert_array_equal(seen, order[:48])
    left = batches(pool, epochs=2, **options, first_epoch=1, first_step=2)
    np.testing.assert_array_equal([numbers(images) for images, _ in left], shown[8:])


def test_seeds_differ(pool):
    (one, _), *_ = batches(pool)
    (other, _), *_ = batches(pool, seed=6)
    assert (one != other).any()


@pytest.mark.parametrize("augment", [None, Augment()])
@pytest.mark.parametrize("first", [(0, 0), (0, 3), (1, 0), (1, 2), (0, 4), (2, 0)])
def test_resumes_where_it_stopped(pools, augment, first):
    pool = pools.validation
    whole = batches(pool, batch_size=12, augment=augment)
    options = {"first_epoch": first[0], "first_step": first[1]}
    resumed = train(pool, batch_size=12, augment=augment, **options)
    rest = whole[4 * first[0] + first[1] :]
    assert len(resumed) == len(rest)
    assert_equal(resumed.as_numpy_iterator(), rest)


def test_resume_does_not_depend_on_the_number_of_epochs(pool):
    assert_equal(batches(pool, epochs=3)[:8], batches(pool, epochs=2))


def test_warps_are_new_in_every_batch_and_epoch(pools):
    pool = pools.validation
    one = Digits(pool.images[:1].repeat(8, 0), pool.labels[:1].repeat(8))
    shown = batches(one, length=2, batch_size=2, augment=Augment())
    images = np.concatenate([images.reshape(-1, 784) for images, _ in shown])
    assert len(np.unique(images, axis=0)) == len(images) == 16


def test_warps_leave_the_totals(pool):
    plain, warped = batches(pool), batches(pool, augment=Augment())
    for (_, one), (_, other) in zip(plain, warped, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("start", [1, -1])
@pytest.mark.parametrize(
    ("size", "length", "batch_size"), [(50, 4, 3), (48, 4, 4), (5, 5, 1), (7, 3, 99)]
)
def test_evaluation_shows_every_digit_once_in_order(size, length, batch_size, start):
    pool = pool_of(size)
    options = {"length": length, "batch_size": batch_size, "start": start}
    parts = list(evaluation_sequences(pool, **options).as_numpy_iterator())
    assert all(len(images) == batch_size for images, _, _ in parts[:-1])
    images, totals, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert images.shape[1:] == (length, 28, 28, 1)
    assert (totals.shape, mask.shape) == ((len(images), length, 1), images.shape[:2])
    assert (images.dtype, totals.dtype, mask.dtype) == ("uint8", "float32", "float32")
    shown = mask.astype(bool)
    assert mask.sum() == size
    np.testing.assert_array_equal(shown.ravel(), np.arange(shown.size) < size)
    np.testing.assert_array_equal(numbers(images)[shown], np.arange(size))
    chunks = [pool.labels[k : k + length].tolist() for k in range(0, size, length)]
    expected = np.concatenate([plain_totals(chunk, start) for chunk in chunks])
    np.testing.assert_array_equal(totals[shown][:, 0], expected)
    assert not images[~shown].any()
    assert not totals[~shown].any()


@pytest.mark.parametrize("augment", [None, Augment(), Augment(elastic=0.0)])
def test_shares_of_training_batches_make_them_up(pools, augment):
    pool = pools.validation
    whole, *parts = (
        batches(pool, batch_size=6, augment=augment, share=share)
        for share in [(0, 1), (0, 3), (1, 3), (2, 3)]
    )
    for batch, *shares in zip(whole, *parts, strict=True):
        for x, *cut in zip(batch, *shares, strict=True):
            assert len(cut[0]) == 2
            np.testing.assert_array_equal(np.concatenate(cut), x)


def test_warps_decay_at_the_end_of_the_run(pools):
    pool = pools.validation
    augment = Augment(elastic=2.0)
    options = {"batch_size": 6, "epochs": 5, "augment": augment}
    constant, decayed = (
        batches(pool, **options),
        batches(pool, **options, augment_decay=0.4),
    )
    steps, shown = len(decayed), [images for images, _ in decayed]
    until = round(0.6 * steps)
    assert_equal(constant[: until + 1], decayed[: until + 1])
    for number, indices in epoch_orders(len(pool), (6, 4), epochs=5):
        strength = min(1, (1 - number / steps) / 0.4)
        flat = pool.images[indices.ravel(), ..., None]
        expected = augment_images(flat, augment, (5, -1 - number), strength=strength)
        found = shown[number].reshape(expected.shape).astype(int)
        assert np.abs(found - expected.numpy()).max() <= 1
    assert_equal(
        decayed[until + 2 :],
        batches(pool, **options, augment_decay=0.4, first_epoch=3, first_step=2),
    )


def epoch_orders(count, shape, epochs):
    data = index_batches(count, shape, epochs=epochs, seed=5)
    return [(int(k), indices) for k, indices in data.as_numpy_iterator()]


@pytest.mark.parametrize("multiple", [2, 3, 8])
@pytest.mark.parametrize(("length", "batch_size"), [(4, 3), (5, 99), (7, 4)])
def test_evaluation_for_several_devices_weighs_alike(
    pool, length, batch_size, multiple
):
    options = {"length": length, "batch_size": batch_size}
    plain = list(evaluation_sequences(pool, **options).as_numpy_iterator())
    even = [
        list(
            evaluation_sequences(
                pool, **options, multiple=multiple, share=(k, multiple)
            ).as_numpy_iterator()
        )
        for k in range(multiple)
    ]
    assert len({images.shape for part in even for images, _, _ in part}) == 1
    shares = [share for step in zip(*even, strict=True) for share in step]
    images, totals, mask = (np.concatenate(x) for x in zip(*shares, strict=True))
    first, right, weights = (np.concatenate(x) for x in zip(*plain, strict=True))
    count = len(first)
    np.testing.assert_array_equal(images[:count], first)
    np.testing.assert_array_equal(totals[:count], right)
    assert not mask[count:].any()
    np.testing.assert_allclose(mask[:count] / len(mask), weights / count, rtol=1e-6)


def test_mask_serves_as_sample_weight(pool):
    data = evaluation_sequences(pool, length=4, batch_size=5)
    model = keras.Sequential(
        [
            keras.Input((None, 28, 28, 1)),
            keras.layers.Lambda(lambda x: keras.ops.cast(x[..., 0, 0, :], "float32")),
        ]
    )
    error = keras.metrics.MeanAbsoluteError(name="error")
    model.compile(loss="mse", weighted_metrics=[error])
    scores = model.evaluate(data, verbose=0, return_dict=True)
    labels = pool.labels.tolist()
    chunks = [plain_totals(labels[k : k + 4], 1) for k in range(0, SIZE, 4)]
    totals = np.concatenate(chunks)
    expected = np.abs(totals - pool.images[:, 0, 0]).mean()
    assert scores["error"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"length": 51}, "length 51 is longer than the pool of 50 digits"),
        ({"length": 4.0}, "length must be a whole number"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 13}, "batch_size 13 is larger .* 12 sequences of length 4"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**63}, "seed must be at most"),
        ({"seed": "7"}, "seed must be a whole number"),
        ({"start": 0}, "start must be 1 or -1"),
        ({"augment": 2.0}, "augment must be an Augment, not float"),
        (
            {"augment_decay": -0.1},
            "must be a number from 0 to 1, not -0.1",
        ),
        (
            {"augment_decay": "all"},
            "augment_decay must be .* 0 to 1, not 'all'",
        ),
        ({"first_epoch": 3}, "first_epoch must be at most 2"),
        ({"first_step": -1}, "first_step must be at least 0"),
        ({"first_step": 5}, "first_step must be at most 4"),
        ({"share": (0, 2)}, "2 equal shares cannot be made of 3"),
        ({"share": (1, 1)}, "share must be at most 0"),
        ({"share": (0, 0)}, "shares must be at least 1"),
        ({"ensemble_size": 2}, "3 rows cannot be shared equally by 2 networks"),
        ({"ensemble_size": 0}, "ensemble_size must be at least 1"),
        ({"ensemble_size": 2, "batch_size": 26}, "pool for each of 2 networks: its 50"),
    ],
)
def test_training_refuses_wrong_options(pool, changes, message):
    with pytest.raises(DataError, match=message):
        train(pool, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0}, "length must be at least 1"),
        ({"length": 51}, "longer than the pool"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"start": 3}, "start must be 1 or -1"),
        ({"multiple": 0}, "multiple must be at least 1"),
        ({"multiple": 4, "share": (0, 3)}, "3 equal shares cannot be made of 4"),
    ],
)
def test_evaluation_refuses_wrong_options(pool, changes, message):
    options = {"length": 4, "batch_size": 3} | changes
    with pytest.raises(DataError, match=message):
        evaluation_sequences(pool, **options)


@pytest.mark.parametrize("make", [training_sequences, evaluation_sequences])
def test_refuses_what_is_no_pool(make):
    more = {"epochs": 1, "seed": 0} if make is training_sequences else {}
    with pytest.raises(DataError, match="digits must be a Digits, not ndarray"):
        make(np.zeros((9, 28, 28)), length=2, batch_size=1, **more)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 0), "n_digits must be at least 1"),
        ((5, -1, 0), "seed must be at least 0"),
        ((5, 0, -1), "epoch must be at least 0"),
    ],
)
def test_order_refuses_wrong_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        epoch_order(*arguments)
