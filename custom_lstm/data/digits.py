"""Pools of digits: MNIST, or scikit-learn's embedded digits."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass

import numpy as np

from custom_lstm.data.mnist import (
    ADVICE,
    SIDE,
    absence,
    data_root,
    load_mnist,
    prepared_folder,
)
from custom_lstm.errors import DataError
from custom_lstm.extras import extra

NAMES = ("auto", "mnist", "digits")
MNIST_VALIDATION = 5_000
EMBEDDED_VALIDATION = 200
EMBEDDED_TEST = 400


@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits in memory, bright on dark.

    Args:
        images: uint8 array `(n, 28, 28)`, 0 is the background, 255 full ink.
        labels: uint8 array `(n,)` of the values 0 to 9.

    Raises:
        DataError: if a shape, a dtype or a label is wrong.

    Example:
        >>> images = np.zeros((3, 28, 28), "uint8")
        >>> len(Digits(images, np.array([1, 2, 3], "uint8")))
        3
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        """Check shapes, dtypes and labels."""
        for name, shape in (("images", "(n, 28, 28)"), ("labels", "(n,)")):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
                received = getattr(array, "dtype", type(array).__name__)
                raise DataError(f"{name} must be a uint8 array {shape}, not {received}")
        count = self.labels.size
        if self.images.shape != (count, SIDE, SIDE) or self.labels.shape != (count,):
            raise DataError(
                "images and labels must have the shapes (n, 28, 28) and (n,), "
                f"not {self.images.shape} and {self.labels.shape}"
            )
        if not count:
            raise DataError("a pool needs at least one digit, this one has none")
        if self.labels.max() > 9:
            raise DataError(f"labels must be 0 to 9, one is {self.labels.max()}")

    def __len__(self) -> int:
        """Return the number of digits."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Pools:
    """Three pools that share no digit, and a line that says which data it is.

    Args:
        name: `"mnist"` or `"digits"`.
        train: what the weights are fitted to.
        validation: what choices (best epoch, early stop) are made by.
        test: what scores are reported on.
        notice: one line for the user: which data this is, how to get the other.

    Example:
        >>> one = Digits(np.zeros((1, 28, 28), "uint8"), np.array([7], "uint8"))
        >>> Pools("digits", one, one, one, notice="Data: one seven").notice
        'Data: one seven'
    """

    name: str
    train: Digits
    validation: Digits
    test: Digits
    notice: str


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
        DataError: if the name is unknown, or if MNIST is requested and not available.

    Example:
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
        raise DataError(f"the data folder is not readable: {error}") from error
    if arrays is not None:
        return _mnist(arrays, os.fspath(prepared_folder(root)))
    if name == "mnist":
        raise DataError(f"{absence(root)}. Connect to the internet and retry. {ADVICE}")
    hint = f"{absence(root)}; for MNIST connect to the internet or set TFDS_DATA_DIR."
    return _embedded(hint)


def _mnist(arrays: list[np.ndarray], source: str) -> Pools:
    images, labels, test_images, test_labels = arrays
    cut = len(labels) - MNIST_VALIDATION
    train = Digits(images[:cut], labels[:cut])
    validation = Digits(images[cut:], labels[cut:])
    test = Digits(test_images, test_labels)
    what, hint = f"MNIST from {source}", "scikit-learn's embedded digits: --data digits"
    notice = _notice(what, (train, validation, test), f"For {hint}.")
    return Pools("mnist", train, validation, test, notice)


def _embedded(hint: str) -> Pools:
    with extra("train"):
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
    """Enlarge digits `(n, 8, 8)` of 0 to 1 to 20×20 in the middle of uint8 28×28."""
    from PIL import Image

    padded = np.pad(images, ((0, 0), (4, 4), (4, 4))).astype(np.float32)
    bicubic = Image.Resampling.BICUBIC
    large = [Image.fromarray(image).resize((40, 40), bicubic) for image in padded]
    centres = np.stack([np.asarray(image) for image in large])[:, 6:-6, 6:-6]
    return np.rint(np.clip(centres, 0, 1) * 255).astype(np.uint8)
