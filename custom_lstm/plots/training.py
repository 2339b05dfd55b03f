"""How a training went, how runs and layers compare, and how fast candidates are."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from custom_lstm.plots.axes import (
    FRACTION,
    Floats,
    Rule,
    check_array,
    draw_series,
    label_point,
    loss_axis,
    percent_axis,
    plain_tick,
)
from custom_lstm.plots.style import HEIGHT, TEXT, WIDTH, Theme, new_figure

_TITLES = {
    "loss": "loss",
    "exact": "exact match",
    "mae": "mean absolute error",
    "learning_rate": "learning rate",
}
_STROKES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX"
_INSIDE = 8  # runs that a legend can name beside the curves
_ROW = 0.32  # inches of a legend's line
_BAR, _AROUND = 0.4, 0.75  # inches of a bar, and of a panel's title and ticks
_NOT_NEGATIVE: Rule = (lambda v: ~(v < 0), "not be negative")  # or NaN


def curves(
    history: Mapping[str, ArrayLike], title: str | None = None, *, style: str = "light"
) -> Figure:
    """Draw a training history: one panel for each quantity, epoch by epoch.

    A loss or error that falls tenfold or more gets a logarithmic axis.

    Args:
        history: a sequence of one number per epoch, the first being epoch 1, under
            any of the keys `loss`, `exact` (a fraction), `mae` and their validation
            values `val_loss`, `val_exact`, `val_mae`, and `learning_rate`. NaN where
            a value is missing. Other keys are not drawn.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if no known key is there, or the sequences differ in length.

    Example:
        >>> history = {"loss": [9.0, 2.0, 0.5], "val_loss": [4.0, 1.0, 0.4]}
        >>> [axes.get_yscale() for axes in curves(history).axes]
        ['log']
    """
    series = _check_history(history)
    panels = [name for name in _TITLES if name in series or f"val_{name}" in series]
    rows = 1 if len(panels) <= 3 else 2
    size = WIDTH, HEIGHT if rows == 2 else 5.0
    with new_figure(style, size, title) as (figure, theme):
        grid = figure.subplots(rows, -(-len(panels) // rows), squeeze=False)
        for axes, name in zip(grid.flat, panels, strict=True):
            _draw_quantity(axes, name, series, theme)
        grid[0, 0].legend(loc="best")
    return figure


def _check_history(history: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    known = {*_TITLES, "val_loss", "val_exact", "val_mae"}
    series = {
        name: _check_quantity(name, name, history[name])
        for name in sorted(known & set(history))
    }
    if not series:
        raise ValueError(
            f"history must hold one of {', '.join(sorted(known))}; "
            f"got {', '.join(map(repr, history)) or 'nothing'}"
        )
    lengths = {name: len(values) for name, values in series.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"history must be equally long throughout, got {lengths}")
    return series


def _check_quantity(name: str, quantity: str, values: ArrayLike) -> Floats:
    rule = FRACTION if quantity.endswith("exact") else None
    return check_array(name, values, ("epochs",), rule)


def _draw_quantity(
    axes: Axes, name: str, series: dict[str, Floats], theme: Theme
) -> None:
    """Draw training and validation of one quantity, and write the last value."""
    looks = {
        name: ("training", theme.muted, "--", "s"),
        f"val_{name}": ("validation", theme.model, "-", "o"),
    }
    drawn = [key for key in looks if key in series]
    for key in drawn:
        draw_series(axes, series[key], *looks[key])
    axes.set_title(_TITLES[name])
    axes.set_xlabel("epoch")
    _quantity_axis(axes, name, [series[key] for key in drawn])
    last = series[drawn[-1]][-1]
    if name != "learning_rate" and np.isfinite(last):
        colour = looks[drawn[-1]][1]
        axes.set_title(f"last: {_value(name, last)}", loc="right", color=colour)


def _quantity_axis(axes: Axes, name: str, series: list[Floats]) -> None:
    """Choose the axis on which these values are best read."""
    values = np.concatenate(series)
    values = values[np.isfinite(values)]
    if name == "exact":
        percent_axis(axes, values)
    elif name == "learning_rate":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(plain_tick))
    else:
        loss_axis(axes, values)


def _value(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name == "exact" else f"{value:.3g}"


def learning_curves(
    runs: Mapping[str, Mapping[str, ArrayLike]],
    quantity: str = "val_exact",
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw one quantity of several training histories on one chart, epoch by epoch.

    Runs differ in colour, marker and stroke. The legend gives each one's last value and
    is placed below the chart where there are many runs.
    A loss or error that falls tenfold or more gets a logarithmic axis.

    Args:
        runs: for each run its name and its history, as `curves` takes it. The runs
            may differ in length.
        quantity: the key of every history that is drawn.
        title: a heading over the picture; by default, the quantity.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if there is no run, a history lacks the quantity, or an exact
            match is not a fraction.

    Example:
        >>> runs = {"LSTM": {"loss": [2.0, 0.5]}, "GRU": {"loss": [2.0, 0.6, 0.3]}}
        >>> (axes,) = learning_curves(runs, "loss").axes
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['LSTM: 0.5', 'GRU: 0.3']
    """
    name = quantity.removeprefix("val_")
    series = _check_runs(runs, quantity)
    below = -(-len(runs) // 2) if len(runs) > _INSIDE else 0
    with new_figure(style, (WIDTH, 5.6 + _ROW * below)) as (figure, theme):
        axes = figure.subplots()
        _draw_lines(
            axes, {_ending(*run, name): run[1] for run in series.items()}, theme
        )
        _quantity_axis(axes, name, list(series.values()))
        axes.set_xlabel("epoch")
        how = {"title": "last value of each run", "alignment": "left"}
        if below:
            legend = figure.legend(loc="outside lower left", ncols=2, **how)
        else:
            legend = axes.legend(loc="best", **how)
        legend.get_title().set_color(theme.muted)
        heading = _TITLES.get(name, name)
        if quantity.startswith("val_"):
            heading = f"{heading}, validation"
        axes.set_title(title or heading)
    return figure


def _check_runs(
    runs: Mapping[str, Mapping[str, ArrayLike]], quantity: str
) -> dict[str, Floats]:
    if not runs:
        raise ValueError("runs must hold at least one history, got none")
    series = {}
    for run, history in runs.items():
        if quantity not in history:
            raise ValueError(
                f"run {run!r} must hold {quantity!r}; "
                f"got {', '.join(map(repr, history)) or 'nothing'}"
            )
        name = f"{quantity} of run {run!r}"
        series[run] = _check_quantity(name, quantity, history[quantity])
    return series


def _ending(run: str, values: Floats, name: str) -> str:
    """Return the run's name and its last value that is known."""
    known = values[np.isfinite(values)]
    return f"{run}: {_value(name, known[-1])}" if known.size else run


def _draw_lines(axes: Axes, series: Mapping[str, Floats], theme: Theme) -> None:
    """Draw each of them, told apart by colour, marker and stroke."""
    looks = zip(cycle(theme.series), cycle(_MARKERS), cycle(_STROKES), strict=False)
    for (label, values), look in zip(series.items(), looks, strict=False):
        colour, marker, stroke = look
        draw_series(axes, values, label, colour, stroke, marker)
    axes.set_xlim(0.5, max(map(len, series.values())) + 0.5)


def gradient_norms(
    norms: Mapping[str, ArrayLike], title: str | None = None, *, style: str = "light"
) -> Figure:
    """Draw how large a loss's gradient is by the state after each step.

    The loss is that of the last step: read the picture from right to left, as the
    gradient runs. The axis is logarithmic; a norm of 0 is not drawn.

    Args:
        norms: for each layer its name and ‖∂L/∂h_t‖, t = 1 … T, `(time,)`.
        title: a heading over the picture.
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
        known = check_array(f"norms of {name!r}", values, ("time",), _NOT_NEGATIVE)
        series[name] = np.where(known > 0, known, np.nan)
    with new_figure(style, (WIDTH, 5.6)) as (figure, theme):
        axes = figure.subplots()
        _draw_lines(axes, series, theme)
        axes.set_yscale("log")
        axes.set_xlabel("time step $t$ (the loss is that of the last)")
        axes.set_title(title or r"$\|\partial L\,/\,\partial h_t\|$")
        axes.legend(loc="best")
    return figure


def bars(
    panels: Mapping[str, Mapping[str, ArrayLike]],
    reference: str | None = None,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how long each candidate takes, relative to one of them, with quartiles.

    A bar is a median, the whisker on it runs from the lower to the upper quartile.
    Every panel begins at 0 and has a scale of its own; a line at 1 marks the reference.

    Args:
        panels: for each benchmark its name and, for each candidate, the lower quartile,
            the median and the upper quartile of its time divided by the reference's,
            `(3,)`.
        reference: the candidate that is drawn in the model's colour; by default, the
            first of the first panel.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure, with two panels beside each other.

    Raises:
        ValueError: if there is no benchmark or no candidate, or three numbers are not
            quartiles of a ratio: positive, and none below the one before.

    Example:
        >>> times = {"custom_lstm": [1, 1, 1], "Keras": [1.8, 2.0, 2.3]}
        >>> figure = bars({"training": times, "inference": times})
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1.00', '2.00']
    """
    known = {name: _check_quartiles(name, times) for name, times in panels.items()}
    if not known:
        raise ValueError("panels must hold at least one benchmark, got none")
    if reference is None:
        reference = next(iter(next(iter(known.values()))))
    columns = min(len(known), 2)
    names = list(known)
    rows = [names[k : k + columns] for k in range(0, len(names), columns)]
    high = [_AROUND + _BAR * max(len(known[name]) for name in row) for row in rows]
    with new_figure(style, (WIDTH, 0.9 + sum(high)), title) as (figure, theme):
        grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=high)
        for axes in grid.flat[len(known) :]:
            axes.remove()
        for axes, (name, times) in zip(grid.flat, known.items(), strict=False):
            _draw_bars(axes, times, reference, theme)
            axes.set_title(name)
        figure.supxlabel(f"time relative to {reference}", size=TEXT)
    return figure


def _check_quartiles(panel: str, times: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    if not times:
        raise ValueError(f"panel {panel!r} must hold at least one candidate, got none")
    found = {}
    for name, values in times.items():
        three = check_array(f"{name!r} in {panel!r}", values, (3,))
        if not (three[0] > 0 and three[0] <= three[1] <= three[2]):
            raise ValueError(
                f"{name!r} in {panel!r} must be positive quartiles in order, got "
                f"{', '.join(f'{value:g}' for value in three)}"
            )
        found[name] = three
    return found


def _draw_bars(
    axes: Axes, times: Mapping[str, Floats], reference: str, theme: Theme
) -> None:
    """Draw one benchmark's candidates, the first on top."""
    low, middle, high = np.transpose(list(times.values()))
    rows = np.arange(len(times))
    colours = [theme.model if name == reference else theme.muted for name in times]
    whiskers = {"ecolor": theme.ink, "capsize": 4, "elinewidth": 2}
    reach = [middle - low, high - middle]
    axes.barh(rows, middle, 0.6, color=colours, xerr=reach, error_kw=whiskers)
    axes.axvline(1, color=theme.ink, linestyle="--", linewidth=1.5)
    for row, colour in enumerate(colours):
        text, end = f"{middle[row]:.2f}", (high[row], row)
        label_point(axes, text, end, (8, 0), colour, theme, va="center")
    axes.set_yticks(rows, list(times))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(high.max(), 1))
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
