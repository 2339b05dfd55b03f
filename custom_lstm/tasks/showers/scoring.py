"""How well networks, and what needs no network, read the showers."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from custom_lstm.tasks.showers import detector
from custom_lstm.tasks.showers.generator import KINDS
from custom_lstm.tasks.showers.records import TARGETS, Shard
from custom_lstm.tasks.showers.streams import evaluation_batches

Values = dict[str, npt.NDArray[np.float64]]
"""Energy, x, y, z and kind of showers by name, `(showers,)` each."""

SIZES = {"x": detector.WIDTH, "y": detector.WIDTH, "z": detector.DEPTH}
"""What errors of x, y and z are per cent of, in cm."""
_DEGREE = 3


def answer(model: keras.Model, shards: Sequence[Shard]) -> Values:
    """Return what a network says of all showers in the files."""
    said = model.predict(evaluation_batches(shards), verbose=0)
    return {name: np.asarray(said[name], np.float64)[:, 0] for name in TARGETS}


def look(shards: Sequence[Shard]) -> tuple[Values, Values]:
    """Return the truth, and what simple sums over the cells say, of all showers.

    The sums are `sum`, the energy of all cells in GeV, and `x` and `y`, their centre
    of gravity in cm.
    """
    middle = (np.arange(detector.CELLS) + 0.5) * detector.CELL - detector.WIDTH / 2
    truth: dict[str, list] = {name: [] for name in TARGETS}
    sums: dict[str, list] = {"sum": [], "x": [], "y": []}
    for images, batch in evaluation_batches(shards).as_numpy_iterator():
        for name, values in batch.items():
            truth[name].append(values[:, 0])
        total = images.sum((1, 2, 3), np.float64)
        some = np.maximum(total, 1.0)
        sums["sum"].append(detector.STEP * total)
        sums["x"].append(images.sum((2, 3)) @ middle / some)
        sums["y"].append(images.sum((1, 3)) @ middle / some)
    return _joined(truth), _joined(sums)


def _joined(parts: dict[str, list]) -> Values:
    return {k: np.concatenate(v).astype(np.float64) for k, v in parts.items()}


def calibrate(truth: Values, sums: Values) -> npt.NDArray[np.float64]:
    """Fit ln E = polynomial in ln(sum of cells), for each kind of its own.

    Args:
        truth, sums: of training showers; see `look`.

    Returns:
        Coefficients `(kinds, 4)`, highest power first.
    """
    return np.stack(
        [
            np.polyfit(_log(sums["sum"][of]), np.log(truth["energy"][of]), _DEGREE)
            for of in (truth["kind"] == kind for kind in range(len(KINDS)))
        ]
    )


def by_sums(truth: Values, sums: Values, coefficients: npt.ArrayLike) -> Values:
    """Answer by the sum of all cells, kind given, and by their centre of gravity.

    This is the resolution that the best estimate from the sum alone reaches: what a
    network gets beyond it, it owes to the shape of the shower.

    Args:
        truth: only its `kind` is used.
        sums: of the same showers.
        coefficients: made by `calibrate`.
    """
    of_kind = np.asarray(coefficients)[truth["kind"].astype(int)]
    powers = _log(sums["sum"])[:, None] ** np.arange(_DEGREE, -1, -1)
    return {
        "energy": np.exp((of_kind * powers).sum(1)),
        **{axis: sums[axis] for axis in "xy"},
    }


def blind(training: Values, count: int) -> Values:
    """Answer without looking: the median of each value, and the more frequent kind."""
    return {name: np.full(count, np.median(training[name])) for name in TARGETS}


def _log(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.log(np.maximum(values, detector.THRESHOLD))


def score(said: Mapping[str, npt.ArrayLike], truth: Values) -> dict[str, Any]:
    """Score answers against the truth.

    Args:
        said: energy, x, y, z and P(hadronic) by name; what is missing is not scored.
        truth: of the same showers.

    Returns:
        Mean errors in per cent: `energy` of the true energy, for all showers and by
        kind; `x`, `y`, `z` of the detector's size. `x_cm`, `y_cm`, `z_cm`, the same
        in cm. `kind`, the per cent that are told right. `showers`, how many.

    Example:

    >>> truth = {"energy": np.array([100.0, 50.0]), "kind": np.array([0.0, 1.0])}
    >>> scores = score({"energy": [90.0, 51.0], "kind": [0.2, 0.4]}, truth)
    >>> {name: round(value, 6) for name, value in scores.items()}
    {'energy': 6.0, 'energy_electromagnetic': 10.0, 'energy_hadronic': 2.0,
     'kind': 50.0, 'showers': 2}
    """
    scores: dict[str, Any] = {}
    if "energy" in said:
        errors = 100 * np.abs(np.asarray(said["energy"]) / truth["energy"] - 1)
        scores["energy"] = float(errors.mean())
        for number, kind in enumerate(KINDS):
            of_kind = errors[truth["kind"] == number]
            scores[f"energy_{kind}"] = float(of_kind.mean()) if len(of_kind) else None
    for axis in [axis for axis in "xyz" if axis in said]:
        away = float(np.abs(np.asarray(said[axis]) - truth[axis]).mean())
        scores[axis], scores[f"{axis}_cm"] = 100 * away / SIZES[axis], away
    if "kind" in said:
        right = (np.asarray(said["kind"]) > 0.5) == (truth["kind"] == 1)
        scores["kind"] = float(100 * right.mean())
    return {**scores, "showers": len(truth["kind"])}


def table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Set scores as text, at most 80 columns wide.

    Args:
        scores: what `score` returns, by the name of what was scored.

    Example:

    >>> print(table({"sum of cells": {"energy": 3.5, "showers": 10}}).splitlines()[-1])
    sum of cells           3.50      –      –      –      –      –      –
    """
    columns = {
        "all": ("energy", 2),
        "e.m.": ("energy_electromagnetic", 2),
        "hadr.": ("energy_hadronic", 2),
        "x": ("x", 2),
        "y": ("y", 2),
        "z": ("z", 2),
        "kind": ("kind", 2),
    }

    def row(name, cells):
        return f"{name:<20}" + "".join(f"{cell:>7}" for cell in cells)

    def cell(part, name, digits):
        return "–" if part.get(name) is None else f"{part[name]:.{digits}f}"

    count = next(iter(scores.values()))["showers"]
    return "\n".join(
        [
            f"{count} test showers. Mean errors: of the energy in % of the true one, "
            "of x and y in %",
            f"of the detector's width, {detector.WIDTH:g} cm, of z in % of its depth, "
            f"{detector.DEPTH:g} cm; kind in % right.",
            row("", ["", "energy", "", "", "", "", ""]),
            row("", columns),
            *(
                row(name, (cell(part, *column) for column in columns.values()))
                for name, part in scores.items()
            ),
        ]
    )
