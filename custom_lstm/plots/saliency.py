"""The picture of what a network looks at in a shower."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import shaped
from custom_lstm.plots.lines import line, share
from custom_lstm.plots.showers import ANSWERS
from custom_lstm.plots.style import WIDTH, Picture, themed

_LABELS = {"energy": "energy", "x": "$x$", "y": "$y$", "z": "$z$", "kind": "kind"}


def saliency(
    slices: Mapping[str, ArrayLike],
    kinds: Sequence[str],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how much each answer of a network hangs on each slice.

    Every line says what share of the whole a slice has; so does the grey area behind
    it, for the energy that showers of this kind leave there.

    Args:
        slices: `deposit`, and any of `energy`, `x`, `y`, `z` and `kind`: for each kind
            of shower and each slice, `(kinds, slices)`, none negative.
        kinds: names of the kinds.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure: a row for each answer, a column for each kind.

    Raises:
        ValueError: if `deposit` or all answers are missing, a shape is another, or a
            value is negative.

    Example:
        >>> flat = np.ones((2, 40))
        >>> figure = saliency({"deposit": flat, "energy": flat}, ("a", "b"))
        >>> [axes.get_title("left") for axes in figure.axes]
        ['energy, a', 'energy, b']
    """
    shares = _shares(slices, len(kinds))
    deposit = shares.pop("deposit")
    steps = np.arange(deposit.shape[1] + 1) + 0.5
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 1 + 1.75 * len(shares)), layout="constrained")
        figure.suptitle(title or "")
        grid = figure.subplots(
            len(shares), len(kinds), squeeze=False, sharex=True, sharey="row"
        )
        for axes, (name, k) in zip(
            grid.flat, ((n, k) for n in shares for k in range(len(kinds))), strict=True
        ):
            axes.stairs(
                deposit[k], steps, fill=True, color=theme.grid, label="energy deposited"
            )
            line(axes, shares[name][k], "saliency", theme.model, "-", "o")
            axes.set_title(f"{_LABELS[name]}, {kinds[k]}")
            axes.yaxis.set_major_formatter(FuncFormatter(share))
            axes.yaxis.set_major_locator(MaxNLocator(3))
        for row in grid:  # once all is drawn: a limit that is set holds for its row
            row[0].set_ylim(bottom=0)
        for axes in grid[-1]:
            axes.set_xlabel("slice")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _shares(
    slices: Mapping[str, ArrayLike], kinds: int
) -> dict[str, NDArray[np.float64]]:
    """Each as a share of its sum, `deposit` among them."""
    names = [name for name in ANSWERS if name in slices]
    if "deposit" not in slices or not names:
        raise ValueError(
            f"slices must hold deposit and any of {', '.join(ANSWERS)}; got "
            f"{', '.join(map(repr, slices)) or 'nothing'}"
        )
    found = {}
    for name in [*names, "deposit"]:
        values = shaped(f"slices[{name!r}]", slices[name], (kinds, "slices"))
        if not (values >= 0).all():
            raise ValueError(f"slices[{name!r}] must not be negative or NaN")
        found[name] = values / np.maximum(values.sum(1, keepdims=True), 1e-30)
    return found
