"""MNIST from the cache, from TensorFlow Datasets' folder, or from its host.

TensorFlow Datasets is imported only when something has to be decoded or downloaded, so
a start that finds the cache spends a fraction of a second.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import tensorflow as tf

from custom_lstm.data import cache
from custom_lstm.data.pools import SIDE, DataError
from custom_lstm.data.prepared import (
    SIZES,
    VERSION,
    WAYS_OUT,
    damaged,
    identity,
    place_of,
    short_hash,
    unfinished,
)

log = logging.getLogger(__name__)

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz"
"""The largest of the files that TensorFlow Datasets downloads for MNIST."""

PROBE_SECONDS = 3.0

_SHAPES = [shape for n in SIZES.values() for shape in ((n, SIDE, SIDE), (n,))]


def load_mnist(
    root: Path, cache_dir: str | os.PathLike | None = None
) -> list[np.ndarray] | None:
    """Load all of MNIST, the quickest way there is.

    Args:
        root: the data folder, as `data_root` gives it.
        cache_dir: where decoded digits are kept; None for the user's cache.

    Returns:
        Train images `(60000, 28, 28)` and labels `(60000,)`, test images
        `(10000, 28, 28)` and labels `(10000,)`, all uint8, in the order of TensorFlow
        Datasets; None if MNIST is not there and its host does not answer.

    Raises:
        DataError: if it is half prepared, corrupt, or its download fails.

    >>> from unittest import mock
    >>> with mock.patch(f"{__name__}.host_answers", return_value=False):
    ...     load_mnist(Path("nowhere"), cache_dir="nowhere") is None
    True
    """
    place = place_of(root)
    family = f"mnist-{VERSION}-{short_hash(os.fsencode(root.resolve()))}-"
    folder = cache.cache_folder(cache_dir)
    known = identity(place)
    for path in sorted(folder.glob(f"{family}{known or '*'}.u8")):
        if arrays := cache.fetch(path, _SHAPES):
            return arrays
    if not known and not host_answers(URL):
        return None
    arrays = _decode(root)
    path = folder / f"{family}{identity(place)}.u8"
    cache.store(path, arrays, replaces=f"{family}*.u8")
    return arrays


def host_answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Ask whether a file can be had from its host, for a limited time.

    Args:
        url: where the file is. Proxies are used as the environment sets them.
        seconds: the longest time to wait, name resolution included.

    Returns:
        Whether the host said yes in time.

    >>> host_answers("http://127.0.0.1:9/")
    False
    """
    answered = threading.Event()

    def ask():
        request = urllib.request.Request(url, method="HEAD")
        failures = (OSError, ValueError, http.client.HTTPException)
        with (
            contextlib.suppress(*failures),
            urllib.request.urlopen(request, timeout=seconds),
        ):
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def absence(root: Path) -> str:
    """Say that MNIST is not there, and why it could not be had.

    >>> print(absence(Path("nowhere")))
    MNIST is not prepared in nowhere and its host storage.googleapis.com did not ...
    """
    left = unfinished(root)
    half = f" (it holds only {left[0]}, left half prepared)" if left else ""
    return (
        f"MNIST is not prepared in {root}{half} and its host {urlsplit(URL).netloc} "
        f"did not answer within {PROBE_SECONDS:.0f} s"
    )


def _decode(root: Path) -> list[np.ndarray]:
    """Have TensorFlow Datasets read all digits, and prepare them first if need be."""
    import tensorflow_datasets as tfds

    failures = (
        OSError,
        ValueError,
        AssertionError,
        tf.errors.OpError,
        tfds.download.DownloadError,
        tfds.download.download_manager.NonMatchingChecksumError,
    )

    def load():
        return tfds.load(
            f"mnist:{VERSION}",
            split=list(SIZES),
            data_dir=os.fspath(root),
            batch_size=-1,
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )

    place = place_of(root)
    prepared = place.exists()
    if prepared:
        log.info("Decoding MNIST from %s, this once.", place)
    try:
        splits = load()
    except failures as error:
        if prepared:
            raise damaged(place, _one_line(error)) from error
        if not identity(place):
            raise DataError(
                f"MNIST cannot be downloaded to {place}: {_one_line(error)}. {WAYS_OUT}"
            ) from error
        splits = load()  # a concurrent start has prepared it meanwhile
    arrays = [
        np.squeeze(split[key].numpy().astype(np.uint8))
        for split in splits
        for key in ("image", "label")
    ]
    if [array.shape for array in arrays] != _SHAPES:
        raise damaged(place, f"its arrays are {[array.shape for array in arrays]}")
    return arrays


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('. ')}"
