"""Lines over steps that are counted from 1, and the axes that suit them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from custom_lstm.plots.style import Theme

HALF = 0.5  # fractions that all lie above it are shown on a shortened axis
_FEW = 30  # points that may each have a marker


def line(
    axes: Axes,
    values: NDArray[np.float64],
    label: str,
    colour: str,
    stroke: str,
    marker: str,
) -> Line2D:
    """Draw one value per step, counted from 1, the step axis running over them."""
    (drawn,) = axes.plot(
        1 + np.arange(len(values)),
        values,
        label=label,
        color=colour,
        linestyle=stroke,
        marker=marker,
        markevery=_every(values),
    )
    count_steps(axes, len(values))
    return drawn


def against_truth(
    axes: Axes,
    true: NDArray[np.float64],
    said: NDArray[np.float64],
    theme: Theme,
    first: int = 1,
    label: str = "predicted",
) -> None:
    """Draw true values as hollow squares and what was said of them as dots in these.

    Args:
        axes: where; its limits are left alone.
        true: `(time,)`.
        said: `(time,)`.
        theme: gives the colours.
        first: the first step's number.
        label: what stands in the legend for what was said.
    """
    steps = first + np.arange(len(true))
    both: dict[str, Any] = {"markevery": _every(true), "clip_on": False}
    hollow: dict[str, Any] = {"ms": 11, "mfc": "none", "mec": theme.muted, "mew": 2}
    axes.plot(steps, true, "s--", color=theme.muted, label="true", **hollow, **both)
    axes.plot(steps, said, "o-", color=theme.model, label=label, ms=7, **both)


def count_steps(axes: Axes, steps: int) -> None:
    """Let the axis run over steps that are counted from 1."""
    axes.set_xlim(0.5, steps + 0.5)
    axes.xaxis.set_major_locator(
        MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True, min_n_ticks=1)
    )


def percent(axes: Axes, values: NDArray[np.float64]) -> None:
    """Show fractions as percentages, from 0 or from a little below the lowest."""
    low = np.nanmin(values, initial=1)
    room = max(1 - low, 0.005)
    axes.set_ylim(0 if low < HALF else low - 0.25 * room, 1 + 0.06 * room)
    axes.yaxis.set_major_formatter(FuncFormatter(share))


def plain(value: float, _: int | None = None) -> str:
    """A tick's value without needless zeros.

    Example:
        >>> plain(0.5), plain(2.0)
        ('0.5', '2')
    """
    return f"{value:.6g}"


def share(value: float, _: int | None = None) -> str:
    """A fraction as a percentage.

    Example:
        >>> share(0.995)
        '99.5 %'
    """
    return f"{100 * value:.6g} %"


def _every(values: NDArray[np.float64]) -> int:
    """Every how many points there is a marker."""
    return 1 if len(values) <= _FEW else len(values) // 12
