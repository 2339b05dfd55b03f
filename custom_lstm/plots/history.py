"""The picture of a training history."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import fractions, shaped
from custom_lstm.plots.lines import line, percent, plain
from custom_lstm.plots.style import HEIGHT, WIDTH, Picture, Theme, themed

TITLES = {
    "loss": "loss",
    "exact": "exact match",
    "mae": "mean absolute error",
    "learning_rate": "learning rate",
}


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
        title: stands over the whole picture.
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
    series = _series(history)
    panels = [name for name in TITLES if name in series or f"val_{name}" in series]
    rows = 1 if len(panels) <= 3 else 2
    with themed(style) as theme:
        figure = Picture(
            theme, (WIDTH, HEIGHT if rows == 2 else 5.0), layout="constrained"
        )
        figure.suptitle(title or "")
        grid = figure.subplots(rows, -(-len(panels) // rows), squeeze=False)
        for axes, name in zip(grid.flat, panels, strict=True):
            _panel(axes, name, series, theme)
        grid[0, 0].legend(loc="best")
    return figure


def _series(history: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    known = {*TITLES, "val_loss", "val_exact", "val_mae"}
    series = {}
    for name in sorted(known & set(history)):
        series[name] = shaped(name, history[name], ("epochs",)).astype(float)
    if not series:
        raise ValueError(
            f"history must hold one of {', '.join(sorted(known))}; "
            f"got {', '.join(map(repr, history)) or 'nothing'}"
        )
    lengths = {name: len(values) for name, values in series.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"history must be equally long throughout, got {lengths}")
    for name in {"exact", "val_exact"} & set(series):
        fractions(name, series[name], "epochs")
    return series


def _panel(
    axes: Axes, name: str, series: dict[str, NDArray[np.float64]], theme: Theme
) -> None:
    """Draw training and validation of one quantity, and say where it ended."""
    looks = {
        name: ("training", theme.muted, "--", "s"),
        f"val_{name}": ("validation", theme.model, "-", "o"),
    }
    drawn = [key for key in looks if key in series]
    for key in drawn:
        line(axes, series[key], *looks[key])
    axes.set_title(TITLES[name])
    axes.set_xlabel("epoch")
    values = np.concatenate([series[key] for key in drawn])
    scale(axes, name, values[np.isfinite(values)])
    if name != "learning_rate":
        _ending(axes, name, series[drawn[-1]], looks[drawn[-1]][1])


def scale(axes: Axes, name: str, values: NDArray[np.float64]) -> None:
    """Choose the axis on which these values are best read."""
    if name == "exact":
        percent(axes, values)
    elif name == "learning_rate":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
    elif values.size and values.min() > 0 and values.max() >= 10 * values.min():
        axes.set_yscale("log")
        decades = np.log10(values.max() / values.min())
        axes.yaxis.set_major_locator(
            LogLocator(subs=(1, 2, 5) if decades < 3 else (1,))
        )
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=min(0, values.min(initial=0)))


def _ending(axes: Axes, name: str, values: NDArray[np.float64], colour: str) -> None:
    """Write the last value over the panel's right end."""
    if np.isfinite(values[-1]):
        last = f"{100 * values[-1]:.2f} %" if name == "exact" else f"{values[-1]:.3g}"
        axes.set_title(f"last: {last}", loc="right", color=colour)
