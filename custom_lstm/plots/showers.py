"""The picture of showers in a calorimeter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.checks import shaped
from custom_lstm.plots.style import CROSS, SMALL, WIDTH, Picture, Theme, themed

ANSWERS = ("energy", "x", "y", "z", "kind")
"""What a network says of a shower."""


def showers(
    images: ArrayLike,
    truth: Mapping[str, ArrayLike],
    said: Mapping[str, ArrayLike],
    kinds: Sequence[str],
    *,
    cell: float,
    pitch: float,
    title: str | None = None,
    style: str = "light",
) -> Figure:
    """Draw showers from the side and from the front, with truth and answers.

    The darker, the more energy along the line of sight, on a logarithmic scale of each
    view's own. A square stands where the shower started, a dot where the network puts
    that: at the depth z, and where the particle met the front face in x and y.

    Args:
        images: energy in the cells in GeV, `(showers, x, y, layers)`.
        truth: `energy` in GeV, `x`, `y`, `z` in cm and `kind`, an index into `kinds`,
            `(showers,)` each.
        said: the same from a network, but `kind` is the probability of the second.
        kinds: names of the two kinds.
        cell: side of a cell in cm.
        pitch: distance of two layers in cm.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if a value is missing or the shapes do not go together.

    Example:
        >>> images = np.ones((2, 16, 16, 40))
        >>> values = {name: np.ones(2) for name in ("energy", "x", "y", "z", "kind")}
        >>> figure = showers(images, values, values, ("a", "b"), cell=3.0, pitch=4.0)
        >>> figure.axes[0].get_title("left")
        'b, 1.0 GeV'
    """
    cells = shaped("images", images, ("showers", "x", "y", "layers")).astype(float)
    true = _values("truth", truth, len(cells))
    answers = _values("said", said, len(cells))
    half = cell * np.array(cells.shape[1:3]) / 2
    depth = pitch * cells.shape[3]
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, 0.8 + 1.85 * len(cells)), layout="constrained")
        figure.suptitle(title or "")
        grid = figure.subplots(
            len(cells), 2, squeeze=False, sharex="col", width_ratios=[5, 1]
        )
        for k, (side, front) in enumerate(grid):
            one = {name: values[k] for name, values in true.items()}
            other = {name: values[k] for name, values in answers.items()}
            across, up = (-half[0], half[0]), (-half[1], half[1])
            _view(side, cells[k].sum(1), (0, depth, *across), theme)
            _view(front, cells[k].sum(2).T, (*across, *up), theme)
            _marks(side, "z", "x", one, other, theme)
            _marks(front, "x", "y", one, other, theme)
            _words(side, one, other, kinds, theme)
        grid[-1, 0].set_xlabel("$z$, cm", size=SMALL)
        grid[-1, 1].set_xlabel("$x$, cm", size=SMALL)
        for side, front in grid:
            side.set_ylabel("$x$, cm", size=SMALL)
            front.set_ylabel("$y$, cm", size=SMALL)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _values(
    name: str, values: Mapping[str, ArrayLike], count: int
) -> dict[str, NDArray[np.float64]]:
    missing = [value for value in ANSWERS if value not in values]
    if missing:
        raise ValueError(
            f"{name} must hold {', '.join(ANSWERS)}; {missing[0]} is missing"
        )
    return {
        value: shaped(f"{name}[{value!r}]", values[value], (count,)).astype(float)
        for value in ANSWERS
    }


def _view(
    axes: Axes,
    energy: NDArray[np.float64],
    extent: tuple[float, float, float, float],
    theme: Theme,
) -> None:
    """Draw energies, rows upward, over lengths in cm."""
    most = max(float(energy.max()), 1e-6)
    axes.imshow(
        np.where(energy > 0, energy, np.nan),
        cmap=theme.digit,
        norm=LogNorm(most / 3000, most),
        origin="lower",
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(False)


def _marks(
    axes: Axes,
    across: str,
    up: str,
    true: dict[str, Any],
    said: dict[str, Any],
    theme: Theme,
) -> None:
    """Mark where the shower started, and where the network puts that."""
    axes.plot(
        true[across],
        true[up],
        "s",
        ms=13,
        mfc="none",
        mec=theme.muted,
        mew=2.5,
        path_effects=[withStroke(linewidth=5.5, foreground=theme.background)],
        clip_on=False,
        label="true",
    )
    axes.plot(
        said[across],
        said[up],
        "o",
        ms=8,
        color=theme.model,
        clip_on=False,
        label="predicted",
    )


def _words(
    side: Axes,
    true: dict[str, Any],
    said: dict[str, Any],
    kinds: Sequence[str],
    theme: Theme,
) -> None:
    """Write over a shower what it is, and what the network says."""
    guess = int(said["kind"] > 0.5)
    wrong = guess != int(true["kind"])
    side.set_title(f"{kinds[int(true['kind'])]}, {true['energy']:.1f} GeV")
    side.set_title(
        f"{CROSS + ' ' if wrong else ''}predicted: {kinds[guess]}, "
        f"{said['energy']:.1f} GeV",
        loc="right",
        color=theme.wrong if wrong else theme.model,
    )
