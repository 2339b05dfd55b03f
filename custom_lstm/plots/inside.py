"""Inside a network: gates and states, what a state encodes, the shapes of samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.axes import (
    Floats,
    Rule,
    check_array,
    draw_against_truth,
    hide_frame,
)
from custom_lstm.plots.digits import (
    SIGN,
    check_images,
    differ_rounded,
    draw_digit,
    sign_text,
)
from custom_lstm.plots.style import (
    HEIGHT,
    SMALL,
    TEXT,
    TITLE,
    WIDTH,
    Theme,
    new_figure,
)
from custom_lstm.plots.units import (
    FINEST,
    Scale,
    draw_units,
    labelled,
    map_inches,
    notable_units,
    sorted_note,
    strip_rows,
    write_note,
)

_FINITE: Rule = (np.isfinite, "be finite")
_MAPS = {  # name: column, row, rows in that column, title, what it does
    "input": (0, 0, 4, "input gate $i$", "how much is written"),
    "forget": (0, 1, 4, "forget gate $f$", "how much is kept"),
    "candidate": (0, 2, 4, "candidate $g$", "what is written"),
    "output": (0, 3, 4, "output gate $o$", "how much is output"),
    "c": (1, 0, 3, "cell state $c$", r"$c\,' = f \circ c + i \circ g$"),
    "h": (1, 1, 3, "hidden state $h$", r"$h' = o \circ \tanh(c\,')$"),
}
_KINDS = (
    "total, sign: units whose $c$ follows the running total, the alternating sign; "
    "active: whose $c$ changes most\n"
)
_NAMED = 5  # units with a name where there are too many for a row each
_SEQUENCES = 4  # drawn over time beside a linear probe

# Shapes are laid out in inches on one axes that fills the figure.
_HEIGHT, _MARGIN, _MIDDLE = 4.2, 0.35, 2.0
_LARGEST, _BAR = 1.9, 0.22  # side of the largest map, width of a vector
_ROOMY = 1.3  # width of a stage from which on its words are large
_SHEETS, _OFFSET = 6, 0.07  # sheets drawn of a stack of maps at most, and their step


def gates(
    images: ArrayLike,
    signs: ArrayLike,
    states: Mapping[str, ArrayLike],
    true_totals: ArrayLike,
    predicted: ArrayLike,
    *,
    units: Mapping[str, Sequence[int]] | None = None,
    style: str = "light",
) -> Figure:
    """Draw every gate and state of an LSTM above one another while it sees a sequence.

    The digits are drawn over each column of heat maps: gates on the left; on the right
    the states and the running total, true and predicted. A row is a unit, the same in
    every map: sorted along the strongest common trajectory of the cell states, from the
    units that follow it to those that mirror it.

    Where there are more units than rows can be told apart, about 30, or `units` names
    some, a few have a row with their name, and below them all others are sorted at
    every step and averaged to as many rows as can be told apart: how much of that strip
    has a colour is how many of them have that value.

    Args:
        images: `(time, 28, 28)`, or with a last axis of length 1.
        signs: `(time,)`, 1 where the digit is added and -1 where it is subtracted.
        states: `input`, `forget`, `output` (0 to 1), `candidate`, `h` (-1 to 1) and
            `c`, each `(time, units)`.
        true_totals: `(time,)`.
        predicted: `(time,)`, the totals predicted, rounded or not.
        units: which have a row with their name, by kind, as `notable_units` finds them
            in many sequences; by default, those that it finds in this one: where c
            follows the total or the sign, or changes most.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if a state is missing, the shapes do not match, or there is no such
            unit.

    Example:
        >>> import numpy as np
        >>> names = ["input", "forget", "candidate", "output", "c", "h"]
        >>> states = {name: np.full((4, 8), 0.5) for name in names}
        >>> images = np.zeros((4, 28, 28), np.uint8)
        >>> figure = gates(images, [1, -1, 1, -1], states, [3, 1, 2, 2], [3, 1, 2, 1])
        >>> figure.axes[0].get_title("left")
        'input gate $i$'
    """
    digits = check_images(images, ("time",))
    layout = _TwoColumns(len(digits))
    signs = check_array("signs", signs, (layout.time,), SIGN)
    true = check_array("true_totals", true_totals, (layout.time,))
    answers = check_array("predicted", predicted, (layout.time,))
    maps = _check_states(states, layout.time)
    if units is None and maps["c"].shape[1] > layout.most_rows:
        follow = {"total": true[None], "sign": signs[None]}
        units = notable_units(maps["c"][None], follow, _NAMED)
    named = {} if units is None else labelled(units, maps["c"].shape[1:])
    layout = _TwoColumns(layout.time, len(named))
    with new_figure(style, layout.size, layout=None) as (figure, theme):
        _draw_maps(figure, maps, named, layout, theme)
        axes = figure.add_axes(layout.panel(1, 2, 3))
        _draw_running_total(axes, true, answers, theme)
        _number_columns(axes, layout, last=True)
        for column in (0, 1):
            axes = figure.add_axes(layout.panel(column, -1, 1))
            _draw_digits(axes, digits, signs, layout, theme)
    return figure


@dataclass(frozen=True)
class _TwoColumns:
    """Two columns of panels over the same time steps, laid out in inches."""

    time: int
    named: int = 0  # units that have their names beside their rows
    bar, title, edge = 0.95, 0.38, 0.15
    narrowest = 0.24  # time step that still shows its digit

    @property
    def left(self) -> float:
        """Width of what stands beside a panel, there and between the columns."""
        return 1.1 if self.named else 0.65

    @property
    def bottom(self) -> float:
        """Height of what stands below the panels."""
        return 1.3 if self.named else 0.75

    @property
    def height(self) -> float:
        """Height of the figure."""
        if not self.named:
            return HEIGHT
        maps = 4 * (map_inches(self.named) + self.title)
        return self.edge + self.top + maps + self.bottom

    @property
    def most_rows(self) -> int:
        """How many rows can be told apart in the lowest panel."""
        return int(self.panel(0, 0, 4)[3] * self.height / FINEST)

    @property
    def span(self) -> float:
        """Width of a column's panels."""
        free = WIDTH - 2 * (self.left + self.bar)
        return max(free / 2, self.time * self.narrowest)

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
        return 2 * (self.left + self.span + self.bar), self.height

    def panel(
        self, column: int, row: int, rows: int
    ) -> tuple[float, float, float, float]:
        """Return a panel's place in the figure; row -1 is that of the digits."""
        left = self.left + column * (self.left + self.span + self.bar)
        if row < 0:
            bottom, high = self.height - self.edge - self.top, self.top
        else:
            each = (self.height - self.edge - self.top - self.bottom) / rows
            bottom, high = self.bottom + (rows - 1 - row) * each, each - self.title
        width, height = self.size
        return left / width, bottom / height, self.span / width, high / height


def _check_states(states: Mapping[str, ArrayLike], time: int) -> dict[str, Floats]:
    """Return the states as arrays of one shape `(time, units)`."""
    missing = [name for name in _MAPS if name not in states]
    if missing:
        raise ValueError(
            f"states must hold {', '.join(_MAPS)}; {', '.join(missing)} is missing"
        )
    units = check_array("states['c']", states["c"], (time, "units")).shape[1]
    return {
        name: check_array(f"states[{name!r}]", states[name], (time, units), _FINITE)
        for name in _MAPS
    }


def _order(c: Floats) -> NDArray[np.intp]:
    """Return units by their share of the strongest common trajectory of `c`.

    That is the first right singular vector; units that become positive come first.
    """
    left, _, right = np.linalg.svd(c, full_matrices=False)
    return np.argsort(-right[0] * (np.sign(left[:, 0].sum()) or 1), kind="stable")


def _draw_maps(
    figure: Figure,
    maps: dict[str, Floats],
    named: dict[str, int],
    layout: _TwoColumns,
    theme: Theme,
) -> None:
    """Draw the heat maps: every unit, or those named and the others summed up."""
    order = _order(maps["c"])
    strip = strip_rows(layout.panel(0, 0, 4)[3] * layout.height)
    for name, (column, row, rows, title, note) in _MAPS.items():
        axes = figure.add_axes(layout.panel(column, row, rows))
        axes.set_title(title)
        axes.set_title(
            note, loc="right", weight="normal", size=SMALL, color=theme.muted
        )
        gate = name in ("input", "forget", "output")
        scale = Scale.of(maps[name], gate, fixed=name != "c")
        if named:
            draw_units(axes, maps[name], named, strip, scale, theme)
        else:
            _draw_heat_map(axes, maps[name][:, order].T, scale, theme)
        scale.draw_bar(figure, axes)
        _number_columns(axes, layout, last=row == 3)
    others = len(order) - len(named)
    if named and others:
        write_note(figure, _KINDS + sorted_note(others, strip), theme)


def _draw_heat_map(axes: Axes, values: Floats, scale: Scale, theme: Theme) -> None:
    """Draw `(units, time)` as a heat map, a row a unit."""
    axes.imshow(values, **scale.image(theme))
    units, time = values.shape
    axes.grid(False)
    axes.set_yticks([])
    axes.set_ylabel(f"{units} units", size=SMALL)
    axes.vlines(np.arange(1, time) - 0.5, -0.5, units - 0.5, theme.background, lw=1.5)


def _draw_running_total(
    axes: Axes, true: Floats, predicted: Floats, theme: Theme
) -> None:
    """Draw the true and the predicted total over time, and cross the mistakes."""
    draw_against_truth(axes, true, predicted, theme, first=0)
    wrong = np.flatnonzero(differ_rounded(true, predicted))
    if wrong.size:
        axes.plot(wrong, predicted[wrong], "X", color=theme.wrong, label="wrong", ms=13)
    axes.set_title("running total")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(y=0.15)
    axes.legend(
        ncols=3,
        loc="lower right",
        bbox_to_anchor=(1.02, 0.96),
        fontsize=SMALL,
        columnspacing=0.8,
        handlelength=1.4,
        handletextpad=0.3,
    )


def _number_columns(axes: Axes, layout: _TwoColumns, last: bool) -> None:
    """Let the axes run over the time steps, numbered from 1 under the last panel."""
    axes.set_xlim(-0.5, layout.time - 0.5)
    every = int(np.ceil(0.3 * layout.time / layout.span))
    steps = np.arange(0, layout.time, every)
    axes.set_xticks(steps, steps + 1)
    axes.tick_params(axis="x", length=0, labelbottom=last)
    if last:
        axes.set_xlabel("time step", size=SMALL)


def _draw_digits(
    axes: Axes, digits: Floats, signs: Floats, layout: _TwoColumns, theme: Theme
) -> None:
    """Draw the digits, each over its column, with its sign above it."""
    axes.set(xlim=(-0.5, layout.time - 0.5), ylim=(0, layout.top))
    hide_frame(axes)
    side = layout.side
    size = side * layout.time / layout.span, side
    for t, digit in enumerate(digits):
        draw_digit(axes, digit, (t, 0.08 + side / 2), size, theme)
        sign = sign_text(signs[t])
        axes.text(t, side + 0.2, sign, ha="center", va="center", size=18)


def linear_probe(
    cells: ArrayLike,
    totals: ArrayLike,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how well one linear function of the cell state gives the running total.

    The probe is the best one in the sense of least squares,

        w, b = argmin Σ (c_t·w + b − y_t)²    over the steps of every other sequence,

    and is drawn for the sequences between, which it was not fitted to: all their
    steps on the left, with R² = 1 − Σ(ŷ − y)² / Σ(y − ȳ)², and on the right the
    first few of them over time.

    Args:
        cells: cell states `(n, time, units)`, as `custom_lstm.trace` gives them.
        totals: true totals `(n, time)`.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes do not match, or half of the sequences have
            no more steps than there are units.

    Source: linear probes: Alain and Bengio, 2016, https://arxiv.org/abs/1610.01644.

    Example:
        >>> totals = np.arange(24.0).reshape(12, 2)
        >>> figure = linear_probe(totals[..., None] * [2, -1], totals)
        >>> figure.axes[0].get_title("right")
        '$R^2$ = 1.000'
    """
    c = check_array("cells", cells, ("n", "time", "units"))
    y = check_array("totals", totals, c.shape[:2])
    fitted, drawn = slice(0, None, 2), slice(1, None, 2)
    if y[drawn].size <= c.shape[-1]:
        raise ValueError(
            "cells must have more steps in half of the sequences than units, got "
            f"{y[drawn].size} steps, {c.shape[-1]} units"
        )
    c = np.append(c, np.ones((*y.shape, 1)), axis=-1)
    weights = np.linalg.lstsq(c[fitted].reshape(y[fitted].size, -1), y[fitted].ravel())
    true, read = y[drawn], c[drawn] @ weights[0]
    with new_figure(style, (WIDTH, 5.6), title) as (figure, theme):
        left, right = figure.subfigures(1, 2, squeeze=False)[0]
        _draw_scatter(left.subplots(), true.ravel(), read.ravel(), theme)
        shown = min(len(true), _SEQUENCES)
        panels = right.subplots(
            -(-shown // 2), min(shown, 2), squeeze=False, sharex=True, sharey=True
        )
        for axes, expected, found in zip(panels.flat, true, read, strict=False):
            draw_against_truth(axes, expected, found, theme, label="read")
            axes.margins(0.1)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axes in panels[-1]:
            axes.set_xlabel("position")
        panels[0, 0].legend(loc="best", fontsize="small")
        right.suptitle("held-out sequences", size="medium")
    return figure


def _draw_scatter(axes: Axes, true: Floats, read: Floats, theme: Theme) -> None:
    """Draw what was read against what is true, every step a point."""
    ends = np.array([true.min(), true.max()])
    axes.plot(ends, ends, "--", color=theme.muted)
    axes.plot(true, read, "o", color=theme.model, alpha=0.35, ms=6, mec="none")
    rest = np.square(read - true).sum() / (np.square(true - true.mean()).sum() or 1)
    axes.set_title("linear probe of $c_t$")
    axes.set_title(f"$R^2$ = {1 - rest:.3f}", loc="right", color=theme.model)
    axes.set_xlabel("true running total $y_t$")
    axes.set_ylabel("read from $c_t$")


readout = linear_probe  # its former name


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
        title: a heading over the whole picture.
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
    with new_figure(style, (WIDTH, _HEIGHT), layout=None) as (figure, theme):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, _HEIGHT))
        hide_frame(axes)
        if title:
            top = _HEIGHT - 0.4
            axes.text(WIDTH / 2, top, title, ha="center", size=TITLE, weight="bold")
        slot = (WIDTH - 2 * _MARGIN) / len(stages)
        scale = min(_LARGEST, slot - 0.6) / largest
        size = TEXT if slot > _ROOMY else SMALL
        for number, (name, shape) in enumerate(stages):
            centre = _MARGIN + (number + 0.5) * slot
            half = _draw_stage(axes, centre, shape, scale, theme)
            _label_stage(axes, centre, name, shape, size, theme)
            if number + 1 < len(stages):
                _draw_arrow(axes, centre + half + 0.08, centre + slot, theme)
    return figure


def _draw_stage(
    axes: Axes, centre: float, shape: Sequence[int], scale: float, theme: Theme
) -> float:
    """Draw a stack of maps or a bar; return half its width."""
    if len(shape) == 1:
        _draw_sheet(axes, centre, _MIDDLE, _BAR, _LARGEST, theme)
        return _BAR / 2
    height, width, channels = shape
    sheets = min(channels, _SHEETS)
    for sheet in reversed(range(sheets)):
        away = (sheet - (sheets - 1) / 2) * _OFFSET
        sides = max(width * scale, 0.08), max(height * scale, 0.08)
        _draw_sheet(axes, centre + away, _MIDDLE + away, *sides, theme)
    return width * scale / 2 + (sheets - 1) / 2 * _OFFSET


def _draw_sheet(
    axes: Axes, x: float, y: float, width: float, height: float, theme: Theme
) -> None:
    corner, edge = (x - width / 2, y - height / 2), theme.model
    axes.add_patch(Rectangle(corner, width, height, fc=theme.grid, ec=edge, lw=1.5))


def _label_stage(
    axes: Axes, x: float, name: str, shape: Sequence[int], size: float, theme: Theme
) -> None:
    """Write a stage's name above it and its shape below."""
    top, bottom = _MIDDLE + _LARGEST / 2 + 0.35, _MIDDLE - _LARGEST / 2 - 0.45
    axes.text(x, top, name, ha="center", size=size)
    look: dict[str, Any] = {"color": theme.model, "weight": "bold"}
    axes.text(x, bottom, "×".join(map(str, shape)), ha="center", size=size, **look)


def _draw_arrow(axes: Axes, begin: float, next_centre: float, theme: Theme) -> None:
    """Draw a short arrow from a stage towards the next."""
    end = begin + min(0.22, (next_centre - begin) / 3)
    arrow = {"arrowstyle": "->", "color": theme.muted, "linewidth": 2}
    axes.annotate("", (end, _MIDDLE), (begin, _MIDDLE), arrowprops=arrow)
