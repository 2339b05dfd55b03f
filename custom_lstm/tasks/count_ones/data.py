"""Strings of bits: those to train on, those held out, and random long ones.

A string of `length` bits is the number that it writes, its code; the first bit is the
highest. Codes take eight bytes each, and become bits a batch at a time.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from custom_lstm.data import index_batches
from custom_lstm.data.sequences import prefetched

Codes = NDArray[np.int64]
Bits = NDArray[np.float32]
EVALUATION_BATCH = 2**15
"""Strings in a batch when nothing is trained."""
BITS_IN_A_BATCH = 2**21
"""Bits in a batch of random strings; bounds the memory at any length."""
LARGEST_POPULATION = 2**24
"""Where there are more strings than this, a sample is tested."""
SAMPLE = 2**20
"""Size of that sample."""


def bits_of(codes: Codes, length: int) -> Bits:
    """Return codes `(strings,)` as bits `(strings, length, 1)`, 0 and 1.

    Example:
        >>> bits_of(np.array([4, 3]), 3)[..., 0].astype(int).tolist()
        [[1, 0, 0], [0, 1, 1]]
    """
    places = np.arange(length - 1, -1, -1)
    return (codes[:, None] >> places & 1).astype(np.float32)[..., None]


def training_codes(length: int, count: int, seed: int) -> Codes:
    """Draw `count` different strings to train on, sorted; less than all 2^length.

    Example:
        >>> training_codes(3, 7, seed=1).tolist()
        [0, 2, 3, 4, 5, 6, 7]
    """
    rng = np.random.default_rng([seed, length])
    return np.sort(rng.choice(2**length, count, replace=False))


def held_out_codes(
    length: int,
    training: Codes,
    seed: int,
    *,
    batch_size: int = EVALUATION_BATCH,
    sample: int = SAMPLE,
) -> Iterator[Codes]:
    """Yield the strings that are not trained on, in batches.

    All of them; or, where there are more than `LARGEST_POPULATION`, a random sample.

    Args:
        length: bits in each.
        training: those trained on, sorted.
        seed: of the sample.
        batch_size: largest number of strings in a batch.
        sample: size of the sample.

    Yields:
        Arrays `(strings,)`.

    Example:
        >>> [batch.tolist() for batch in held_out_codes(2, np.array([1]), seed=0)]
        [[0, 2, 3]]
    """
    if 2**length <= LARGEST_POPULATION:
        for start in range(0, 2**length, batch_size):
            codes = np.arange(start, min(start + batch_size, 2**length))
            yield codes[~_contains(training, codes)]
        return
    rng = np.random.default_rng([seed, length, 1])
    codes = rng.integers(2**length, size=sample)
    codes = np.unique(codes[~_contains(training, codes)])
    yield from np.split(codes, range(batch_size, len(codes), batch_size))


def random_batches(
    length: int,
    count: int,
    seed: int,
    *,
    even_counts: bool,
    bits_in_a_batch: int = BITS_IN_A_BATCH,
) -> Iterator[Bits]:
    """Yield random strings of any length, in batches of bounded size.

    Args:
        length: bits in each.
        count: number of strings.
        seed: of the draw.
        even_counts: whether every number of ones is as likely as every other; else
            every bit is 0 or 1, as likely, and counts are near the middle.
        bits_in_a_batch: largest number of bits in a batch of several strings.

    Yields:
        `(strings, length, 1)`, 0 and 1.

    Example:
        >>> [bits] = random_batches(5, 1000, seed=0, even_counts=True)
        >>> bool(np.bincount(bits.sum(1)[:, 0].astype(int)).min() > 100)
        True
    """
    rng = np.random.default_rng([seed, length, 2])
    batch_size = max(1, bits_in_a_batch // length)
    for begun in range(0, count, batch_size):
        number = min(batch_size, count - begun)
        draws = rng.random((number, length), dtype=np.float32)
        if not even_counts:
            yield (draws < 0.5).astype(np.float32)[..., None]
            continue
        ones = rng.integers(length + 1, size=(number, 1))
        ranks = draws.argsort(axis=1).argsort(axis=1)
        yield (ranks < ones).astype(np.float32)[..., None]


def training_batches(
    codes: Codes,
    length: int,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    shuffle: bool,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Return the strings to train on in batches, epoch after epoch.

    Args:
        codes: `(strings,)`.
        length: bits in each.
        batch_size: strings in a batch.
        epochs, seed, shuffle, first_epoch, first_step: see `index_batches`.

    Returns:
        A dataset of bits `(batch_size, length, 1)` and counts `(batch_size, 1)`,
        float32.

    Example:
        >>> options = dict(batch_size=2, epochs=1, seed=0, shuffle=False)
        >>> bits, counts = next(iter(training_batches(np.array([7, 2]), 3, **options)))
        >>> counts.numpy().tolist()
        [[3.0], [1.0]]
    """
    with tf.device("CPU"):
        bits = tf.constant(bits_of(codes, length))
    batches = index_batches(
        len(codes),
        (batch_size,),
        epochs=epochs,
        seed=seed,
        shuffle=shuffle,
        first_epoch=first_epoch,
        first_step=first_step,
    )

    def batch(_, indices):
        chosen = tf.gather(bits, indices)
        return chosen, tf.reduce_sum(chosen, axis=1)

    return prefetched(batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE))


def _contains(some: Codes, codes: Codes) -> NDArray[np.bool_]:
    """Return for each code whether it is among `some`, which are sorted."""
    places = np.minimum(np.searchsorted(some, codes), len(some) - 1)
    return some[places] == codes
