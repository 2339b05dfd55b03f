"""Sequences of digits: their totals, the scores by position, the digits mistaken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from operator import itemgetter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.axes import (
    FRACTION,
    HALF,
    Floats,
    Rule,
    check_array,
    draw_series,
    hide_frame,
    label_point,
    percent_axis,
)
from custom_lstm.plots.style import (
    CROSS,
    HEIGHT,
    MINUS,
    SMALL,
    TEXT,
    TITLE,
    WIDTH,
    Theme,
    ThemedFigure,
    new_figure,
)

SIGN: Rule = (lambda v: np.abs(v) == 1, "be 1 or -1")
_DIGIT: Rule = (lambda v: (v == np.rint(v)) & (v >= 0) & (v <= 9), "be 0 to 9")

# Sequences are laid out in inches on one axes that fills the figure.
_MARGIN, _HEADER, _ROW_LABEL, _LINE = 0.3, 0.75, 1.05, 0.27
_LEGEND = 0.35  # below the heading, where something is marked
_LONGEST = 20  # digits on one line
_CELL = 1.55  # width of a digit with its sign, in digits
_OTHER = 10  # the confusion's column of steps that are no digit
_MISREAD, _CARRIED = 1, 2
_MARKS = {_MISREAD: f"{CROSS} misread", _CARRIED: "pale: error carried over"}
_OPERATIONS = {1: "added", -1: "subtracted"}


def check_images(images: ArrayLike, shape: Sequence[int | str]) -> Floats:
    """Return digits as floats from 0 (paper) to 1 (ink), `shape + (28, 28)`.

    They are uint8, or floats in any range, with or without a last axis of length 1.
    Raises a ValueError if the shape is another.
    """
    array = np.asarray(images)
    if array.ndim == len(shape) + 3 and array.shape[-1] == 1:
        array = array[..., 0]
    pixels = check_array("images", array, (*shape, 28, 28))
    if array.dtype == np.uint8:
        return pixels / 255
    low, high = float(pixels.min()), float(pixels.max())
    return (pixels - low) / ((high - low) or 1.0)


def draw_digit(
    axes: Axes,
    image: Floats,
    centre: tuple[float, float],
    size: tuple[float, float],
    theme: Theme,
) -> None:
    """Draw one digit on axes whose limits are set; `size` is in data coordinates."""
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


def sign_text(value: float) -> str:
    """Return the sign that is drawn before a digit."""
    return "+" if value > 0 else MINUS


def _total_text(value: float) -> str:
    """Return a total as text, rounded as it is scored; "?" if it is not finite."""
    if not np.isfinite(value):
        return "?"
    whole = int(np.rint(value))
    return f"{MINUS}{-whole}" if whole < 0 else str(whole)


def differ_rounded(true: Floats, predicted: Floats) -> NDArray[np.bool_]:
    """Return where a predicted total, rounded, is not the true one."""
    return np.rint(predicted) != np.rint(true)


def carried_over(true: Floats, predicted: Floats) -> NDArray[np.bool_]:
    """Return where a total is wrong by as much as at the step before, `(n, time)`.

    There the digit was read rightly: the rounded total changed as it should, and is
    wrong because of a digit before. What is not finite stays so.

    Example:
        >>> true, predicted = np.array([[2.0, 5.0, 1.0]]), np.array([[2.0, 7.0, 3.0]])
        >>> carried_over(true, predicted)
        array([[False, False,  True]])
    """
    off = np.where(np.isfinite(predicted), np.rint(predicted) - np.rint(true), np.inf)
    return (off != 0) & (off == np.insert(off[:, :-1], 0, 0, axis=1))


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

    A total that is wrong after rounding is boxed. Where the digit was misread, so that
    the total changed by another number than the true one, the box is strong, with a
    cross, and the total bold. Where the error was only carried over, the total being
    wrong by as much as at the step before, the box is pale and dashed; a legend says
    so. A total that is right again is not marked.

    The sequences fill as many columns as make the digits largest, of those that leave
    no cell empty.

    Args:
        images: `(n, time, 28, 28)`, or with a last axis of length 1.
        true_totals: `(n, time)`; None where they are unknown.
        predicted_totals: `(n, time)`, rounded or not; None where there are none.
        signs: `(time,)`, 1 where the digit is added and -1 where it is subtracted.
        title: a heading over the picture; by default, how many totals are right.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes do not match, or there are no totals at all.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((1, 2, 28, 28), np.uint8)
        >>> figure = predictions(images, [[3, 1]], [[3.2, 1.6]], [1, -1])
        >>> figure.axes[0].texts[0].get_text()
        '1 of 2 running totals right'
    """
    digits = check_images(images, ("n", "time"))
    n, time = digits.shape[:2]
    before = check_array("signs", signs, (time,), SIGN)
    rows = {
        word: check_array(f"{word}_totals", totals, (n, time))
        for word, totals in (("true", true_totals), ("predicted", predicted_totals))
        if totals is not None
    }
    if not rows:
        raise ValueError("one of true_totals and predicted_totals must be given")
    marks, heading = np.zeros((n, time), int), f"{next(iter(rows))} running totals"
    if len(rows) == 2:
        wrong = differ_rounded(**rows)
        marks = np.where(carried_over(**rows), _CARRIED, _MISREAD) * wrong
        heading = f"{wrong.size - wrong.sum()} of {wrong.size} running totals right"
    grid = _largest_grid(n, time, _HEADER + _LEGEND * bool(marks.any()))
    with new_figure(style, grid.size, layout=None) as (figure, theme):
        sheet = _Sheet(figure, grid, theme, heading if title is None else title)
        for k, t in np.ndindex(n, time):
            if marks[k, t]:
                sheet.box(k, t, pale=marks[k, t] == _CARRIED)
            sheet.digit(k, t, digits[k, t], float(before[t]))
            for row, (word, totals) in enumerate(rows.items()):
                sheet.total(k, t, row, word, float(totals[k, t]), int(marks[k, t]))
        sheet.legend([mark for mark in _MARKS if mark in marks])
    return figure


@dataclass(frozen=True)
class _Grid:
    """How sequences are laid out: `across` beside each other, each on `lines` lines."""

    n: int
    steps: int
    lines: int
    across: int
    header: float = _HEADER

    @property
    def rows(self) -> int:
        return -(-self.n // self.across) * self.lines

    @property
    def side(self) -> float:
        """The digit's side that fills a slide, within what looks well."""
        labels = self.across * _ROW_LABEL + (self.across - 1) * _MARGIN
        wide = (WIDTH - 2 * _MARGIN - labels) / (self.across * self.steps * _CELL)
        high = (HEIGHT - self.header - _MARGIN) / self.rows - 2 * _LINE - _MARGIN
        return min(wide, max(high, 0.36), 0.95)

    @property
    def block(self) -> float:
        return _ROW_LABEL + self.steps * _CELL * self.side

    @property
    def row(self) -> float:
        return self.side + 2 * _LINE + _MARGIN

    @property
    def size(self) -> tuple[float, float]:
        width = self.across * (self.block + _MARGIN) + _MARGIN
        return max(width, 6.0), self.header + self.rows * self.row

    def place(self, sequence: int, step: int) -> tuple[float, float]:
        """Return the centre of a digit, in inches from the top left."""
        line, column = divmod(step, self.steps)
        down, right = divmod(sequence, self.across)
        slack = self.size[0] - self.across * (self.block + _MARGIN) - _MARGIN
        x = _MARGIN + slack / 2 + right * (self.block + _MARGIN) + _ROW_LABEL
        x += (column + 1) * _CELL * self.side - self.side / 2
        return x, self.header + (down * self.lines + line) * self.row + self.side / 2

    def centre(self, sequence: int, step: int) -> tuple[float, float]:
        """Return the middle between a digit and its sign."""
        x, y = self.place(sequence, step)
        return x - (_CELL - 1.1) / 2 * self.side, y


def _largest_grid(n: int, time: int, header: float) -> _Grid:
    """Return the grid with the largest digits of those that have no empty cell."""
    lines = -(-time // _LONGEST)
    steps = -(-time // lines)
    columns = [across for across in range(1, 5) if n % across == 0]
    choices = [_Grid(n, steps, lines, across, header) for across in columns]
    return max(choices, key=lambda grid: grid.side)


class _Sheet:
    """Sequences in the making; each method draws one thing for one step of one."""

    def __init__(
        self, figure: ThemedFigure, grid: _Grid, theme: Theme, title: str
    ) -> None:
        width, height = grid.size
        self.grid, self.theme = grid, theme
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        hide_frame(self.axes)
        self._write(width / 2, 0.42, title, TITLE, weight="bold")

    def digit(self, sequence: int, step: int, image: Floats, sign: float) -> None:
        """Draw the digit with its sign before it."""
        (x, y), side = self.grid.place(sequence, step), self.grid.side
        draw_digit(self.axes, image, (x, y), (side, side), self.theme)
        self._write(x - 0.7 * side, y, sign_text(sign), max(SMALL, 26 * side))

    def total(
        self, sequence: int, step: int, row: int, word: str, total: float, mark: int
    ) -> None:
        """Write a total under the digit and, where a line begins, what it is."""
        (x, y), side = self.grid.centre(sequence, step), self.grid.side
        y += side / 2 + (row + 0.5) * _LINE
        colour = self.theme.muted if word == "true" else self.theme.model
        look: dict[str, Any] = {"color": colour}
        if mark and word == "predicted":
            weight = "bold" if mark == _MISREAD else "normal"
            look = {"color": self.theme.wrong, "weight": weight}
        size = TEXT if side > 0.5 else SMALL
        self._write(x, y, _total_text(total), size, **look)
        if step % self.grid.steps == 0:
            left = x - _CELL * side / 2
            self._write(left, y, word, SMALL, color=colour, ha="right")

    def box(self, sequence: int, step: int, pale: bool) -> None:
        """Frame the digit and its totals; unless pale, cross the frame's corner."""
        (x, y), side = self.grid.centre(sequence, step), self.grid.side
        wide, high = (_CELL - 0.12) * side, side + 2 * _LINE + 0.12
        left, top = x - wide / 2, y - side / 2 - 0.06
        shape = "round,pad=0,rounding_size=0.06"
        look = self._frame(pale)
        frame = FancyBboxPatch((left, top), wide, high, boxstyle=shape, **look)
        self.axes.add_patch(frame)
        if not pale:
            pin = {"boxstyle": "circle,pad=0.15", "fc": self.theme.wrong, "ec": "none"}
            cross = {"color": self.theme.background, "weight": "bold", "bbox": pin}
            self._write(left + wide - 0.02, top + 0.02, CROSS, SMALL, **cross)

    def legend(self, marks: Sequence[int]) -> None:
        """Say below the heading what the marks mean that are drawn."""
        frames = [
            Patch(label=_MARKS[mark], **self._frame(pale=mark == _CARRIED))
            for mark in marks
        ]
        if frames:
            height = self.grid.size[1]
            self.axes.legend(
                handles=frames,
                ncols=len(frames),
                loc="center",
                bbox_to_anchor=(0.5, 1 - (_HEADER + 0.02) / height),
                fontsize=SMALL,
                columnspacing=1.5,
                borderpad=0,
            )

    def _frame(self, pale: bool) -> dict[str, Any]:
        """Return how the frame round a wrong total looks."""
        wrong = self.theme.wrong
        fill, edge = (0.05, 0.55) if pale else (0.15, 1.0)
        return {
            "facecolor": (wrong, fill),
            "edgecolor": (wrong, edge),
            "linewidth": 1.2 if pale else 2,
            "linestyle": "--" if pale else "-",
        }

    def _write(self, x: float, y: float, text: str, size: float, **look: Any) -> None:
        self.axes.text(x, y, text, size=size, **{"ha": "center", "va": "center"} | look)


def positions(
    exact_per_position: ArrayLike,
    ceiling_per_position: ArrayLike,
    baselines: Mapping[str, ArrayLike],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw the exact match at every position, below its ceiling, above its baselines.

    The left panel has the whole scale; the right one, unless a fraction falls below a
    half, the top end alone, where model and ceiling part.

    Args:
        exact_per_position: `(time,)`, the fraction of totals that were right.
        ceiling_per_position: `(time,)`, `p ** t` for single-digit accuracy p.
        baselines: for each image-blind baseline its name and its `(time,)` exact match.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the lengths differ or a value is not a fraction.

    Example:
        >>> blind = {"mode": [0.11, 0.09, 0.08]}
        >>> figure = positions([0.99, 0.98, 0.97], [0.99, 0.985, 0.98], blind)
        >>> len(figure.axes)
        2
    """
    exact = check_array("exact_per_position", exact_per_position, ("time",), FRACTION)
    length = (len(exact),)
    ceiling = check_array(
        "ceiling_per_position", ceiling_per_position, length, FRACTION
    )
    blind = {
        name: check_array(f"baseline {name!r}", values, length, FRACTION)
        for name, values in baselines.items()
    }
    with new_figure(style, (WIDTH, 5.6), title) as (figure, theme):
        high = np.concatenate([exact, ceiling])
        two = np.nanmin(high) >= HALF
        whole, *top = figure.subplots(1, 1 + two, squeeze=False)[0]
        for axes in (whole, *top):
            draw_series(axes, ceiling, "ceiling $p^t$", theme.ink, "--", "")
            draw_series(axes, exact, "model", theme.model, "-", "o")
            axes.set_xlabel("position in the sequence")
        for (name, values), marker in zip(blind.items(), cycle("^vDPX"), strict=False):
            label = f"image-blind {name}"
            drawn = draw_series(whole, values, label, theme.muted, ":", marker)
            drawn.set(mfc="none", mec=theme.muted, mew=2)
        percent_axis(whole, np.zeros(1))
        whole.set_title("exact match at each position")
        if top:
            percent_axis(top[0], high)
            low, upper = top[0].get_ylim()
            top[0].set_ylim(top=upper + 0.09 * (upper - low))  # room for the values
            top[0].set_title("the top end, enlarged")
        _label_positions((whole, *top)[-1], exact, ceiling, theme)
        lines, labels = whole.get_legend_handles_labels()
        figure.legend(lines, labels, ncols=3, loc="outside lower center")
    return figure


def _label_positions(axes: Axes, exact: Floats, ceiling: Floats, theme: Theme) -> None:
    """Write the values at the points: at all of a few, at the last of many."""
    for t in range(len(exact)) if len(exact) <= 6 else [len(exact) - 1]:
        pair = [(exact[t], theme.model), (ceiling[t], theme.ink)]
        lower, upper = sorted(pair, key=itemgetter(0))
        for (value, colour), side in ((lower, -1), (upper, 1)):
            text, point, offset = f"{100 * value:.2f}", (t + 1, value), (0, 10 * side)
            below = {"ha": "center", "va": "bottom" if side > 0 else "top"}
            label_point(axes, text, point, offset, colour, theme, **below)


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
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure, with a panel for each sign there is.

    Raises:
        ValueError: if the shapes do not match or a digit is not 0 to 9.

    Example:
        >>> figure = confusion([[3, 5], [3, 5]], [[3, -2], [8, 3]], [1, -1])
        >>> [axes.get_title("right") for axes in figure.axes]
        ['1 of 2 right', '2 of 2 right']
    """
    shown = check_array("digits", digits, ("n", "time"), _DIGIT).astype(int)
    totals = np.rint(check_array("predicted_totals", predicted_totals, shown.shape))
    before = check_array("signs", signs, shown.shape[1:], SIGN)
    taken = before * np.diff(totals, axis=1, prepend=0)
    taken = np.where((taken >= 0) & (taken <= 9), taken, _OTHER)
    present = [sign for sign in _OPERATIONS if sign in before]
    with new_figure(style, (WIDTH, 6.6), title) as (figure, theme):
        panels = figure.subplots(1, len(present), squeeze=False)[0]
        for axes, sign in zip(panels, present, strict=True):
            counts = np.zeros((10, 11), int)
            here = before == sign
            np.add.at(counts, (shown[:, here], taken[:, here].astype(int)), 1)
            _draw_matrix(axes, counts, theme)
            axes.set_title(f"digits {_OPERATIONS[sign]} ({sign_text(sign)})")
            right, of = np.trace(counts), counts.sum()
            axes.set_title(f"{right} of {of} right", loc="right", color=theme.model)
        panels[0].set_ylabel("digit shown")
    return figure


def _draw_matrix(axes: Axes, counts: NDArray[np.int_], theme: Theme) -> None:
    """Draw counts `(10, 11)`, right ones and mistakes in their own colours."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(10, 11, dtype=bool)
    for hidden, colour, most in (
        (~diagonal, theme.model, 1.0),
        (diagonal, theme.wrong, max(shares[~diagonal].max(), 0.1)),
    ):
        ramp = LinearSegmentedColormap.from_list("", [theme.background, colour])
        some = np.ma.array(shares, mask=hidden)
        axes.imshow(some, cmap=ramp, vmin=0, vmax=2 * most, aspect="auto")
    centred: dict[str, Any] = {"ha": "center", "va": "center", "size": SMALL}
    frame: dict[str, Any] = {"fill": False, "edgecolor": theme.wrong, "linewidth": 2}
    for row, column in np.argwhere(counts):
        mistaken = not diagonal[row, column]
        weight = "bold" if mistaken else "normal"
        axes.text(column, row, str(counts[row, column]), weight=weight, **centred)
        if mistaken:
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, **frame)).set_clip_on(False)
    axes.axvline(_OTHER - 0.5, color=theme.muted, linestyle=":")
    axes.grid(False)
    axes.set_xticks(range(11), [*range(10), "no\ndigit"])
    axes.set_yticks(range(10))
    axes.tick_params(length=0)
    axes.set_xlabel("digit that the total changed by")
