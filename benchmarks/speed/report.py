"""What was measured, as text and as a picture."""

from functools import partial
from pathlib import Path

from timing import geometric_mean

WIDTH = 34


def text(part: str, found: dict) -> str:
    """Return the lines that a person reads."""
    writer = {
        "layer": _layer,
        "job": _job,
        "determinism": partial(_job, what="20 steps, their data included"),
        "time-distributed": _time_distributed,
    }
    lines = writer.get(part, _plain)(found)
    return "\n".join([f"\n{part}", *lines])


def _candidate(name: str, row: dict) -> str:
    low, high = row["times_ours_quartiles"]
    return (
        f"  {name:{WIDTH}s} {row['ms']:9.2f} ms   {row['times_ours']:6.2f} × ours "
        f"({low:.2f} to {high:.2f}; {row['runs']} runs)"
    )


def _layer(found: dict) -> list[str]:
    lines: list[str] = []
    for name, result in found.items():
        lines.append(f" {name} {tuple(result['shape'])}, kernel {result['kernel']}")
        rows = result["candidates"].items()
        lines += [_candidate(other, row) for other, row in rows]
    for kind, ratios in ratios_by_kind(found).items():
        for other, values in ratios.items():
            lines.append(
                f" {kind}: {other} takes {geometric_mean(values):.2f} × our time "
                f"(geometric mean of {len(values)} shapes; least {min(values):.2f})"
            )
    return lines


def ratios_by_kind(found: dict) -> dict[str, dict[str, list[float]]]:
    """Return every other's times-ours over the shapes, for train and infer."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for name, result in found.items():
        kind = ratios.setdefault(name.rpartition(", ")[2], {})
        for other, row in result["candidates"].items():
            if other != "ours":
                kind.setdefault(other, []).append(row["times_ours"])
    return ratios


def _job(found: dict, what: str = "64 sequences a step") -> list[str]:
    lines = []
    for name, candidates in found.items():
        lines.append(f" {name}, {what}")
        lines += [_candidate(other, row) for other, row in candidates.items()]
    return lines


def _time_distributed(found: dict) -> list[str]:
    return [
        f"  {length:>4s} steps: Keras's takes {row['times_ours'][1]:.2f} × our time "
        f"({row['times_ours'][0]:.2f} to {row['times_ours'][2]:.2f}); graph nodes "
        + ", ".join(f"{name} {count}" for name, count in row["nodes"].items())
        for length, row in found.items()
    ]


def _plain(found: dict) -> list[str]:
    def said(value):
        if isinstance(value, dict):
            return ", ".join(f"{name} {said(inner)}" for name, inner in value.items())
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"

    return [f"  {name:{WIDTH}s} {said(value)}" for name, value in found.items()]


def draw(found: dict, path: Path) -> None:
    """Draw the ratios of the layer and of the main job's step as bars."""
    from matplotlib.figure import Figure

    panels = {
        name: {o: row["times_ours"] for o, row in candidates.items()}
        for name, candidates in {
            **{k: v["candidates"] for k, v in found.get("layer", {}).items()},
            **{f"main job, {k}": v for k, v in found.get("job", {}).items()},
        }.items()
    }
    if not panels:
        return
    columns = 2
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(12, 1.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, ratios) in zip(grid.flat, panels.items(), strict=False):
        names = list(ratios)[::-1]
        values = [ratios[name] for name in names]
        colours = ["#0072B2" if name == "ours" else "#999999" for name in names]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(0, 1.15 * max(values))
        axes.set_title(title, fontsize=11, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("time, as a multiple of ours")
    figure.savefig(path, dpi=110)
