"""The measurements as text and as a picture."""

from functools import partial
from pathlib import Path

from timing import OURS, geometric_mean

WIDTH = 34
DRAWN = "keras.layers.LSTM", "torch.nn.LSTM"
KINDS = {"train": "training", "infer": "inference"}
LONGEST = "one long sequence"
"""The shape that has a row of its own in means."""


def text(part: str, found: dict) -> str:
    """Return the lines that a person reads."""
    writer = {
        "layer": _layer,
        "cells": _cells,
        "scans": _scans,
        "exported": _scans,
        "first": _scans,
        "job": _job,
        "determinism": partial(_job, what="20 steps, their data included"),
        "time-distributed": _time_distributed,
        "learning": _learning,
    }
    lines = writer.get(part, _plain)(found)
    return "\n".join([f"\n{part}", *lines])


def _candidate(name: str, row: dict) -> str:
    low, high = row["speedup_quartiles"]
    return (
        f"  {name:{WIDTH}s} {row['ms']:9.2f} ms   speedup {row['speedup']:6.2f} × "
        f"({low:.2f} to {high:.2f}; {row['runs']} runs)"
    )


def _layer(found: dict) -> list[str]:
    lines: list[str] = []
    for name, result in found.items():
        lines.append(f" {name} {tuple(result['shape'])}, kernel {result['kernel']}")
        rows = result["candidates"].items()
        lines += [_candidate(other, row) for other, row in rows]
    for kind, speedups in speedups_by_kind(found).items():
        for other, values in speedups.items():
            lines.append(
                f" {kind}: speedup over {other} {geometric_mean(values):.2f} × "
                f"(geometric mean of {len(values)} shapes; least {min(values):.2f})"
            )
    return lines


def _scans(found: dict) -> list[str]:
    lines: list[str] = []
    for name, result in found.items():
        lines.append(f" {name} {tuple(result['shape'])}, {result['kernel']}")
        rows = result["candidates"].items()
        lines += [_candidate(other, row) for other, row in rows]
    return lines


def _cells(found: dict) -> list[str]:
    """A line for each cell: over each other, the mean of all shapes but the longest."""
    lines = []
    for kind in ("train", "infer"):
        cells: dict[str, dict[str, dict[str, dict]]] = {}
        for name, result in found.items():
            cell, _, rest = name.partition("; ")
            shape, _, its = rest.rpartition(", ")
            if its == kind:
                for other, row in result["candidates"].items():
                    if other != OURS:
                        rows = cells.setdefault(cell, {}).setdefault(other, {})
                        rows[shape] = row
        for cell, others in cells.items():
            lines.append(f" {cell}, {kind}")
            lines += [
                f"  {name:{WIDTH}s} {_means(rows)}" for name, rows in others.items()
            ]
    return lines


def _means(rows: dict[str, dict]) -> str:
    """The mean without the longest sequence, and every shape with its quartiles."""
    shares = {shape: row["speedup"] for shape, row in rows.items()}
    most = [value for shape, value in shares.items() if shape != LONGEST]
    mean = f"{geometric_mean(most):.2f} × (least {min(most):.2f})" if most else ""
    each = "; ".join(
        f"{shape} {row['speedup']:.2f} ({low:.2f} to {high:.2f})"
        for shape, row in rows.items()
        for low, high in [row["speedup_quartiles"]]
    )
    return f"{mean}: {each}"


def speedups_by_kind(found: dict) -> dict[str, dict[str, list[float]]]:
    """Return the speedup over every other at all shapes but the longest, by kind."""
    speedups: dict[str, dict[str, list[float]]] = {}
    for name, result in found.items():
        shape, _, its = name.rpartition(", ")
        if shape == LONGEST:
            continue  # one shape would carry the mean
        kind = speedups.setdefault(its, {})
        for other, row in result["candidates"].items():
            if other != OURS:
                kind.setdefault(other, []).append(row["speedup"])
    return speedups


def _job(found: dict, what: str = "64 sequences a step") -> list[str]:
    lines = []
    for name, candidates in found.items():
        lines.append(f" {name}, {what}")
        lines += [_candidate(other, row) for other, row in candidates.items()]
    return lines


def _time_distributed(found: dict) -> list[str]:
    lines = []
    for name, candidates in found.items():
        lines.append(f" {name}, 32 sequences")
        lines += [
            f"{_candidate(other, row)}, {row['nodes']} nodes"
            for other, row in candidates.items()
        ]
    return lines


def _learning(found: dict) -> list[str]:
    return [
        f"  {name:{WIDTH}s} {row['seconds']:6.1f} s in {row['epochs']} epochs"
        f"{'' if row['reached'] else ', not reached'}, speedup {row['speedup']:.2f} ×"
        f"; exact {' '.join(f'{100 * exact:.1f}' for exact in row['exact'])} %"
        for name, row in found.items()
    ]


def _plain(found: dict) -> list[str]:
    def words(value):
        if isinstance(value, dict):
            return ", ".join(f"{name} {words(inner)}" for name, inner in value.items())
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"

    return [f"  {name:{WIDTH}s} {words(value)}" for name, value in found.items()]


def draw(found: dict, path: Path) -> None:
    """Draw the layer's times, means of the shapes from the least to the most."""
    from custom_lstm import plots

    bars = {OURS: (1.0, 1.0, 1.0)}
    for kind, speedups in speedups_by_kind(found.get("layer", {})).items():
        for other in DRAWN:
            values = speedups.get(other)
            if values:
                spread = min(values), geometric_mean(values), max(values)
                bars[f"{other}, {KINDS[kind]}"] = spread
                title = f"LSTM, mean of {len(values)} shapes, from least to most"
    if len(bars) > 1:
        plots.save(plots.bars({title: bars}, OURS), path)
