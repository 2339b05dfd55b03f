"""Pictures that set several runs, or several layers, side by side."""

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
_INSIDE = 8  # runs that a legend can name beside the curves
_ROW = 0.32  # inches of a legend's line


def learning_curves(
    runs: Mapping[str, Mapping[str, ArrayLike]],
    quantity: str = "val_exact",
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw one quantity of several training histories on one chart, epoch by epoch.

    Runs differ in colour, marker and stroke. The legend gives each one's last value and
    stands below the chart where there are many runs.
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
        below = -(-len(runs) // 2) if len(runs) > _INSIDE else 0
        size = WIDTH, 5.6 + _ROW * below
        figure = Picture(theme, size, layout="constrained")
        axes = figure.subplots()
        _lines(axes, {_ended(*run, name): run[1] for run in series.items()}, theme)
        values = np.concatenate(list(series.values()))
        scale(axes, name, values[np.isfinite(values)])
        axes.set_xlabel("epoch")
        how = {"title": "last value of each run", "alignment": "left"}
        if below:
            legend = figure.legend(loc="outside lower left", ncols=2, **how)
        else:
            legend = axes.legend(loc="best", **how)
        legend.get_title().set_color(theme.muted)
        heading = TITLES.get(name, name)
        if quantity.startswith("val_"):
            heading = f"{heading}, validation"
        axes.set_title(title or heading)
    return figure


def gradient_norms(
    norms: Mapping[str, ArrayLike], title: str | None = None, *, style: str = "light"
) -> Figure:
    """Draw how large a loss's gradient is by the state after each step.

    The loss is that of the last step: read the picture from right to left, as the
    gradient runs. The axis is logarithmic; a norm of 0 is not drawn.

    Args:
        norms: for each layer its name and ‖∂L/∂h_t‖, t = 1 … T, `(time,)`.
        title: stands over the picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if there is no layer, or a norm is negative.

    Source: Hochreiter, Bengio, Frasconi and Schmidhuber, 2001, Gradient flow in
    recurrent nets: the difficulty of learning long-term dependencies.

    Example:
        >>> figure = gradient_norms({"simple": 0.5 ** np.arange(9, -1, -1)})
        >>> figure.axes[0].get_yscale()
        'log'
    """
    if not norms:
        raise ValueError("norms must hold at least one layer's, got none")
    series = {}
    for name, values in norms.items():
        known = _numbers(f"norms of {name!r}", values, "time")
        if (known < 0).any():
            raise ValueError(f"norms of {name!r} must not be negative")
        series[name] = np.where(known > 0, known, np.nan)
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 5.6), layout="constrained")
        axes = figure.subplots()
        _lines(axes, series, theme)
        axes.set_yscale("log")
        axes.set_xlabel("time step $t$ (the loss is that of the last)")
        axes.set_title(title or r"$\|\partial L\,/\,\partial h_t\|$")
        axes.legend(loc="best")
    return figure


def _lines(axes: Axes, series: Mapping[str, NDArray[np.float64]], theme: Theme) -> None:
    """Draw each of them, told apart by colour, marker and stroke."""
    looks = zip(cycle(theme.series), cycle(_MARKERS), cycle(_STROKES), strict=False)
    for (label, values), look in zip(series.items(), looks, strict=False):
        colour, marker, stroke = look
        line(axes, values, label, colour, stroke, marker)
    axes.set_xlim(0.5, max(map(len, series.values())) + 0.5)


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


def _ended(run: str, values: NDArray[np.float64], name: str) -> str:
    """The run's name and its last value that is known."""
    known = values[np.isfinite(values)]
    if not known.size:
        return run
    last = f"{100 * known[-1]:.2f} %" if name == "exact" else f"{known[-1]:.3g}"
    return f"{run}: {last}"
