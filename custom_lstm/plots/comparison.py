"""The picture of several runs' learning curves."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import fractions, shaped
from custom_lstm.plots.history import TITLES, scale
from custom_lstm.plots.lines import line
from custom_lstm.plots.style import WIDTH, Picture, Theme, themed

_STROKES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX"


def learning_curves(
    runs: Mapping[str, Mapping[str, ArrayLike]],
    quantity: str = "val_exact",
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw one quantity of several training histories on one chart, epoch by epoch.

    Runs differ in colour, marker and stroke; the legend gives each one's last value.
    A loss or error that falls tenfold or more gets a logarithmic axis.

    Args:
        runs: for each run its name and its history, as `curves` takes it. The runs
            may differ in length.
        quantity: the key of every history that is drawn.
        title: stands over the picture; by default, the quantity.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if there is no run, a history lacks the quantity, or an exact
            match is not a fraction.

    Example:
        >>> runs = {"ours": {"loss": [2.0, 0.5]}, "theirs": {"loss": [2.0, 0.6, 0.3]}}
        >>> (axes,) = learning_curves(runs, "loss").axes
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['ours: 0.5', 'theirs: 0.3']
    """
    name = quantity.removeprefix("val_")
    series = _series(runs, quantity)
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 5.6), layout="constrained")
        axes = figure.subplots()
        looks = zip(cycle(theme.series), cycle(_MARKERS), cycle(_STROKES), strict=False)
        for (run, values), look in zip(series.items(), looks, strict=False):
            colour, marker, stroke = look
            line(axes, values, _labelled(run, name, values), colour, stroke, marker)
        _finish(axes, name, list(series.values()), theme)
        heading = TITLES.get(name, name)
        if quantity.startswith("val_"):
            heading = f"{heading}, validation"
        axes.set_title(title or heading)
    return figure


def _series(
    runs: Mapping[str, Mapping[str, ArrayLike]], quantity: str
) -> dict[str, NDArray[np.float64]]:
    if not runs:
        raise ValueError("runs must hold at least one history, got none")
    series = {}
    for run, history in runs.items():
        if quantity not in history:
            raise ValueError(
                f"run {run!r} must hold {quantity!r}; "
                f"got {', '.join(map(repr, history)) or 'nothing'}"
            )
        check = fractions if quantity.endswith("exact") else _numbers
        series[run] = check(f"{quantity} of run {run!r}", history[quantity], "epochs")
    return series


def _numbers(name: str, values: ArrayLike, length: str) -> NDArray[np.float64]:
    return shaped(name, values, (length,)).astype(float)


def _labelled(run: str, name: str, values: NDArray[np.float64]) -> str:
    """The run's name and its last value that is known."""
    known = values[np.isfinite(values)]
    if not known.size:
        return run
    last = f"{100 * known[-1]:.2f} %" if name == "exact" else f"{known[-1]:.3g}"
    return f"{run}: {last}"


def _finish(
    axes: Axes, name: str, series: list[NDArray[np.float64]], theme: Theme
) -> None:
    """Scale the axes for all runs together and name them."""
    values = np.concatenate(series)
    scale(axes, name, values[np.isfinite(values)])
    axes.set_xlim(0.5, max(map(len, series)) + 0.5)
    axes.set_xlabel("epoch")
    axes.legend(loc="best", title="last value of each run", alignment="left")
    axes.get_legend().get_title().set_color(theme.muted)
