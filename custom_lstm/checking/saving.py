"""The check that a saved model is the same when it is loaded."""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from custom_lstm.checking import reload
from custom_lstm.checking.causes import kept_tensors, late_weights, lost_objects
from custom_lstm.checking.harness import (
    CellUnderTest,
    ContractViolation,
    require_close,
    to_array,
    to_arrays,
    without_frames,
)
from custom_lstm.checking.runs import Run, flat_data, symbols
from custom_lstm.layers.building import compiled_functions
from custom_lstm.layers.rnn import RNN

_PATIENCE = 600
"""Seconds after which a fresh process is ended."""


def saving(subject: CellUnderTest) -> str:
    """A saved model is the same, loaded in a fresh process.

    The fresh process imports the modules that define the classes in the model, as a
    user's would. A class from a notebook, a script or the inside of a function
    cannot be imported there: the model is then loaded in this process, and the
    result says so. Keras's `safe_mode` stays on.
    """
    late = late_weights(subject)
    try:
        seen = _round_trip(subject, subject.layer)
    except Exception as error:
        cause = _explained(subject, late, str(error))
        if not cause:
            raise
        expected = getattr(error, "expected", "a model that can be loaded")
        raise ContractViolation(expected, cause) from None
    return f"{seen}; {late}" if late else seen


def _explained(subject: CellUnderTest, late: str, text: str) -> str:
    """Return what in the cell prevents a model from being loaded as it was; or ""."""
    if late and "could not be loaded" in text:
        return f"{late}{_in_ours(subject)}"
    if "instead of" in text:
        names = ", ".join(compiled_functions(subject.make()))
        compiled = (
            f"{names} is a tf.function, whose trace keeps the first weights: remove "
            "@tf.function"
        )
        return f"{compiled}{_in_ours(subject)}" if names else kept_tensors(subject)
    return lost_objects(subject)


def _in_ours(subject: CellUnderTest) -> str:
    """Return that custom_lstm.RNN saves and loads what keras.layers.RNN does not."""
    if subject.layer is RNN:
        return ""
    try:
        _round_trip(subject, RNN)
    except Exception:  # noqa: BLE001 - whatever it is, nothing can be promised
        return ""
    return ". keras.layers.RNN needs that; custom_lstm.RNN loads the model as it is"


def _round_trip(subject: CellUnderTest, layer: Any) -> str:
    """Save a model and load it; return what was seen, or raise what differs."""
    inputs, constants = symbols(subject)
    rnn = layer(subject.cell(), return_sequences=True)
    outputs = keras.tree.flatten(rnn(inputs, **constants))
    model = keras.Model(keras.tree.flatten([inputs, constants]), outputs)
    x = [to_array(array) for array in flat_data(subject, subject.inputs())]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Keras 3.15 saving its variables under NumPy 2
        warnings.filterwarnings("ignore", "__array__ impl", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*another process can only load")
        path = Path(folder) / "model.keras"
        model.save(path)
        classes = list(_classes(keras.saving.serialize_keras_object(rnn)))
        away = [entry for entry in classes if not _importable(entry)]
        if away:
            loaded, unregistered = _here(path, x, classes, subject.cell_class)
            names = ", ".join(entry["class_name"] for entry in away)
            where = (
                f"in this process only: {names} from {away[0]['module']} cannot be "
                "imported by another; move it to a module to have that checked"
            )
        else:
            loaded, unregistered = _elsewhere(path, x, classes)
            where = "in a fresh process"
    pairs = Run(loaded, []).pairs(Run(to_arrays(model(x)), []))
    seen = f"{require_close('as of the model that was saved', pairs)}, {where}"
    if unregistered:
        names = ", ".join(unregistered)
        seen += (
            f"; with custom_objects, as {names} is not registered: decorate it with "
            "keras.saving.register_keras_serializable to load without. Write above the "
            'class: @keras.saving.register_keras_serializable(package="...")'
        )
    return seen


def _classes(config: Any) -> Iterator[dict[str, str]]:
    """Yield module, class and registered name of each object that is not Keras's."""
    if isinstance(config, dict):
        if {"class_name", "module"} <= config.keys():
            module = config["module"] or "__main__"  # which Keras leaves out
            name = config["class_name"]
            registered = config.get("registered_name") or name
            if module.partition(".")[0] not in ("keras", "builtins"):
                yield {
                    "module": module,
                    "class_name": name,
                    "registered_name": registered,
                }
        config = list(config.values())
    if isinstance(config, list | tuple):
        for entry in config:
            yield from _classes(entry)


def _importable(entry: dict[str, str]) -> bool:
    module = sys.modules.get(entry["module"])
    return entry["module"] != "__main__" and hasattr(module, entry["class_name"])


def _here(
    path: Path, x: list[np.ndarray], classes: list[dict[str, str]], cell_class: type
) -> tuple[list[np.ndarray], list[str]]:
    known = keras.saving.get_registered_object
    unregistered = [e for e in classes if known(e["registered_name"]) is None]
    objects = {
        entry["class_name"]: getattr(
            sys.modules.get(entry["module"]), entry["class_name"], cell_class
        )
        for entry in unregistered
    }
    model = keras.models.load_model(path, custom_objects=objects)
    return to_arrays(model(x)), list(objects)


def _elsewhere(
    path: Path, x: list[np.ndarray], classes: list[dict[str, str]]
) -> tuple[list[np.ndarray], list[str]]:
    folder = path.parent
    for k, array in enumerate(x):
        np.save(folder / f"x{k}.npy", array)
    (folder / "classes.json").write_text(json.dumps(classes), "utf-8")
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": os.pathsep.join(str(Path(place).resolve()) for place in sys.path),
    }
    process = subprocess.run(
        [sys.executable, "-P", reload.__file__, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if process.returncode:
        raise ContractViolation(
            "a fresh process to load the model", _what_ended(folder, process.stderr)
        )
    unregistered = json.loads((folder / "unregistered.json").read_text("utf-8"))
    made = sorted(folder.glob("y*.npy"), key=lambda path: int(path.stem[1:]))
    return [np.load(path, allow_pickle=False) for path in made], unregistered


def _what_ended(folder: Path, printed: str) -> str:
    """Return the error that ended the fresh process, or else its last line."""
    record = folder / "error.json"
    if record.exists():
        name, text = json.loads(record.read_text("utf-8"))
        return f"{name}: {without_frames(text)}"
    last = printed.strip().splitlines()[-1:]
    return last[0] if last else "it ended without a message"
