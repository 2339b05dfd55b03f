"""Where the digits come from: MNIST, or scikit-learn's embedded ones."""

from __future__ import annotations

import difflib
import os

import numpy as np

from custom_lstm.data.mnist import absence, load_mnist
from custom_lstm.data.pools import SIDE, DataError, Digits, Pools
from custom_lstm.data.prepared import WAYS_OUT, data_root, place_of

__all__ = ["DataError", "Digits", "Pools", "load_pools"]

NAMES = ("auto", "mnist", "digits")
MNIST_VALIDATION = 5_000
EMBEDDED_VALIDATION = 200
EMBEDDED_TEST = 400


def load_pools(
    name: str = "auto",
    *,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> Pools:
    """Load digits in three pools that share none.

    `"mnist"` is TensorFlow Datasets' MNIST under its own rules: found in the data
    folder, else downloaded into it. The last 5,000 of its 60,000 training digits are
    the validation pool; its 10,000 test digits are the test pool. Decoded digits are
    cached, so that only the first start decodes.

    `"digits"` is scikit-learn's 1,797 handwritten 8×8 digits, which need no network,
    enlarged to 28×28: 1,197 for training, 200 for validation, 400 for the test, split
    evenly over the classes and always the same.

    `"auto"` is MNIST if it is there or its host answers within 3 s, else the embedded
    digits. A damaged MNIST is an error, not an absence.

    Args:
        name: `"auto"`, `"mnist"` or `"digits"`.
        data_dir: the data folder; if None, `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.
        cache_dir: where decoded digits are kept; if None, the folder `custom_lstm` in
            the user's cache. If it cannot be written, the log says so.

    Returns:
        The pools.

    Raises:
        DataError: if the name is unknown, or MNIST is asked for and cannot be had.

    >>> pools = load_pools("digits")
    >>> len(pools.train), len(pools.validation), len(pools.test)
    (1197, 200, 400)
    """
    if name not in NAMES:
        nearest = difflib.get_close_matches(str(name).lower(), NAMES, n=1, cutoff=0)[0]
        raise DataError(
            f"unknown data {name!r}, did you mean {nearest!r}? "
            f"There are {', '.join(NAMES)}."
        )
    if name == "digits":
        return _embedded("For MNIST: --data mnist.")
    try:
        root = data_root(data_dir)
        arrays = load_mnist(root, cache_dir)
    except PermissionError as error:
        raise DataError(f"the data folder may not be read: {error}") from error
    if arrays is not None:
        return _mnist(arrays, os.fspath(place_of(root)))
    if name == "mnist":
        raise DataError(f"{absence(root)}. Go on line and start again. {WAYS_OUT}")
    return _embedded(f"{absence(root)}; for MNIST go on line or set TFDS_DATA_DIR.")


def _mnist(arrays: list[np.ndarray], source: str) -> Pools:
    images, labels, test_images, test_labels = arrays
    cut = len(labels) - MNIST_VALIDATION
    train = Digits(images[:cut], labels[:cut])
    validation = Digits(images[cut:], labels[cut:])
    test = Digits(test_images, test_labels)
    notice = _notice(
        f"MNIST from {source}",
        (train, validation, test),
        "For scikit-learn's embedded digits: --data digits.",
    )
    return Pools("mnist", train, validation, test, notice)


def _embedded(hint: str) -> Pools:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images, labels = _enlarge(bunch.images / 16), bunch.target.astype(np.uint8)

    def split(indices, size):
        return train_test_split(
            indices, test_size=size, random_state=0, stratify=labels[indices]
        )

    rest, last = split(np.arange(len(labels)), EMBEDDED_TEST)
    train, validation, test = (
        Digits(images[chosen], labels[chosen])
        for chosen in (*split(rest, EMBEDDED_VALIDATION), last)
    )
    what = "scikit-learn's embedded digits, NOT MNIST"
    notice = _notice(what, (train, validation, test), hint)
    return Pools("digits", train, validation, test, notice)


def _notice(what: str, pools: tuple[Digits, ...], hint: str) -> str:
    train, validation, test = (f"{len(pool):,}" for pool in pools)
    sizes = f"{train} to train, {validation} to validate, {test} to test"
    return f"DATA: {what} ({sizes}). {hint}"


def _enlarge(images: np.ndarray) -> np.ndarray:
    """Enlarge digits `(n, 8, 8)` of 0 to 1 to uint8 `(n, 28, 28)`.

    Each digit fills the 20×20 pixels in the middle, as MNIST's do, by bicubic
    interpolation (R. Keys, "Cubic convolution interpolation for digital image
    processing", IEEE Trans. ASSP 29, 1981) with a ground of zeros all around:
    Y = W·X·Wᵀ, where row p of W (28, 8) weights the old pixels at new pixel p.
    """
    old = images.shape[-1]
    factor = 20 / old
    centre = (np.arange(SIDE) + 0.5 - (SIDE - 20) / 2) / factor - 0.5
    x = np.abs(centre[:, None] - np.arange(old))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    large = weights @ images @ weights.T
    return np.rint(np.clip(large, 0, 1) * 255).astype(np.uint8)
