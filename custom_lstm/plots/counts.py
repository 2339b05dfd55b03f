"""The picture of how well ones were counted."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import shaped
from custom_lstm.plots.lines import HALF
from custom_lstm.plots.style import CROSS, WIDTH, Picture, Theme, themed

_ERRORS = ("lowest_error", "mean_error", "highest_error")


def counts(
    per_count: Mapping[str, ArrayLike],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw, for each number of ones, the errors of the answers and the wrong strings.

    The left panel shows answer − ones, from the lowest to the highest of all strings
    with that many ones, and the half from which on an answer is rounded to another
    count. The right one shows how many strings there are, and how many were wrong.

    Args:
        per_count: `strings`, `wrong`, `lowest_error`, `mean_error` and `highest_error`,
            each `(counts,)`, the first being that of strings without ones. NaN or None
            where there are no strings.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if one is missing or the lengths differ.

    Example:
        >>> errors = {f"{name}_error": [0.0, 0.1] for name in ("lowest", "highest")}
        >>> errors["mean_error"] = [0.0, 0.1]
        >>> len(counts({"strings": [1, 4], "wrong": [0, 1], **errors}).axes)
        2
    """
    columns = _columns(per_count)
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 5.6), layout="constrained")
        figure.suptitle(title or "")
        errors, strings = figure.subplots(1, 2)
        _errors(errors, columns, theme)
        _strings(strings, columns, theme)
        for axes in (errors, strings):
            axes.set_xlabel("ones in the string")
            axes.set_xlim(-0.8, len(columns["strings"]) - 0.2)
            axes.xaxis.set_major_locator(
                MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True)
            )
        handles = [axes.get_legend_handles_labels() for axes in (errors, strings)]
        lines = [line for drawn, _ in handles for line in drawn]
        labels = [label for _, names in handles for label in names]
        figure.legend(lines, labels, ncols=5, loc="outside lower center")
    return figure


def _columns(per_count: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    lacking = {"strings", "wrong", *_ERRORS} - set(per_count)
    if lacking:
        raise ValueError(f"per_count must hold {', '.join(sorted(lacking))} too")
    classes = len(shaped("strings", per_count["strings"], ("counts",)))
    return {
        name: shaped(name, np.array(per_count[name], np.float64), (classes,))
        for name in ("strings", "wrong", *_ERRORS)
    }


def _errors(axes: Axes, columns: dict[str, NDArray[np.float64]], theme: Theme) -> None:
    low, mean, high = (columns[name] for name in _ERRORS)
    ones = np.arange(len(mean))
    axes.vlines(ones, low, high, color=theme.model, lw=4, label="lowest to highest")
    axes.plot(ones, mean, "o", color=theme.model, ms=7, label="mean")
    edges = (-HALF, HALF)
    axes.hlines(edges, -1, len(mean), theme.muted, ls="--", lw=2, label="wrong beyond")
    reach = max(0.6, 1.1 * np.nanmax(np.abs([low, high]), initial=0))
    axes.set_ylim(-reach, reach)
    axes.set_title("answer − ones")


def _strings(axes: Axes, columns: dict[str, NDArray[np.float64]], theme: Theme) -> None:
    total, wrong = columns["strings"], columns["wrong"]
    ones = np.arange(len(total))
    axes.bar(ones, total, color=theme.muted, label="strings")
    some = np.where(wrong > 0, wrong, np.nan)
    axes.bar(ones, some, 0.5, color=theme.wrong, label=f"{CROSS} wrong")
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0.5, 3 * max(2, total.max()))
    axes.set_title(f"{wrong.sum():,.0f} of {total.sum():,.0f} counted wrong")
