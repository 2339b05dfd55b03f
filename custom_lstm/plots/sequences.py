"""Pictures of sequences: the digits, and what was made of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots import marks
from custom_lstm.plots.checks import pictures, shaped, signed
from custom_lstm.plots.style import (
    CROSS,
    HEIGHT,
    SMALL,
    TEXT,
    TITLE,
    WIDTH,
    Picture,
    Theme,
    themed,
)

# Everything here is laid out in inches on one axes that fills the figure.
_MARGIN, _HEADER, _WORDS, _LINE = 0.3, 0.75, 1.05, 0.27
_LONGEST = 20  # digits on one line
_CELL = 1.55  # width of a digit with its sign, in digits


@dataclass(frozen=True)
class _Layout:
    """How sequences are set out: `across` beside each other, each on `lines` lines."""

    n: int
    steps: int
    lines: int
    across: int

    @property
    def rows(self) -> int:
        return -(-self.n // self.across) * self.lines

    @property
    def side(self) -> float:
        """The digit's side that fills a slide, within what looks well."""
        free = WIDTH - 2 * _MARGIN - self.across * _WORDS - (self.across - 1) * _MARGIN
        wide = free / (self.across * self.steps * _CELL)
        high = (HEIGHT - _HEADER - _MARGIN) / self.rows - 2 * _LINE - _MARGIN
        return min(wide, max(high, 0.36), 0.95)

    @property
    def block(self) -> float:
        return _WORDS + self.steps * _CELL * self.side

    @property
    def row(self) -> float:
        return self.side + 2 * _LINE + _MARGIN

    @property
    def size(self) -> tuple[float, float]:
        width = self.across * (self.block + _MARGIN) + _MARGIN
        return max(width, 6.0), _HEADER + self.rows * self.row

    def place(self, sequence: int, step: int) -> tuple[float, float]:
        """The centre of a digit, in inches from the top left."""
        line, column = divmod(step, self.steps)
        down, right = divmod(sequence, self.across)
        slack = self.size[0] - self.across * (self.block + _MARGIN) - _MARGIN
        x = _MARGIN + slack / 2 + right * (self.block + _MARGIN) + _WORDS
        x += (column + 1) * _CELL * self.side - self.side / 2
        return x, _HEADER + (down * self.lines + line) * self.row + self.side / 2

    def centre(self, sequence: int, step: int) -> tuple[float, float]:
        """The middle between a digit and its sign."""
        x, y = self.place(sequence, step)
        return x - (_CELL - 1.1) / 2 * self.side, y


def _layout(n: int, time: int) -> _Layout:
    """The layout with the largest digits."""
    steps = min(time, _LONGEST)
    lines = -(-time // _LONGEST)
    choices = [_Layout(n, steps, lines, across) for across in range(1, min(n, 4) + 1)]
    return max(choices, key=lambda layout: layout.side)


def predictions(
    images: ArrayLike,
    true_totals: ArrayLike | None,
    predicted_totals: ArrayLike | None,
    signs: ArrayLike,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw sequences of digits with the true and the predicted total at every step.

    A total that is wrong after rounding is boxed, bold and crossed.

    Args:
        images: `(n, time, 28, 28)`, or with a last axis of length 1.
        true_totals: `(n, time)`; None where nobody knows them.
        predicted_totals: `(n, time)`, rounded or not; None where nobody was asked.
        signs: `(time,)`, 1 where the digit is added and -1 where it is subtracted.
        title: stands over the picture; by default, how many totals are right.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes do not go together, or there are no totals at all.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((1, 2, 28, 28), np.uint8)
        >>> figure = predictions(images, [[3, 1]], [[3.2, 1.6]], [1, -1])
        >>> figure.axes[0].texts[0].get_text()
        '1 of 2 running totals right'
    """
    digits = pictures(images, ("n", "time"))
    n, time = digits.shape[:2]
    before = signed(signs, time)
    rows = {
        word: shaped(f"{word}_totals", totals, (n, time))
        for word, totals in (("true", true_totals), ("predicted", predicted_totals))
        if totals is not None
    }
    if not rows:
        raise ValueError("one of true_totals and predicted_totals must be given")
    wrong, heading = np.zeros((n, time), bool), f"{next(iter(rows))} running totals"
    if len(rows) == 2:
        wrong = marks.wrong(rows["true"], rows["predicted"])
        heading = f"{wrong.size - wrong.sum()} of {wrong.size} running totals right"
    with themed(style) as theme:
        sheet = _Sheet(_layout(n, time), theme, heading if title is None else title)
        for k, t in np.ndindex(n, time):
            if wrong[k, t]:
                sheet.box(k, t)
            sheet.digit(k, t, digits[k, t], float(before[t]))
            for row, (word, totals) in enumerate(rows.items()):
                colour = theme.muted if word == "true" else theme.model
                total, mistaken = float(totals[k, t]), bool(wrong[k, t])
                sheet.total(k, t, row, word, total, colour, mistaken)
    return sheet.figure


class _Sheet:
    """A picture of sequences in the making; each method draws for one step of one."""

    def __init__(self, layout: _Layout, theme: Theme, title: str) -> None:
        width, height = layout.size
        self.layout, self.theme = layout, theme
        self.figure = Picture(theme, layout.size)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        marks.blank(self.axes)
        self._write(width / 2, 0.42, title, TITLE, weight="bold")

    def digit(
        self, sequence: int, step: int, image: NDArray[np.float64], before: float
    ) -> None:
        """Draw the digit with its sign before it."""
        (x, y), side = self.layout.place(sequence, step), self.layout.side
        marks.digit(self.axes, image, (x, y), (side, side), self.theme)
        self._write(x - 0.7 * side, y, marks.sign(before), max(SMALL, 26 * side))

    def total(
        self,
        sequence: int,
        step: int,
        row: int,
        word: str,
        total: float,
        colour: str,
        wrong: bool,
    ) -> None:
        """Write a total under the digit and, where a line begins, what it is."""
        (x, y), side = self.layout.centre(sequence, step), self.layout.side
        y += side / 2 + (row + 0.5) * _LINE
        look: dict[str, Any] = {"color": colour}
        if wrong and word == "predicted":
            look = {"color": self.theme.wrong, "weight": "bold"}
        size = TEXT if side > 0.5 else SMALL
        self._write(x, y, marks.number(total), size, **look)
        if step % self.layout.steps == 0:
            left = x - _CELL * side / 2
            self._write(left, y, word, SMALL, color=colour, ha="right")

    def box(self, sequence: int, step: int) -> None:
        """Frame the digit and its totals, and pin a cross to the frame."""
        (x, y), side = self.layout.centre(sequence, step), self.layout.side
        wide, high = (_CELL - 0.12) * side, side + 2 * _LINE + 0.12
        left, top = x - wide / 2, y - side / 2 - 0.06
        frame = FancyBboxPatch(
            (left, top),
            wide,
            high,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=(self.theme.wrong, 0.15),
            edgecolor=self.theme.wrong,
            linewidth=2,
        )
        self.axes.add_patch(frame)
        pin = {"boxstyle": "circle,pad=0.15", "fc": self.theme.wrong, "ec": "none"}
        look = {"color": self.theme.background, "weight": "bold", "bbox": pin}
        self._write(left + wide - 0.02, top + 0.02, CROSS, SMALL, **look)

    def _write(self, x: float, y: float, text: str, size: float, **look: Any) -> None:
        self.axes.text(x, y, text, size=size, **{"ha": "center", "va": "center"} | look)
