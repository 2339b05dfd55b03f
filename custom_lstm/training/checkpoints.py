"""One file from which a run goes on: model, optimizer and training state."""

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import keras

from custom_lstm.errors import UserError
from custom_lstm.files import replacing
from custom_lstm.loading import load_model
from custom_lstm.training.runs import RunFolder

_STATE = "training_state.json"


@dataclasses.dataclass
class TrainingState:
    """What a run must know besides the model and its optimizer.

    Args:
        history: one row an epoch: epoch (from 1), loss, exact, … as logged.
        best: lowest validation loss so far.
        best_epoch: the epoch that reached it, from 1; 0 before any.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float = float("inf")
    best_epoch: int = 0


def save_checkpoint(path: Path, model: keras.Model, state: TrainingState) -> None:
    """Write a `.keras` file that also holds `state`, whole or not at all.

    Args:
        path: file name ending in `.keras`.
        model: a compiled model; its optimizer is saved with it.
        state: written into the archive beside the model.

    Raises:
        UserError: the disk is full or the folder not writable; what stood at
            `path` before still stands there.
    """
    try:
        with replacing(path) as temporary:
            model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_STATE, json.dumps(dataclasses.asdict(state)))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def load_checkpoint(path: Path) -> tuple[keras.Model, TrainingState]:
    """Read what `save_checkpoint` wrote.

    Returns:
        The model, compiled, with its optimizer as it was; and the state.

    Raises:
        UserError: the file is missing, damaged or from something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged:
                raise UserError(f"{path} is damaged: its part {damaged} is corrupt")
            fields: dict[str, Any] = json.loads(archive.read(_STATE))
        return load_model(path), TrainingState(**fields)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no checkpoint of this program: {error}") from error


def keep_model(folder: RunFolder) -> keras.Model:
    """Copy the best checkpoint, or else the last, to model.keras, and load that."""
    with replacing(folder.model) as temporary:
        found = folder.best if folder.best.is_file() else folder.last
        shutil.copyfile(found, temporary)
    return load_model(folder.model)
