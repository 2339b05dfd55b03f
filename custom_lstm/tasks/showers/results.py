"""What is made of trained networks: scores, arrays and pictures."""

import keras
import numpy as np

from custom_lstm import plots
from custom_lstm.files import atomic_write
from custom_lstm.loading import load_model
from custom_lstm.tasks.showers import detector, scoring
from custom_lstm.tasks.showers.fitting import Sets
from custom_lstm.tasks.showers.generator import KINDS
from custom_lstm.tasks.showers.options import Options
from custom_lstm.tasks.showers.saliency import saliency
from custom_lstm.tasks.showers.scoring import Values
from custom_lstm.tasks.showers.streams import evaluation_batches
from custom_lstm.training.runs import RunFolder, write_json

SUMS, BLIND = "sum, kind known", "blind"
"""Rows of the table that need no network."""
_SHOWN = 4


def finish(options: Options, folder: RunFolder, sets: Sets) -> None:
    """Score the networks that have been trained, and draw what the first one sees.

    Writes scores.json, results.npz, showers.png and saliency.png, and prints a table.

    Args:
        options: `models` says which networks there are.
        folder: the run's; each network's `model.keras` lies in a folder of its name.
        sets: the files of showers.
    """
    truth, sums = scoring.look(sets["test"])
    training = scoring.look(sets["train"])
    models: dict[str, keras.Model] = {
        name: load_model(folder.part(name).model)
        for name in options.model.models
        if folder.part(name).model.is_file()
    }
    said = {name: scoring.answer(model, sets["test"]) for name, model in models.items()}
    said[SUMS] = scoring.by_sums(truth, sums, scoring.calibrate(*training))
    said[BLIND] = scoring.blind(training[0], len(truth["energy"]))
    scores = {name: scoring.score(values, truth) for name, values in said.items()}
    write_json(folder.scores, scores)
    first, model = next(iter(models.items()))
    slices = saliency(model, sets["test"])
    _save(folder, {"truth": truth, **said, f"saliency_{first}": slices})
    _draw(folder, sets, truth, first, said[first], slices)
    print(f"\n{scoring.table(scores)}")


def _save(folder: RunFolder, parts: dict[str, Values]) -> None:
    """Write results.npz: `truth/energy`, `lstm/energy`, `saliency_lstm/energy`, …"""
    with (
        atomic_write(folder.path / "results.npz") as temporary,
        temporary.open("wb") as f,
    ):
        arrays = {
            f"{name}/{key}": values
            for name, part in parts.items()
            for key, values in part.items()
        }
        np.savez_compressed(f, allow_pickle=False, **arrays)


def _draw(
    folder: RunFolder,
    sets: Sets,
    truth: Values,
    name: str,
    said: Values,
    slices: Values,
) -> None:
    """Draw the first showers of either kind, and the saliency of one network."""
    images, _ = next(evaluation_batches(sets["test"]).as_numpy_iterator())
    kinds = truth["kind"][: len(images)]
    chosen = [
        int(k)
        for kind in range(len(KINDS))
        for k in np.flatnonzero(kinds == kind)[: _SHOWN // len(KINDS)]
    ]
    figure = plots.showers(
        detector.STEP * images[chosen],
        {key: values[chosen] for key, values in truth.items()},
        {key: values[chosen] for key, values in said.items()},
        KINDS,
        cell=detector.CELL,
        pitch=detector.PITCH,
        title=f"The first test showers of either kind, as {name} reads them",
    )
    plots.save(figure, folder.picture("showers"))
    title = f"What each answer of {name} hangs on: share of each slice"
    plots.save(plots.saliency(slices, KINDS, title), folder.picture("saliency"))
