import logging

import numpy as np
import pytest
from sklearn.datasets import load_digits

from custom_lstm.data import DataError, Digits, digits, load_pools

SIZES = {"train": 1_197, "validation": 200, "test": 400}


def each(pools):
    return pools.train, pools.validation, pools.test


def images(count):
    return np.zeros((count, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (images(2).astype(float), np.zeros(2, np.uint8), "images .* not float64"),
        (images(2).tolist(), np.zeros(2, np.uint8), "images .* not list"),
        (images(2), np.zeros(2, int), "labels .* not int64"),
        (images(2), np.zeros(3, np.uint8), r"not \(2, 28, 28\) and \(3,\)"),
        (images(2)[..., None], np.zeros(2, np.uint8), r"not \(2, 28, 28, 1\)"),
        (images(2), np.zeros((2, 1), np.uint8), r"and \(2, 1\)"),
        (images(0), np.zeros(0, np.uint8), "at least one digit"),
        (images(2), np.array([3, 10], np.uint8), "0 to 9, one is 10"),
    ],
)
def test_refuses_what_is_no_pool(images, labels, message):
    with pytest.raises(DataError, match=message):
        Digits(images, labels)


def test_embedded_pools_have_their_sizes(pools):
    assert {name: len(getattr(pools, name)) for name in SIZES} == SIZES
    assert pools.name == "digits"


def test_embedded_pools_hold_every_digit_once(pools):
    found = [image.tobytes() for pool in each(pools) for image in pool.images]
    assert len(set(found)) == len(found) == 1_797


def test_embedded_labels_stay_with_their_images(pools):
    bunch = load_digits()
    small = {}
    for pool in each(pools):
        centres = pool.images.astype(float)[:, 4:24, 4:24]
        means = centres.reshape(len(pool), 4, 5, 4, 5).mean((2, 4))
        small |= dict(zip(map(bytes, means), pool.labels, strict=True))
    labels = np.concatenate([pool.labels for pool in each(pools)])
    assert np.array_equal(np.bincount(labels), np.bincount(bunch.target))
    large = digits._enlarge(bunch.images / 16).astype(float)[:, 4:24, 4:24]
    means = large.reshape(len(large), 4, 5, 4, 5).mean((2, 4))
    assert [small[bytes(mean)] for mean in means] == bunch.target.tolist()


def test_embedded_pools_are_stratified(pools):
    for pool in each(pools):
        counts = np.bincount(pool.labels, minlength=10)
        assert counts.min() > 0.9 * len(pool) / 10
        assert counts.max() < 1.1 * len(pool) / 10


def test_embedded_split_is_always_the_same(pools):
    assert (
        pools.test.labels[:10].tolist()
        == load_pools("digits").test.labels[:10].tolist()
    )


def test_embedded_digits_look_like_mnist(pools):
    images = np.concatenate([pool.images for pool in each(pools)]).astype(float)
    assert images.max() == 255
    assert 25 < images.mean() < 50
    ink = images.mean(0)
    assert ink[4:24, 4:24].sum() > 0.97 * ink.sum()
    rows, columns = np.indices(ink.shape)
    centre = [(axis * ink).sum() / ink.sum() for axis in (rows, columns)]
    np.testing.assert_allclose(centre, 13.5, atol=0.5)


def test_enlarging_interpolates_by_keys_cubic_convolution():
    small = load_digits().images[:20] / 16
    x = np.abs((np.arange(28) - 3.5)[:, None] / 2.5 - 0.5 - np.arange(8))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    expected = np.clip(weights @ small @ weights.T, 0, 1) * 255
    np.testing.assert_allclose(digits._enlarge(small), expected, atol=0.501)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("minst", "mnist"),
        ("MNIST", "mnist"),
        ("digit", "digits"),
        ("AUT", "auto"),
        (3, ""),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(DataError, match=f"did you mean '{nearest}.*auto, mnist, digit"):
        load_pools(name)


def test_notice_is_one_line_that_names_the_other(pools):
    assert "NOT MNIST" in pools.notice
    assert "--data mnist" in pools.notice
    assert "1,197 to train" in pools.notice
    assert "\n" not in pools.notice


@pytest.fixture
def fake_mnist():
    rng = np.random.default_rng(0)
    arrays = []
    for size in (60_000, 10_000):
        labels = rng.integers(0, 10, size, np.uint8)
        ramp = np.arange(size, dtype=np.uint32).view(np.uint8).reshape(size, 4)
        arrays += [np.pad(ramp, ((0, 0), (0, 780))).reshape(size, 28, 28), labels]
    return arrays


def test_mnist_is_cut_where_it_should_be(fake_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "load_mnist", lambda *_: fake_mnist)
    pools = load_pools("auto", data_dir=tmp_path)
    assert [len(pool) for pool in each(pools)] == [55_000, 5_000, 10_000]
    for pool, begin, whole in zip(each(pools), (0, 55_000, 0), (0, 0, 2), strict=True):
        part = slice(begin, begin + len(pool))
        np.testing.assert_array_equal(pool.images, fake_mnist[whole][part])
        np.testing.assert_array_equal(pool.labels, fake_mnist[whole + 1][part])
    assert pools.name == "mnist"
    assert str(tmp_path) in pools.notice
    assert "--data digits" in pools.notice


@pytest.mark.usefixtures("off_line")
def test_off_line_mnist_says_what_to_do(tmp_path):
    with pytest.raises(DataError) as caught:
        load_pools("mnist", data_dir=tmp_path / "none", cache_dir=tmp_path)
    text = str(caught.value)
    where, host = str(tmp_path / "none"), "storage.googleapis.com"
    for part in (where, host, "TFDS_DATA_DIR", "--data digits"):
        assert part in text
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("off_line")
def test_off_line_auto_takes_the_embedded_digits(tmp_path):
    pools = load_pools(data_dir=tmp_path, cache_dir=tmp_path)
    assert pools.name == "digits"
    assert "MNIST is not prepared" in pools.notice


@pytest.mark.usefixtures("off_line")
def test_says_what_was_left_half_prepared(tmp_path):
    (tmp_path / "mnist" / "incomplete.ABC123_3.0.1").mkdir(parents=True)
    with pytest.raises(DataError, match="incomplete.ABC123_3.0.1"):
        load_pools("mnist", data_dir=tmp_path, cache_dir=tmp_path)


def test_forbidden_folder_is_an_error_of_one_line(tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(digits, "load_mnist", forbidden)
    with pytest.raises(DataError, match="is not readable.*Permission denied"):
        load_pools("mnist", data_dir=tmp_path)


def test_logger_is_quiet_about_what_works(pools, caplog):
    with caplog.at_level(logging.DEBUG):
        load_pools("digits")
    assert not caplog.records
