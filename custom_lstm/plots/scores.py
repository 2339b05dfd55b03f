"""Pictures of how well a run did."""

from collections.abc import Mapping
from itertools import cycle
from operator import itemgetter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import fractions
from custom_lstm.plots.lines import HALF, line, percent
from custom_lstm.plots.style import WIDTH, Picture, Theme, themed


def positions(
    exact_per_position: ArrayLike,
    ceiling_per_position: ArrayLike,
    baselines: Mapping[str, ArrayLike],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw the exact match at every position, below its ceiling, above its baselines.

    The left panel has the whole scale; the right one, unless a fraction falls below a
    half, the top end alone, where model and ceiling part.

    Args:
        exact_per_position: `(time,)`, the fraction of totals that were right.
        ceiling_per_position: `(time,)`, `p ** t` for single-digit accuracy p.
        baselines: for each image-blind baseline its name and its `(time,)` exact match.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the lengths differ or a value is not a fraction.

    Example:
        >>> blind = {"mode": [0.11, 0.09, 0.08]}
        >>> figure = positions([0.99, 0.98, 0.97], [0.99, 0.985, 0.98], blind)
        >>> len(figure.axes)
        2
    """
    exact = fractions("exact_per_position", exact_per_position, "time")
    time = len(exact)
    ceiling = fractions("ceiling_per_position", ceiling_per_position, time)
    blind = {
        name: fractions(f"baseline {name!r}", values, time)
        for name, values in baselines.items()
    }
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 5.6), layout="constrained")
        figure.suptitle(title or "")
        high = np.concatenate([exact, ceiling])
        two = np.nanmin(high) >= HALF
        whole, *top = figure.subplots(1, 1 + two, squeeze=False)[0]
        for axes in (whole, *top):
            _against_ceiling(axes, exact, ceiling, theme)
        for (name, values), marker in zip(blind.items(), cycle("^vDPX"), strict=False):
            drawn = line(whole, values, f"image-blind {name}", theme.muted, ":", marker)
            drawn.set(mfc="none", mec=theme.muted, mew=2)
        percent(whole, np.zeros(1))
        whole.set_title("exact match at each position")
        if top:
            percent(top[0], high)
            low, upper = top[0].get_ylim()
            top[0].set_ylim(top=upper + 0.09 * (upper - low))  # room for the values
            top[0].set_title("the top end, enlarged")
        _label_points((whole, *top)[-1], exact, ceiling, theme)
        lines, labels = whole.get_legend_handles_labels()
        figure.legend(lines, labels, ncols=3, loc="outside lower center")
    return figure


def _against_ceiling(
    axes: Axes,
    exact: NDArray[np.float64],
    ceiling: NDArray[np.float64],
    theme: Theme,
) -> None:
    line(axes, ceiling, "ceiling $p^t$", theme.ink, "--", "")
    line(axes, exact, "model", theme.model, "-", "o")
    axes.set_xlabel("position in the sequence")


def _label_points(
    axes: Axes,
    exact: NDArray[np.float64],
    ceiling: NDArray[np.float64],
    theme: Theme,
) -> None:
    """Write the values at the points: at all of a few, at the last of many."""
    for t in range(len(exact)) if len(exact) <= 6 else [len(exact) - 1]:
        pair = [(exact[t], theme.model), (ceiling[t], theme.ink)]
        lower, upper = sorted(pair, key=itemgetter(0))
        for (value, colour), side in ((lower, -1), (upper, 1)):
            axes.annotate(
                f"{100 * value:.2f}",
                (t + 1, value),
                (0, 10 * side),
                textcoords="offset points",
                color=colour,
                weight="bold",
                path_effects=[withStroke(linewidth=4, foreground=theme.background)],
                ha="center",
                va="bottom" if side > 0 else "top",
            )
