"""Checkpoints, from which a run resumes as if it had never stopped; best weights.

A checkpoint, `checkpoints/step-00001234.npz`, holds numbers and JSON only, no time
and no path, and ends in the SHA-256 of its bytes: equal runs write equal files. The
last two are kept.
"""

import dataclasses
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from custom_lstm.errors import NotFinite, UserError
from custom_lstm.files import (
    ChecksumError,
    add_checksum,
    atomic_write,
    verify_checksum,
    writing,
)
from custom_lstm.training.run_folder import RunFolder

KEPT = 2
"""Checkpoints in a run folder."""
_STATE = "state.json"
_NOT_A_CHECKPOINT = (
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
)
"""What reading a file that is not a checkpoint raises."""


@dataclasses.dataclass
class TrainingState:
    """The state of a run besides the model and its optimizer.

    Args:
        history: one row an epoch: epoch (from 1), loss, exact, … as logged.
        best: lowest validation loss so far.
        best_epoch: the epoch that reached it, from 1; 0 before any.
        unfinished: what was logged of an epoch whose last step is done, but not its
            validation.
        metrics: the variables of the metrics within an epoch.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float = float("inf")
    best_epoch: int = 0
    unfinished: dict[str, float] | None = None
    metrics: list[NDArray] = dataclasses.field(default_factory=list)


def save_checkpoint(
    folder: RunFolder, model: keras.Model, state: TrainingState
) -> Path:
    """Write all that resuming exactly needs; drop all but the last two checkpoints.

    That is: weights, optimizer with its moving averages and step count, seed
    generators, metrics, and `state`. The step count tells the position in the data.

    Args:
        folder: the run folder.
        model: compiled.
        state: beside the model.

    Returns:
        The file written.

    Raises:
        UserError: the disk is full or the folder not writable; earlier checkpoints
            stay.
        NotFinite: a number of the model or the optimizer is not finite; they stay too.
    """
    steps = steps_done(model)
    groups = _variables(model)
    arrays = {
        name: [keras.ops.convert_to_numpy(v) for v in group]
        for name, group in groups.items()
    }
    _check_finite(model, groups, arrays)
    arrays["metrics"] = state.metrics
    content = dataclasses.asdict(dataclasses.replace(state, metrics=[]))
    path = folder.checkpoint(steps)
    with writing(path):
        _write_arrays(path, arrays, {_STATE: json.dumps(content)})
        _drop_others(folder, path)
    return path


def _write_arrays(
    path: Path, arrays: dict[str, list[NDArray]], texts: dict[str, str]
) -> None:
    """Write arrays, as "model/0000" and so on, and texts: `.npz` with a checksum."""
    with atomic_write(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, text in texts.items():
                archive.writestr(zipfile.ZipInfo(name), text)
            for name, group in arrays.items():
                for number, array in enumerate(group):
                    part = zipfile.ZipInfo(f"{name}/{number:04}.npy")
                    archive.writestr(part, _as_npy(array))
        add_checksum(temporary)


def _check_finite(model, variables, arrays):
    """Check all but metrics: a validation loss may be infinite."""
    metrics = {id(variable) for variable in model.metrics_variables}
    bad = [
        variable.path
        for name, group in variables.items()
        for variable, array in zip(group, arrays[name], strict=True)
        if not np.isfinite(array).all() and id(variable) not in metrics
    ]
    if bad:
        raise NotFinite(
            steps_done(model), f"not finite and not saved: {', '.join(bad)}"
        )


def _drop_others(folder: RunFolder, last: Path) -> None:
    """Keep a checkpoint and the one before it; any of a later step was damaged."""
    paths = folder.checkpoints()
    kept = paths[paths.index(last) :][:KEPT]
    for path in paths:
        if path not in kept:
            path.unlink()


def steps_done(model: keras.Model) -> int:
    """Return how many steps the optimizer has made, also within an epoch."""
    sync_variables(model)
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def sync_variables(model: keras.Model) -> None:
    """Bring a model's variables up to date, whose values JAX's loop keeps elsewhere."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def restore(folder: RunFolder, model: keras.Model) -> TrainingState:
    """Load the last checkpoint into a model; print a line for each damaged one.

    Args:
        folder: of a run; without a checkpoint it is left as it is.
        model: built and compiled as that run's was.

    Returns:
        The state saved beside the model.

    Raises:
        UserError: no checkpoint is whole, or they are of another model.
    """
    model.optimizer.build(model.trainable_variables)
    paths = folder.checkpoints()
    for path in paths:
        try:
            verify_checksum(path)
        except (ChecksumError, OSError) as error:
            print(f"{error}; trying the one before it", flush=True)
            continue
        return _read(path, model)
    if paths:
        raise UserError(
            f"all checkpoints in {paths[0].parent} are damaged: this run cannot be "
            "resumed"
        )
    return TrainingState()


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
        _write_arrays(folder.best, {"model": model.get_weights()}, {})


def _save_model(path: Path, model: keras.Model) -> None:
    """Write a `.keras` file with a checksum."""
    with writing(path), atomic_write(path) as temporary:
        model.save(temporary)
        add_checksum(temporary)


def keep_model(
    folder: RunFolder,
    model: keras.Model,
    finished: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> keras.Model:
    """Write the model with its best weights, or its own, to model.keras; return it.

    `finished` makes of a trained model the one to keep.

    Raises:
        UserError: the best weights are damaged, or the folder cannot be written.
    """
    if folder.best.is_file():
        model = _with_best(folder, model)
    model = finished(model)
    _save_model(folder.model, model)
    return model


def _variables(model: keras.Model) -> dict[str, list[Any]]:
    """All that a step may change, except the metrics."""
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _read(path: Path, model: keras.Model) -> TrainingState:
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type for part in archive.infolist()):
                raise ValueError("it is compressed, which checkpoints are not")
        with np.load(path, allow_pickle=False) as arrays:
            state = TrainingState(**json.loads(arrays[_STATE]))
            groups = {
                name: [arrays[f"{name}/{number:04}"] for number in range(count)]
                for name, count in _counts(arrays.files).items()
            }
    except _NOT_A_CHECKPOINT as error:
        raise UserError(
            f"{path} is not a checkpoint of custom_lstm: {error}"
        ) from error
    state.metrics = groups.pop("metrics", [])
    for name, variables in _variables(model).items():
        _check_fits(path, variables, groups[name])
        for variable, array in zip(variables, groups[name], strict=True):
            variable.assign(array)
    return state


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts = {"model": 0, "optimizer": 0}
    for name in names:
        if match := re.fullmatch(r"(\w+)/\d{4}", name):
            counts[match[1]] = counts.get(match[1], 0) + 1
    return counts


def _check_fits(path: Path, variables: list[Any], arrays: list[NDArray]) -> None:
    """Check that a checkpoint was made from such a model."""
    if len(variables) != len(arrays):
        raise UserError(
            f"{path} is of another model: it holds {len(arrays)} variables, this "
            f"model has {len(variables)}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise UserError(
                f"{path} is of another model: {variable.path} has shape "
                f"{array.shape} there, {tuple(variable.shape)} here"
            )


def _as_npy(array: NDArray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _with_best(folder: RunFolder, model: keras.Model) -> keras.Model:
    """Return such a model with the best weights."""
    best = keras.models.model_from_json(model.to_json())
    try:
        verify_checksum(folder.best)
        with np.load(folder.best, allow_pickle=False) as arrays:
            best.set_weights([arrays[name] for name in sorted(arrays.files)])
    except _NOT_A_CHECKPOINT as error:
        raise UserError(
            f"{folder.best} cannot be used: {error}. Without this file the run would "
            "keep its last weights"
        ) from error
    return best
