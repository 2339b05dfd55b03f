"""What several pictures share: arrays checked, lines over steps, axes, labels."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.style import Theme

Floats: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = tuple[Callable[[NDArray[Any]], NDArray[np.bool_]], str]
"""Which values of an array are allowed, and how a message says so after "must"."""
FRACTION: Rule = (lambda v: ~((v < 0) | (v > 1)), "lie between 0 and 1")  # or NaN
HALF = 0.5  # fractions that all lie above it are shown on a shortened axis
_MARKED = 30  # points that may each have a marker


def check_array(
    name: str, values: ArrayLike, shape: Sequence[int | str], rule: Rule | None = None
) -> Floats:
    """Return the values as floats if their shape and each of them are allowed.

    Args:
        name: the argument's name, for the error.
        values: what was given.
        shape: the length of each axis; a word allows any length of at least 1.
        rule: which values are allowed; all of them by default.

    Raises:
        ValueError: naming the argument, what was expected and what was received.

    Example:
        >>> check_array("signs", [1, -1], ("time",))
        array([ 1., -1.])
        >>> check_array("signs", [1, -1], (3,))
        Traceback (most recent call last):
        ValueError: signs must have shape (3,), got (2,)
        >>> check_array("exact", [0.5, 98.0], ("epochs",), FRACTION)
        Traceback (most recent call last):
        ValueError: exact must lie between 0 and 1, got 98.0
    """
    expected = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must have shape {expected}, got rows of unequal length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(
        have > 0 if isinstance(want, str) else have == want
        for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    if rule:
        allowed, requirement = rule
        refused = array[~allowed(array)]
        if refused.size:
            raise ValueError(f"{name} must {requirement}, got {refused[0]}")
    return array.astype(float)


def draw_series(
    axes: Axes, values: Floats, label: str, colour: str, stroke: str, marker: str
) -> Line2D:
    """Draw one value per step, counted from 1, the step axis running over them."""
    (drawn,) = axes.plot(
        1 + np.arange(len(values)),
        values,
        label=label,
        color=colour,
        linestyle=stroke,
        marker=marker,
        markevery=_marker_interval(values),
    )
    number_steps(axes, len(values))
    return drawn


def draw_against_truth(
    axes: Axes,
    true: Floats,
    predicted: Floats,
    theme: Theme,
    first: int = 1,
    label: str = "predicted",
) -> None:
    """Draw true values `(time,)` as hollow squares and predictions as dots inside them.

    Steps are numbered from `first`; the limits of the axes are left alone.
    """
    steps = first + np.arange(len(true))
    both: dict[str, Any] = {"markevery": _marker_interval(true), "clip_on": False}
    hollow: dict[str, Any] = {"ms": 11, "mfc": "none", "mec": theme.muted, "mew": 2}
    axes.plot(steps, true, "s--", color=theme.muted, label="true", **hollow, **both)
    axes.plot(steps, predicted, "o-", color=theme.model, label=label, ms=7, **both)


def _marker_interval(values: Floats) -> int:
    return 1 if len(values) <= _MARKED else len(values) // 12


def number_steps(axes: Axes, steps: int) -> None:
    """Let the axis run over steps that are counted from 1."""
    axes.set_xlim(0.5, steps + 0.5)
    axes.xaxis.set_major_locator(
        MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True, min_n_ticks=1)
    )


def percent_axis(axes: Axes, values: Floats) -> None:
    """Show fractions as percentages, from 0 or from a little below the lowest."""
    low = np.nanmin(values, initial=1)
    room = max(1 - low, 0.005)
    axes.set_ylim(0 if low < HALF else low - 0.25 * room, 1 + 0.06 * room)
    axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))


def loss_axis(axes: Axes, values: Floats) -> None:
    """Choose a logarithmic axis where positive values span a decade, else a linear."""
    if not (values.size and values.min() > 0 and values.max() >= 10 * values.min()):
        axes.set_ylim(bottom=min(0, values.min(initial=0)))
        return
    axes.set_yscale("log")
    decades = np.log10(values.max() / values.min())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_tick))
    axes.yaxis.set_minor_formatter(NullFormatter())


def plain_tick(value: float, _: int | None = None) -> str:
    """Return a tick's value without needless zeros."""
    return f"{value:.6g}"


def percent_tick(value: float, _: int | None = None) -> str:
    """Return a fraction as a percentage."""
    return f"{100 * value:.6g} %"


def label_point(
    axes: Axes,
    text: str,
    point: tuple[float, float],
    offset: tuple[float, float],
    colour: str,
    theme: Theme,
    **alignment: Any,
) -> None:
    """Write a value beside its point, `offset` points away, readable over lines."""
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        color=colour,
        weight="bold",
        path_effects=[withStroke(linewidth=4, foreground=theme.background)],
        **alignment,
    )


def hide_frame(axes: Axes) -> None:
    """Remove everything but the drawing from the axes."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
