"""Load a model in a fresh process; run as a script, with a folder.

The folder holds `model.keras`, the inputs `x0.npy` and so on, and `classes.json`: which
modules to import, and which classes in them the model needs. The outputs go to `y0.npy`
and so on, and the names of classes that had to be given as `custom_objects` to
`unregistered.json`.
"""

import importlib
import json
import sys
from pathlib import Path

import keras
import numpy as np


def main(folder: Path) -> None:
    """Load, run and write."""
    entries = json.loads((folder / "classes.json").read_text("utf-8"))
    modules = [importlib.import_module(entry["module"]) for entry in entries]
    objects = {
        entry["class_name"]: getattr(module, entry["class_name"])
        for entry, module in zip(entries, modules, strict=True)
        if keras.saving.get_registered_object(entry["registered_name"]) is None
    }
    model = keras.models.load_model(folder / "model.keras", custom_objects=objects)
    given = sorted(folder.glob("x*.npy"), key=lambda path: int(path.stem[1:]))
    outputs = model([np.load(path, allow_pickle=False) for path in given])
    for k, output in enumerate(keras.tree.flatten(outputs)):
        np.save(folder / f"y{k}.npy", keras.ops.convert_to_numpy(output))
    (folder / "unregistered.json").write_text(json.dumps(sorted(objects)), "utf-8")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    try:
        main(place)
    except Exception as error:  # for the process that started this one
        what = [type(error).__name__, str(error)]
        (place / "error.json").write_text(json.dumps(what), "utf-8")
        raise
