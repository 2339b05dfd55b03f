"""The picture of which digits are taken for which."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import shaped, signed
from custom_lstm.plots.marks import sign
from custom_lstm.plots.style import SMALL, WIDTH, Picture, Theme, themed

_OTHER = 10  # the column of steps that are no digit
_WORDS = {1: "added", -1: "subtracted"}


def confusion(
    digits: ArrayLike,
    predicted_totals: ArrayLike,
    signs: ArrayLike,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw which digits were taken for which, the added and the subtracted apart.

    What a step took its digit for is the change in the rounded answers, with its
    sign: d̂_t = s_t·(ŷ_t − ŷ_(t−1)), ŷ_0 = 0. A change that is no digit, below 0 or
    above 9, counts in the last column: there the sum failed, not the reading.

    Args:
        digits: `(n, time)`, 0 to 9: the digits shown.
        predicted_totals: `(n, time)`, rounded or not.
        signs: `(time,)`, 1 where the digit is added and -1 where it is subtracted.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure, with a panel for each sign there is.

    Raises:
        ValueError: if the shapes do not go together or a digit is not 0 to 9.

    Example:
        >>> figure = confusion([[3, 5], [3, 5]], [[3, -2], [8, 3]], [1, -1])
        >>> [axes.get_title("right") for axes in figure.axes]
        ['1 of 2 right', '2 of 2 right']
    """
    shown = shaped("digits", digits, ("n", "time"))
    strange = shown[(shown != np.rint(shown)) | (shown < 0) | (shown > 9)]
    if strange.size:
        raise ValueError(f"digits must be 0 to 9, got {strange[0]}")
    shown = shown.astype(int)
    said = np.rint(shaped("predicted_totals", predicted_totals, shown.shape))
    before = signed(signs, shown.shape[1]).astype(int)
    taken = before * np.diff(said, axis=1, prepend=0)
    taken = np.where((taken >= 0) & (taken <= 9), taken, _OTHER).astype(int)
    present = [value for value in _WORDS if value in before]
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 6.6), layout="constrained")
        figure.suptitle(title or "")
        panels = figure.subplots(1, len(present), squeeze=False)[0]
        for axes, value in zip(panels, present, strict=True):
            counts = np.zeros((10, 11), int)
            here = before == value
            np.add.at(counts, (shown[:, here], taken[:, here]), 1)
            _matrix(axes, counts, theme)
            axes.set_title(f"digits {_WORDS[value]} ({sign(value)})")
            right, of = np.trace(counts), counts.sum()
            axes.set_title(f"{right} of {of} right", loc="right", color=theme.model)
        panels[0].set_ylabel("digit shown")
    return figure


def _matrix(axes: Axes, counts: NDArray[np.int_], theme: Theme) -> None:
    """Draw counts `(10, 11)`: right ones in the model's colour, mistakes in theirs."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(10, 11, dtype=bool)
    for hidden, colour, most in (
        (~diagonal, theme.model, 1.0),
        (diagonal, theme.wrong, max(shares[~diagonal].max(), 0.1)),
    ):
        ramp = LinearSegmentedColormap.from_list("", [theme.background, colour])
        some = np.ma.array(shares, mask=hidden)
        axes.imshow(some, cmap=ramp, vmin=0, vmax=2 * most, aspect="auto")
    for row, column in np.argwhere(counts):
        slip = not diagonal[row, column]
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            size=SMALL,
            weight="bold" if slip else "normal",
        )
        if slip:
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(_frame(corner, theme))
    axes.axvline(_OTHER - 0.5, color=theme.muted, linestyle=":")
    axes.grid(False)
    axes.set_xticks(range(11), [*range(10), "no\ndigit"])
    axes.set_yticks(range(10))
    axes.tick_params(length=0)
    axes.set_xlabel("digit that the total changed by")


def _frame(corner: tuple[float, float], theme: Theme) -> Rectangle:
    frame = Rectangle(corner, 1, 1, fill=False, edgecolor=theme.wrong, linewidth=2)
    frame.set_clip_on(False)
    return frame
