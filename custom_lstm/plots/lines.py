"""Lines over steps that are counted from 1, and the axes that suit them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

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
        markevery=1 if len(values) <= _FEW else len(values) // 12,
    )
    axes.set_xlim(0.5, len(values) + 0.5)
    axes.xaxis.set_major_locator(
        MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True, min_n_ticks=1)
    )
    return drawn


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
