"""The picture of the shapes that a sample takes on its way through a network."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from custom_lstm.plots.marks import blank
from custom_lstm.plots.style import SMALL, TEXT, TITLE, WIDTH, Picture, Theme, themed

# Everything is laid out in inches on one axes that fills the figure.
_HEIGHT, _MARGIN, _MIDDLE = 4.2, 0.35, 2.0
_LARGEST, _BAR = 1.9, 0.22  # side of the largest map, width of a vector
_ROOMY = 1.3  # width of a stage from which on its words are large
_SHEETS, _OFFSET = 6, 0.07  # sheets drawn of a stack of maps at most, and their step


def shapes(
    stages: Sequence[tuple[str, Sequence[int]]],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw what one sample becomes, layer by layer: stacks of maps, then vectors.

    A map's side is to scale; a stack shows its channels, six at most; a vector is a
    bar.

    Args:
        stages: for each stage its name, over the drawing, and its shape without the
            batch axis: `(height, width, channels)` or `(features,)`.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if there is no stage, or a shape has neither one nor three
            positive numbers.

    Example:
        >>> figure = shapes([("image", (28, 28, 1)), ("Dense", (128,))])
        >>> [text.get_text() for text in figure.axes[0].texts if "8" in text.get_text()]
        ['28×28×1', '128']
    """
    if not stages:
        raise ValueError("stages must hold at least one shape, got none")
    for name, shape in stages:
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(
                f"the shape of {name!r} must be (height, width, channels) or "
                f"(features,), all positive, got {tuple(shape)}"
            )
    largest = max((max(s[:2]) for _, s in stages if len(s) == 3), default=1)
    with themed(style) as theme:
        figure = Picture(theme, (WIDTH, _HEIGHT))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, _HEIGHT))
        blank(axes)
        if title:
            axes.text(
                WIDTH / 2, _HEIGHT - 0.4, title, ha="center", size=TITLE, weight="bold"
            )
        slot = (WIDTH - 2 * _MARGIN) / len(stages)
        scale = min(_LARGEST, slot - 0.6) / largest
        for number, (name, shape) in enumerate(stages):
            centre = _MARGIN + (number + 0.5) * slot
            half = _stage(axes, centre, shape, scale, theme)
            size = TEXT if slot > _ROOMY else SMALL
            _words(axes, centre, name, "×".join(map(str, shape)), size, theme)
            if number + 1 < len(stages):
                _arrow(axes, centre + half + 0.08, centre + slot, theme)
    return figure


def _stage(
    axes: Axes, centre: float, shape: Sequence[int], scale: float, theme: Theme
) -> float:
    """Draw a stack of maps or a bar; return half its width."""
    if len(shape) == 1:
        _sheet(axes, centre, _MIDDLE, _BAR, _LARGEST, theme)
        return _BAR / 2
    height, width, channels = shape
    sheets = min(channels, _SHEETS)
    for sheet in reversed(range(sheets)):
        away = (sheet - (sheets - 1) / 2) * _OFFSET
        x, y = centre + away, _MIDDLE + away
        _sheet(axes, x, y, max(width * scale, 0.08), max(height * scale, 0.08), theme)
    return width * scale / 2 + (sheets - 1) / 2 * _OFFSET


def _sheet(
    axes: Axes, x: float, y: float, width: float, height: float, theme: Theme
) -> None:
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        Rectangle(corner, width, height, fc=theme.grid, ec=theme.model, linewidth=1.5)
    )


def _words(
    axes: Axes, x: float, name: str, shape: str, size: float, theme: Theme
) -> None:
    """Write a stage's name above it and its shape below."""
    top, bottom = _MIDDLE + _LARGEST / 2 + 0.35, _MIDDLE - _LARGEST / 2 - 0.45
    axes.text(x, top, name, ha="center", size=size)
    look: dict[str, Any] = {"size": size, "color": theme.model, "weight": "bold"}
    axes.text(x, bottom, shape, ha="center", **look)


def _arrow(axes: Axes, begin: float, next_centre: float, theme: Theme) -> None:
    """Draw a short arrow from a stage towards the next."""
    end = begin + min(0.22, (next_centre - begin) / 3)
    axes.annotate(
        "",
        (end, _MIDDLE),
        (begin, _MIDDLE),
        arrowprops={"arrowstyle": "->", "color": theme.muted, "linewidth": 2},
    )
