"""A check that every picture must pass, rendering, and handwritten digits."""

from collections.abc import Callable, Iterator

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

EDGE = 4  # pixels round a picture that must stay free
PAD = [(2, 2), (2, 2)]  # from 24×24 to 28×28


def render(figure: Figure) -> np.ndarray:
    """Return the picture's pixels, `(height, width, 3)`, top row first."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def assert_complete(figure: Figure) -> None:
    """Fail if the picture is empty, has an empty panel, or is cut off anywhere."""
    background = 255 * np.array(matplotlib.colors.to_rgb(figure.get_facecolor()))
    ink = (render(figure) != background.round().astype(np.uint8)).any(-1)
    assert ink.mean() > 0.01, "almost nothing is drawn"
    edges = (ink[:EDGE], ink[-EDGE:], ink[:, :EDGE], ink[:, -EDGE:])
    assert not any(edge.any() for edge in edges), "something touches the edge"

    renderer = figure.canvas.get_renderer()
    unused = _labels_outside_their_axis(figure)
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() and text not in unused:
            (x0, y0), (x1, y1) = text.get_window_extent(renderer).get_points()
            inside = min(x0, y0) >= 0 and x1 <= ink.shape[1] and y1 <= ink.shape[0]
            assert inside, f"{text.get_text()!r} is cut off"
    for axes in figure.axes:
        left, bottom, right, top = axes.get_window_extent(renderer).extents.astype(int)
        panel = ink[len(ink) - top : len(ink) - bottom, left:right]
        assert panel[EDGE:-EDGE, EDGE:-EDGE].any(), f"empty: {axes}"


def _labels_outside_their_axis(figure: Figure) -> set[Text]:
    """Return the labels of ticks that Matplotlib keeps but does not draw."""
    outside = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    outside |= {tick.label1, tick.label2}
    return outside


@pytest.fixture
def complete() -> Callable[[Figure], None]:
    return assert_complete


@pytest.fixture
def pixels() -> Callable[[Figure], np.ndarray]:
    return render


@pytest.fixture(params=["light", "dark"])
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


@pytest.fixture(scope="session")
def drawn_digits() -> Callable[..., np.ndarray]:
    """Return what makes an array of real digits, `shape + (28, 28)`, uint8."""
    from sklearn.datasets import load_digits

    small = load_digits().images.astype(np.uint8)
    large = np.pad(np.kron(15 * small, np.ones((1, 3, 3), np.uint8)), [(0, 0), *PAD])

    def draw(*shape: int) -> np.ndarray:
        return large[: int(np.prod(shape))].reshape(*shape, 28, 28)

    return draw
