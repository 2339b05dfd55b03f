"""The picture of what others take of our time."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import shaped
from custom_lstm.plots.style import TEXT, WIDTH, Picture, Theme, themed

_BAR, _AROUND = 0.4, 0.75  # inches of a bar, and of a panel's title and ticks
_WIDE = 0.6  # a bar's share of its place


def bars(
    panels: Mapping[str, Mapping[str, ArrayLike]],
    ours: str = "ours",
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how long each candidate takes, as a multiple of our time, with quartiles.

    A bar is a median, the whisker on it runs from the lower to the upper quartile.
    Every panel begins at 0 and has a scale of its own; a line stands at 1, our time.

    Args:
        panels: for each benchmark its name and, for each candidate, the lower quartile,
            the median and the upper quartile of its ratio to our time, `(3,)`.
        ours: the candidate that is drawn in the model's colour.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure, with two panels beside each other.

    Raises:
        ValueError: if there is no benchmark or no candidate, or three numbers are not
            quartiles of a ratio: positive, and none below the one before.

    Example:
        >>> times = {"ours": [1, 1, 1], "Keras": [1.8, 2.0, 2.3]}
        >>> figure = bars({"training": times, "inference": times})
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1.00', '2.00']
    """
    known = {name: _quartiles(name, times) for name, times in panels.items()}
    if not known:
        raise ValueError("panels must hold at least one benchmark, got none")
    columns = min(len(known), 2)
    names = list(known)
    rows = [names[k : k + columns] for k in range(0, len(names), columns)]
    high = [_AROUND + _BAR * max(len(known[name]) for name in row) for row in rows]
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 0.9 + sum(high)), layout="constrained")
        figure.suptitle(title or "")
        grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=high)
        for axes in grid.flat[len(known) :]:
            axes.remove()
        for axes, (name, times) in zip(grid.flat, known.items(), strict=False):
            _panel(axes, times, ours, theme)
            axes.set_title(name)
        figure.supxlabel(f"time, as a multiple of {ours}", size=TEXT)
    return figure


def _quartiles(
    panel: str, times: Mapping[str, ArrayLike]
) -> dict[str, NDArray[np.float64]]:
    """Each candidate's three numbers."""
    if not times:
        raise ValueError(f"panel {panel!r} must hold at least one candidate, got none")
    found = {}
    for name, values in times.items():
        three = shaped(f"{name!r} in {panel!r}", values, (3,)).astype(float)
        if not (three[0] > 0 and three[0] <= three[1] <= three[2]):
            raise ValueError(
                f"{name!r} in {panel!r} must be positive quartiles in order, got "
                f"{', '.join(f'{value:g}' for value in three)}"
            )
        found[name] = three
    return found


def _panel(
    axes: Axes, times: Mapping[str, NDArray[np.float64]], ours: str, theme: Theme
) -> None:
    """Draw one benchmark's candidates, the first on top."""
    low, middle, high = np.transpose(list(times.values()))
    places = np.arange(len(times))
    colours = [theme.model if name == ours else theme.muted for name in times]
    whiskers = {"ecolor": theme.ink, "capsize": 4, "elinewidth": 2}
    reach = [middle - low, high - middle]
    axes.barh(places, middle, _WIDE, color=colours, xerr=reach, error_kw=whiskers)
    axes.axvline(1, color=theme.ink, linestyle="--", linewidth=1.5)
    for place, (median, end, colour) in enumerate(
        zip(middle, high, colours, strict=True)
    ):
        axes.annotate(
            f"{median:.2f}",
            (end, place),
            (8, 0),
            textcoords="offset points",
            color=colour,
            weight="bold",
            path_effects=[withStroke(linewidth=4, foreground=theme.background)],
            va="center",
        )
    axes.set_yticks(places, list(times))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(high.max(), 1))
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
