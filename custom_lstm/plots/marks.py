"""The small things that several pictures draw: digits, signs and numbers."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from custom_lstm.plots.style import MINUS, Theme


def number(value: float) -> str:
    """A total as text, rounded as it is scored.

    Example:
        >>> [number(value) for value in (3.4, -0.2, -7.0, float("nan"))]
        ['3', '0', '−7', '?']
    """
    if not np.isfinite(value):
        return "?"
    whole = int(np.rint(value))
    return f"{MINUS}{-whole}" if whole < 0 else str(whole)


def sign(value: float) -> str:
    """The sign that stands before a digit.

    Example:
        >>> sign(1), sign(-1)
        ('+', '−')
    """
    return "+" if value > 0 else MINUS


def wrong(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a predicted total, rounded, is not the true one.

    Example:
        >>> wrong(np.array([3, 5]), np.array([3.4, 4.4]))
        array([False,  True])
    """
    return np.rint(predicted) != np.rint(true)


def digit(
    axes: Axes,
    image: NDArray[np.float64],
    centre: tuple[float, float],
    size: tuple[float, float],
    theme: Theme,
) -> None:
    """Draw one digit.

    Args:
        axes: where; its limits must be set already.
        image: `(28, 28)`, 0 for paper, 1 for ink.
        centre: of the digit, in data coordinates.
        size: width and height, in data coordinates.
        theme: gives paper and ink.
    """
    (x, y), (width, height) = centre, (size[0] / 2, size[1] / 2)
    flip = -1 if axes.yaxis_inverted() else 1
    axes.imshow(
        image,
        cmap=theme.digit,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(x - width, x + width, y - flip * height, y + flip * height),
    )


def blank(axes: Axes) -> None:
    """Take everything but the drawing off the axes."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
