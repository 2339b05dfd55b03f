"""The picture of what a cell state knows of the running total."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import shaped
from custom_lstm.plots.lines import against_truth
from custom_lstm.plots.style import WIDTH, Picture, Theme, themed

_SHOWN = 4  # sequences drawn over time


def readout(
    cells: ArrayLike,
    totals: ArrayLike,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how well one linear function of the cell state tells the running total.

    The read-out is the best one in the sense of least squares,

        w, b = argmin Σ (c_t·w + b − y_t)²    over the steps of every other sequence,

    and is drawn for the sequences between, which it was not fitted to: all their
    steps on the left, with R² = 1 − Σ(ŷ − y)² / Σ(y − ȳ)², and on the right the
    first few of them over time.

    Args:
        cells: cell states `(n, time, units)`, as `custom_lstm.trace` gives them.
        totals: true totals `(n, time)`.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes do not go together, or half of the sequences have
            no more steps than there are units.

    Source: linear probes: Alain and Bengio, 2016, https://arxiv.org/abs/1610.01644.

    Example:
        >>> totals = np.arange(24.0).reshape(12, 2)
        >>> figure = readout(totals[..., None] * [2, -1], totals)
        >>> figure.axes[0].get_title("right")
        '$R^2$ = 1.000'
    """
    c = shaped("cells", cells, ("n", "time", "units")).astype(float)
    y = shaped("totals", totals, c.shape[:2]).astype(float)
    fitted, drawn = slice(0, None, 2), slice(1, None, 2)
    if y[drawn].size <= c.shape[-1]:
        raise ValueError(
            "cells must have more steps in half of the sequences than units, got "
            f"{y[drawn].size} steps, {c.shape[-1]} units"
        )
    c = np.append(c, np.ones((*y.shape, 1)), axis=-1)
    weights = np.linalg.lstsq(c[fitted].reshape(y[fitted].size, -1), y[fitted].ravel())
    true, read = y[drawn], c[drawn] @ weights[0]
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 5.6), layout="constrained")
        figure.suptitle(title or "")
        left, right = figure.subfigures(1, 2, squeeze=False)[0]
        _scatter(left.subplots(), true.ravel(), read.ravel(), theme)
        shown = min(len(true), _SHOWN)
        rows = -(-shown // 2)
        panels = right.subplots(
            rows, min(shown, 2), squeeze=False, sharex=True, sharey=True
        )
        for axes, says, seen in zip(panels.flat, true, read, strict=False):
            _over_time(axes, says, seen, theme)
        for axes in panels[-1]:
            axes.set_xlabel("position")
        panels[0, 0].legend(loc="best", fontsize="small")
        right.suptitle("sequences that it was not fitted to", size="medium")
    return figure


def _scatter(
    axes: Axes, true: NDArray[np.float64], read: NDArray[np.float64], theme: Theme
) -> None:
    """Draw what was read against what is true, every step a point."""
    ends = np.array([true.min(), true.max()])
    axes.plot(ends, ends, "--", color=theme.muted)
    axes.plot(true, read, "o", color=theme.model, alpha=0.35, ms=6, mec="none")
    rest = np.square(read - true).sum() / (np.square(true - true.mean()).sum() or 1)
    axes.set_title("one linear function of $c_t$")
    axes.set_title(f"$R^2$ = {1 - rest:.3f}", loc="right", color=theme.model)
    axes.set_xlabel("true running total $y_t$")
    axes.set_ylabel("read from $c_t$")


def _over_time(
    axes: Axes, true: NDArray[np.float64], read: NDArray[np.float64], theme: Theme
) -> None:
    """Draw one sequence's totals, true and read, position by position."""
    against_truth(axes, true, read, theme, label="read")
    axes.margins(0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
