"""Trained networks on the test showers: scores, saliency, files, pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from custom_lstm import plots
from custom_lstm.files import atomic_write
from custom_lstm.tasks.showers.data import TARGETS, Sets, Shard, evaluation_batches
from custom_lstm.tasks.showers.simulation import (
    CELL_SIZE,
    CELLS,
    DEPTH,
    ENERGY_PER_COUNT,
    KINDS,
    LAYER_PITCH,
    THRESHOLD,
    WIDTH,
)
from custom_lstm.tasks.tables import text_table
from custom_lstm.training.run_folder import RunFolder

Values = dict[str, npt.NDArray[np.float64]]
"""Energy, x, y, z and kind of showers by name, `(showers,)` each."""

SIZES = {"x": WIDTH, "y": WIDTH, "z": DEPTH}
"""What errors of x, y and z are per cent of, in cm."""
SUMS, BLIND = "sum, kind known", "blind"
"""Rows of the table that need no network."""
_DEGREE = 3
_SHOWN = 4


def evaluate(
    models: Mapping[str, keras.Model], sets: Sets
) -> tuple[dict[str, Any], dict[str, Values]]:
    """Score networks on the test showers, beside what needs no network.

    Args:
        models: networks by name.
        sets: the files of showers.

    Returns:
        Scores of each network, of the sum of cells, and of predictions without the
        images; and arrays by name: the truth, all predictions, and the saliency of the
        first network.
    """
    truth, sums = truth_and_sums(sets["test"])
    training = truth_and_sums(sets["train"])
    predictions = {name: predict(model, sets["test"]) for name, model in models.items()}
    predictions[SUMS] = predict_from_sums(truth, sums, calibrate(*training))
    predictions[BLIND] = predict_blindly(training[0], len(truth["energy"]))
    scores = {name: score(values, truth) for name, values in predictions.items()}
    first, model = next(iter(models.items()))
    slices = saliency(model, sets["test"])
    return scores, {"truth": truth, **predictions, f"saliency_{first}": slices}


def predict(model: keras.Model, shards: Sequence[Shard]) -> Values:
    """Return what a network predicts for all showers in the files."""
    predicted = model.predict(evaluation_batches(shards), verbose=0)
    return {name: np.asarray(predicted[name], np.float64)[:, 0] for name in TARGETS}


def truth_and_sums(shards: Sequence[Shard]) -> tuple[Values, Values]:
    """Return the truth about all showers, and simple sums over their cells.

    The sums are `sum`, the energy of all cells in GeV, and `x` and `y`, their centre
    of gravity in cm.
    """
    middle = (np.arange(CELLS) + 0.5) * CELL_SIZE - WIDTH / 2
    truth: dict[str, list] = {name: [] for name in TARGETS}
    sums: dict[str, list] = {"sum": [], "x": [], "y": []}
    for images, batch in evaluation_batches(shards).as_numpy_iterator():
        for name, values in batch.items():
            truth[name].append(values[:, 0])
        total = images.sum((1, 2, 3), np.float64)
        some = np.maximum(total, 1.0)
        sums["sum"].append(ENERGY_PER_COUNT * total)
        sums["x"].append(images.sum((2, 3)) @ middle / some)
        sums["y"].append(images.sum((1, 3)) @ middle / some)
    return _joined(truth), _joined(sums)


def calibrate(truth: Values, sums: Values) -> npt.NDArray[np.float64]:
    """Fit ln E = polynomial in ln(sum of cells) of training showers.

    Returns:
        Coefficients `(kinds, 4)`, highest power first.
    """
    return np.stack(
        [
            np.polyfit(_log(sums["sum"][of]), np.log(truth["energy"][of]), _DEGREE)
            for of in (truth["kind"] == kind for kind in range(len(KINDS)))
        ]
    )


def predict_from_sums(
    truth: Values, sums: Values, coefficients: npt.ArrayLike
) -> Values:
    """Predict from the sum of all cells, kind given, and from their centre of gravity.

    This is the resolution that the best estimate from the sum alone reaches: what a
    network reaches beyond it comes from the shape of the shower.
    """
    of_kind = np.asarray(coefficients)[truth["kind"].astype(int)]
    powers = _log(sums["sum"])[:, None] ** np.arange(_DEGREE, -1, -1)
    return {
        "energy": np.exp((of_kind * powers).sum(1)),
        **{axis: sums[axis] for axis in "xy"},
    }


def predict_blindly(training: Values, count: int) -> Values:
    """Predict without the images: each value's median, and the more frequent kind."""
    return {name: np.full(count, np.median(training[name])) for name in TARGETS}


def score(predicted: Mapping[str, npt.ArrayLike], truth: Values) -> dict[str, Any]:
    """Score predictions against the truth.

    Args:
        predicted: energy, x, y, z and P(hadronic) by name; only these are scored.
        truth: of the same showers.

    Returns:
        Mean errors in per cent: `energy` of the true energy, for all showers and by
        kind; `x`, `y`, `z` of the detector's size. `x_cm`, `y_cm`, `z_cm`, the same
        in cm. `kind`, the per cent of right answers. `showers`, their number.

    Example:
        >>> truth = {"energy": np.array([100.0, 50.0]), "kind": np.array([0.0, 1.0])}
        >>> scores = score({"energy": [90.0, 51.0], "kind": [0.2, 0.4]}, truth)
        >>> {name: round(value, 6) for name, value in scores.items()}
        {'energy': 6.0, 'energy_electromagnetic': 10.0, 'energy_hadronic': 2.0,
         'kind': 50.0, 'showers': 2}
    """
    scores: dict[str, Any] = {}
    if "energy" in predicted:
        errors = 100 * np.abs(np.asarray(predicted["energy"]) / truth["energy"] - 1)
        scores["energy"] = float(errors.mean())
        for number, kind in enumerate(KINDS):
            of_kind = errors[truth["kind"] == number]
            scores[f"energy_{kind}"] = float(of_kind.mean()) if len(of_kind) else None
    for axis in [axis for axis in "xyz" if axis in predicted]:
        away = float(np.abs(np.asarray(predicted[axis]) - truth[axis]).mean())
        scores[axis], scores[f"{axis}_cm"] = 100 * away / SIZES[axis], away
    if "kind" in predicted:
        right = (np.asarray(predicted["kind"]) > 0.5) == (truth["kind"] == 1)
        scores["kind"] = float(100 * right.mean())
    return {**scores, "showers": len(truth["kind"])}


def score_table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Return scores, by the name of what was scored, as text of at most 80 columns.

    Example:
        >>> scores = {"sum of cells": {"energy": 3.5, "showers": 10}}
        >>> print(score_table(scores).splitlines()[-1])
        sum of cells    3.50     –      –  –  –  –     –
    """
    columns = {
        "energy": "energy",
        "e.m.": "energy_electromagnetic",
        "hadr.": "energy_hadronic",
        **{axis: axis for axis in "xyz"},
        "kind": "kind",
    }

    def cell(part, name):
        value = part.get(columns[name])
        return "–" if value is None else f"{value:.2f}"

    rows = [(name, *(cell(part, c) for c in columns)) for name, part in scores.items()]
    count = next(iter(scores.values()))["showers"]
    return (
        f"{count} test showers. Mean errors: of the energy in % of the true one, of x\n"
        f"and y in % of the detector's width, {WIDTH:g} cm, of z in % of its depth, "
        f"{DEPTH:g} cm;\nkind in % right. e.m. and hadr.: energy, by kind.\n"
        + text_table(("", *columns), rows)
    )


def saliency(
    model: keras.Model, shards: Sequence[Shard], batches: int = 2
) -> dict[str, npt.NDArray[np.float64]]:
    """Return how much each answer depends on each slice.

    For output a and counts I, the mean over showers of Σ_xy |∂a/∂I(x, y, slice)|.

    Args:
        model: made by `build_network`.
        shards: the showers.
        batches: number of batches to use.

    Returns:
        By name of the output, `(kinds, slices)`; and under `deposit` the mean counts
        in each slice.
    """
    names = [*TARGETS, "deposit"]
    found: dict[str, list] = {name: [] for name in names}
    kinds = []
    for images, truth in evaluation_batches(shards).take(batches):
        kinds.append(truth["kind"].numpy()[:, 0])
        found["deposit"].append(tf.reduce_sum(images, (1, 2)).numpy())
        for name, sizes in gradient_sizes(model, images).items():
            found[name].append(tf.reduce_sum(sizes, (1, 2)).numpy())
    of_kind = np.eye(len(KINDS))[np.concatenate(kinds).astype(int)].T
    counts = np.maximum(of_kind.sum(1, keepdims=True), 1)
    return {name: of_kind @ np.concatenate(found[name]) / counts for name in names}


@tf.function(reduce_retracing=True)
def gradient_sizes(model: keras.Model, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return |∂a/∂I| of each answer a and shower, by the answer's name, `(batch, …)`.

    The images hold counts I, `(batch, x, y, layers)`.
    """
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        predicted = model(images, training=False)
        sums = {name: tf.reduce_sum(predicted[name]) for name in TARGETS}
    return {name: tf.abs(tape.gradient(total, images)) for name, total in sums.items()}


def save_results(path: Path, results: Mapping[str, Values]) -> None:
    """Write arrays to one `.npz`: `truth/energy`, `lstm/energy`, `saliency_lstm/x`."""
    arrays: dict[str, Any] = {
        f"{name}/{key}": values
        for name, part in results.items()
        for key, values in part.items()
    }
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def draw(
    folder: RunFolder,
    shards: Sequence[Shard],
    name: str,
    results: Mapping[str, Values],
) -> None:
    """Draw the first showers of either kind, and the saliency of network `name`."""
    truth, answers = results["truth"], results[name]
    images, _ = next(evaluation_batches(shards).as_numpy_iterator())
    kinds = truth["kind"][: len(images)]
    chosen = np.concatenate(
        [np.flatnonzero(kinds == kind)[: _SHOWN // 2] for kind in range(len(KINDS))]
    )
    figure = plots.showers(
        ENERGY_PER_COUNT * images[chosen],
        {key: values[chosen] for key, values in truth.items()},
        {key: values[chosen] for key, values in answers.items()},
        KINDS,
        cell=CELL_SIZE,
        pitch=LAYER_PITCH,
        title=f"The first test showers of either kind, as {name} reads them",
    )
    plots.save(figure, folder.picture("showers"))
    title = f"What each answer of {name} depends on: share of each slice"
    slices = results[f"saliency_{name}"]
    plots.save(plots.saliency(slices, KINDS, title), folder.picture("saliency"))


def _joined(parts: dict[str, list]) -> Values:
    return {k: np.concatenate(v).astype(np.float64) for k, v in parts.items()}


def _log(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.log(np.maximum(values, THRESHOLD))
