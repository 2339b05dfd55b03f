"""Where the panels of a picture with two columns over time stand."""

from dataclasses import dataclass

from custom_lstm.plots.style import HEIGHT, WIDTH

_LEFT, _BAR, _BETWEEN, _BOTTOM, _TITLE, _EDGE = 0.65, 0.95, 0.65, 0.75, 0.38, 0.15
_STEP = 0.24  # inches, as above: the narrowest time step that still shows its digit


@dataclass(frozen=True)
class Page:
    """Two columns of panels, both over the same time steps, set out in inches."""

    time: int

    @property
    def span(self) -> float:
        """Width of a column's panels."""
        free = WIDTH - _LEFT - _BETWEEN - 2 * _BAR
        return max(free / 2, self.time * _STEP)

    @property
    def side(self) -> float:
        """A digit's side."""
        return min(self.span / self.time, 0.8)

    @property
    def top(self) -> float:
        """Height of the digits with their signs, down to the first panel's title."""
        return self.side + 0.36

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        return _LEFT + _BETWEEN + 2 * (self.span + _BAR), HEIGHT

    def panel(
        self, column: int, row: int, rows: int
    ) -> tuple[float, float, float, float]:
        """A panel's place in the figure; row -1 is that of the digits."""
        left = _LEFT + column * (self.span + _BAR + _BETWEEN)
        if row < 0:
            return self._fractions(left, HEIGHT - _EDGE - self.top, self.top)
        high = (HEIGHT - _EDGE - self.top - _BOTTOM) / rows
        return self._fractions(left, _BOTTOM + (rows - 1 - row) * high, high - _TITLE)

    def _fractions(
        self, left: float, bottom: float, high: float
    ) -> tuple[float, float, float, float]:
        width, height = self.size
        return left / width, bottom / height, self.span / width, high / height
