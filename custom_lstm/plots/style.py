"""The visual language: two themes, a new figure in one of them, and saving it."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import matplotlib
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from custom_lstm.files import atomic_write

WIDTH, HEIGHT = 12.8, 7.2  # inches: a 16:9 slide
DPI = 150
TITLE, TEXT, SMALL = 17.0, 14.0, 12.0  # points
CROSS = "\N{BALLOT X}"
MINUS = "\N{MINUS SIGN}"
Layout: TypeAlias = Literal["constrained"] | None


@dataclass(frozen=True)
class Theme:
    """The colours on one background, each named for what it means."""

    background: str
    ink: str  # text
    muted: str  # what the model is measured against
    grid: str
    model: str
    wrong: str
    series: tuple[str, ...]  # several of a kind, none of them "the" model
    digit: Colormap  # paper .. ink
    gate: Colormap  # closed .. open
    state: Colormap  # negative .. zero .. positive

    def settings(self) -> dict[Any, Any]:
        """Matplotlib's rcParams for this theme."""
        text = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color")
        return {
            **dict.fromkeys((*text, "ytick.color"), self.ink),
            **dict.fromkeys(("figure.facecolor", "axes.facecolor"), self.background),
            "font.family": "DejaVu Sans",  # Matplotlib carries it
            "font.size": TEXT,
            "axes.titlesize": TEXT,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": TEXT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.color": self.grid,
            "figure.constrained_layout.h_pad": 0.12,
            "figure.constrained_layout.w_pad": 0.12,
            "figure.dpi": DPI,
            "figure.titlesize": TITLE,
            "figure.titleweight": "bold",
            "legend.frameon": False,
            "legend.fontsize": TEXT,
            "lines.linewidth": 2.5,
            "lines.markeredgecolor": self.background,
            "lines.markersize": 9,
            "xtick.labelsize": SMALL,
            "ytick.labelsize": SMALL,
        }


def _ramp(*colours: str) -> Colormap:
    return LinearSegmentedColormap.from_list("custom_lstm", colours)


THEMES = {
    "light": Theme(
        background="#ffffff",
        ink="#1a1a1a",
        muted="#666666",
        grid="#dddddd",
        model="#0072b2",
        wrong="#c44e00",
        series=("#0072b2", "#c44e00", "#007a59", "#a3447c", "#1a1a1a", "#7a5c00"),
        digit=_ramp("#ffffff", "#000000"),
        gate=_ramp("#f7f7f7", "#8cc9b5", "#009e73", "#00402f"),
        state=_ramp("#003f66", "#0072b2", "#f7f7f7", "#d55e00", "#7a3200"),
    ),
    "dark": Theme(
        background="#15181c",
        ink="#f2f2f2",
        muted="#a6a6a6",
        grid="#3a3f46",
        model="#56b4e9",
        wrong="#ff8c42",
        series=("#56b4e9", "#ff8c42", "#00c896", "#e59ac4", "#f2f2f2", "#e6c229"),
        digit=_ramp("#15181c", "#ffffff"),
        gate=_ramp("#1d2126", "#00604a", "#00b384", "#c8ffee"),
        state=_ramp("#bfe3ff", "#56b4e9", "#1d2126", "#f07818", "#ffd9b0"),
    ),
}


@contextmanager
def _settings(theme: Theme | None) -> Iterator[None]:
    """Matplotlib as it is delivered, in this theme; afterwards as the user had it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        if theme:
            matplotlib.rcParams.update(theme.settings())
        yield


class ThemedFigure(Figure):
    """A figure that keeps its theme, and that a notebook shows without pyplot.

    Matplotlib makes an axis's ticks when it first draws them, from the settings of
    that moment, so the theme must hold while drawing too.
    """

    def __init__(self, theme: Theme, size: tuple[float, float], layout: Layout) -> None:
        self._theme = theme
        super().__init__(size, layout=layout)

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the figure's own theme."""
        with _settings(self._theme):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Draw for a notebook: 256 colours, a third of the bytes of all of them."""
        drawn, small = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=DPI / 2)
        pixels = Image.open(drawn).convert("RGB")
        colours = pixels.quantize(256, dither=Image.Dither.NONE)
        colours.save(small, format="png", optimize=True)
        return small.getvalue()


@contextmanager
def new_figure(
    style: str,
    size: tuple[float, float],
    title: str | None = None,
    layout: Layout = "constrained",
) -> Iterator[tuple[ThemedFigure, Theme]]:
    """Open a figure in the named theme, whatever the user's own rcParams are.

    Args:
        style: "light" or "dark".
        size: width and height in inches.
        title: a heading over the whole figure.
        layout: Matplotlib's layout engine.

    Yields:
        The figure and its theme, which holds until the block ends.

    Raises:
        ValueError: if there is no such style.
    """
    if style not in THEMES:
        raise ValueError(f'style must be "light" or "dark", got {style!r}')
    theme = THEMES[style]
    with _settings(theme):
        figure = ThemedFigure(theme, size, layout)
        if title:
            figure.suptitle(title)
        yield figure, theme


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG: afterwards the file is complete, or as it was before.

    Args:
        figure: the picture.
        path: where to; its name ends in `.png` and its folder exists.

    Returns:
        The path written.

    Raises:
        ValueError: if the name does not end in `.png`.
        OSError: if the folder is missing or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(Figure(), f"{folder}/empty.png").name
        'empty.png'
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"a picture's name must end in .png, got {str(path)!r}")
    with atomic_write(path) as part, _settings(None):
        figure.savefig(part, format="png")
    return path
