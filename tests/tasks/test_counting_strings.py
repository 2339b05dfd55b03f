"""Strings of bits: all of them, once, and nothing of the training in the test."""

import numpy as np
import pytest

from custom_lstm.tasks.counting import strings


def test_bits_are_those_of_the_number():
    codes = np.array([0, 5, 1000, 2**20 - 1])
    expected = [[int(b) for b in f"{code:020b}"] for code in codes]
    np.testing.assert_array_equal(strings.bits_of(codes, 20)[..., 0], expected)


@pytest.mark.parametrize("at_once", [7, 2**15])
def test_every_other_string_comes_once(monkeypatch, at_once):
    monkeypatch.setattr(strings, "AT_ONCE", at_once)
    training = strings.training_codes(10, 100, seed=3)
    others = list(strings.other_codes(10, training, seed=3))
    assert max(map(len, others)) <= at_once
    both = np.concatenate([training, *others])
    np.testing.assert_array_equal(np.sort(both), np.arange(2**10))


def test_of_too_many_strings_a_sample_comes(monkeypatch):
    monkeypatch.setattr(strings, "SAMPLE", 1000)
    training = strings.training_codes(40, 50, seed=0)
    others = np.concatenate(list(strings.other_codes(40, training, seed=0)))
    assert 990 < len(others) <= 1000
    assert len(np.unique(others)) == len(others)
    assert not np.isin(others, training).any()
    assert others.max() < 2**40


def test_the_seed_alone_chooses_the_strings():
    first, again, other = (strings.training_codes(20, 99, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == 99


@pytest.mark.parametrize("even", [True, False])
def test_random_strings_have_the_counts_asked_for(even):
    [bits] = strings.random_batches(40, 20_000, seed=0, even_counts=even)
    assert set(np.unique(bits)) == {0, 1}
    counts = bits.sum(axis=(1, 2))
    if even:  # each of the 41 counts 488 times, within five standard deviations
        assert np.abs(np.bincount(counts.astype(int)) - 20_000 / 41).max() < 110
    else:  # binomial: mean 20, variance 10
        assert abs(counts.mean() - 20) < 0.15
        assert abs(counts.var() - 10) < 0.5
    np.testing.assert_allclose(bits.mean(axis=(0, 2)), 0.5, atol=0.03)


@pytest.mark.parametrize("even", [True, False])
def test_random_strings_come_in_batches_of_bounded_size(monkeypatch, even):
    monkeypatch.setattr(strings, "BITS_AT_ONCE", 700)
    batches = list(strings.random_batches(100, 20, seed=0, even_counts=even))
    assert [bits.shape for bits in batches] == [(7, 100, 1), (7, 100, 1), (6, 100, 1)]
    assert not np.array_equal(batches[0], batches[1])
    monkeypatch.setattr(strings, "BITS_AT_ONCE", 99)
    batches = list(strings.random_batches(100, 20, seed=0, even_counts=even))
    assert [len(bits) for bits in batches] == [1] * 20


def test_batches_hold_counts_and_go_on_anywhere():
    codes = strings.training_codes(12, 50, seed=0)
    options = {"batch_size": 8, "epochs": 3, "seed": 5, "shuffle": True}
    batches = strings.training_batches(codes, 12, **options)
    whole = list(batches.as_numpy_iterator())
    assert len(whole) == 3 * 6
    for bits, counts in whole:
        np.testing.assert_array_equal(bits.sum(axis=1), counts)
    rest = strings.training_batches(codes, 12, **options, first_epoch=1, first_step=2)
    for ours, expected in zip(rest.as_numpy_iterator(), whole[8:], strict=True):
        np.testing.assert_array_equal(ours[0], expected[0])
    epochs = [np.concatenate([bits for bits, _ in whole[k : k + 6]]) for k in (0, 6)]
    assert not np.array_equal(*epochs)


def test_without_shuffling_all_epochs_are_alike():
    codes = strings.training_codes(8, 10, seed=0)
    options = {"batch_size": 5, "epochs": 2, "seed": 0, "shuffle": False}
    batches = strings.training_batches(codes, 8, **options).as_numpy_iterator()
    first, second, *again = (bits for bits, _ in batches)
    np.testing.assert_array_equal([first, second], again)
    expected = strings.bits_of(codes, 8)
    np.testing.assert_array_equal(np.concatenate([first, second]), expected)
