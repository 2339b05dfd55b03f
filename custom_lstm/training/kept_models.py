"""The models of a run: the best weights so far, and the finished model."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from custom_lstm.errors import UserError
from custom_lstm.files import add_checksum, atomic_write, verify_checksum, writing
from custom_lstm.training.checkpoints import NO_CHECKPOINT, write_arrays
from custom_lstm.training.runs import RunFolder


def digest(model: keras.Model) -> str:
    """Return the SHA-256 of a model's weights: equal for equal bytes.

    Example:

    >>> digest(keras.Sequential([keras.Input((1,)), keras.layers.ReLU()]))[:8]
    'e3b0c442'
    """
    found = hashlib.sha256()
    for weight in model.get_weights():
        found.update(weight.tobytes())
    return found.hexdigest()


def save_best(folder: RunFolder, model: keras.Model) -> None:
    """Write a model's weights as the best so far; see `keep_model`.

    Not with `model.save`: of that, Keras 3.15 makes new variables every time (it looks
    for what it knows of optimizers under another name than it wrote it), and TensorFlow
    never forgets one.

    Raises:
        UserError: the disk is full or the folder not writable.
    """
    with writing(folder.best):
        write_arrays(folder.best, {"model": model.get_weights()}, {})


def save_model(path: Path, model: keras.Model) -> None:
    """Write a `.keras` file that ends in the SHA-256 of its bytes.

    Raises:
        UserError: the disk is full or the folder not writable.
    """
    with writing(path), atomic_write(path) as temporary:
        model.save(temporary)
        add_checksum(temporary)


def keep_model(
    folder: RunFolder,
    model: keras.Model,
    finished: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> keras.Model:
    """Write the model with its best weights, or else its own, to model.keras.

    Args:
        folder: of a run.
        model: as the last step left it.
        finished: makes of a trained model the one to keep.

    Returns:
        The model that was kept.

    Raises:
        UserError: the best weights are damaged, or the folder cannot be written.
    """
    if folder.best.is_file():
        model = _with_best(folder, model)
    model = finished(model)
    save_model(folder.model, model)
    return model


def _with_best(folder: RunFolder, model: keras.Model) -> keras.Model:
    """Return such a model with the best weights."""
    best = keras.models.model_from_json(model.to_json())
    try:
        verify_checksum(folder.best)
        with np.load(folder.best, allow_pickle=False) as arrays:
            best.set_weights([arrays[name] for name in sorted(arrays.files)])
    except NO_CHECKPOINT as error:
        raise UserError(
            f"{folder.best} cannot be used: {error}. Without this file the run would "
            "keep its last weights"
        ) from error
    return best
