"""What `custom_lstm.trace` returns, drawn: any cell on text, series or images."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from custom_lstm.extras import MissingExtra
from custom_lstm.plots.axes import Floats, check_array, hide_frame
from custom_lstm.plots.digits import draw_digit
from custom_lstm.plots.style import SMALL, WIDTH, Theme, new_figure
from custom_lstm.plots.units import (
    FINEST,
    ROW,
    Scale,
    draw_units,
    labelled,
    map_inches,
    notable_units,
    panel_inches,
    sorted_note,
    strip_rows,
    unit_name,
    write_note,
)

_NAMED, _ALL = 6, 12  # units that are named of many; units that are all named
_LONGEST = 10_000  # steps
_KINDS = {
    "target": "units that follow the target",
    "alternates": "units that swing with every step",
    "active": "units that change most",
}

# Panels are laid out in inches.
_LEFT, _BAR, _TITLE, _EDGE, _BOTTOM = 1.35, 1.3, 0.4, 0.2, 0.7
_HEADING, _NOTE = 0.5, 0.55  # heights of what is written above and below all panels
_LINES, _PICTURE = 0.8, 0.8  # height of a series, largest side of an image
_LETTERS, _LETTER = 14, 0.12  # of a word at most; width of one
_SPACE, _DOTS = "\N{OPEN BOX}", "\N{HORIZONTAL ELLIPSIS}"
_WORD = 0.24  # least width of a step with a word or an image
_HALF = 3.7  # width of a column's panels where there are two


def states(
    traced: Mapping[str, ArrayLike],
    *,
    labels: Sequence[str] | ArrayLike | None = None,
    target: ArrayLike | None = None,
    sequence: int = 0,
    by: str | None = None,
    title: str | None = None,
    style: str = "light",
) -> Figure:
    """Draw the gates and states of any cell while it passes through one sequence.

    A heat map for each name in the trace has a column a step. Of up to 12 units each
    has a row with its number. Of more, six have one, chosen over all sequences traced,
    the same in all maps of a kind: those that follow the target, those that alternate
    from step to step, and those that change most (`notable_units`). Below them all
    others are sorted at every step and, if they are too many, averaged to as many rows
    as can be told apart: how much of that strip has a colour is how many units have
    that value. Steps that a mask left out, at which gates are NaN, stay empty.

    Args:
        traced: what `custom_lstm.trace` returns of one layer: arrays
            `(batch, time, ...)` by name.
        labels: what the sequence drawn consists of, drawn above the maps: words
            `(time,)`, numbers `(time,)` or `(time, series)`, or images
            `(time, height, width)`, with a last axis of 1 or 3 channels if need be.
        target: what the layer is to follow, `(batch, time)`, drawn above the maps.
        sequence: which one of the batch is drawn.
        by: the name in the trace by which units are chosen; by default "c", else "h",
            else the last one.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes do not match, there is no such sequence or name, or
            there are more than 10,000 steps.

    Example:
        >>> from custom_lstm import GRU, trace
        >>> traced = trace(GRU(40), np.random.default_rng(0).normal(size=(2, 5, 3)))
        >>> figure = states(traced, labels=["to", "be", "or", "not", "to"])
        >>> [axes.get_title("left") for axes in figure.axes if axes.images]
        ['update', 'reset', 'candidate', 'h']
    """
    arrays = _check_trace(traced)
    batch, time = next(iter(arrays.values())).shape[:2]
    _check_sequence(sequence, batch)
    if by is not None and by not in arrays:
        raise ValueError(f"by must be one of {', '.join(arrays)}, got {by!r}")
    heads = [] if labels is None else [_head_of_labels(labels, time)]
    follow = {} if target is None else {"target": _check_target(target, (batch, time))}
    heads += [_lines_head("target", one[sequence, :, None]) for one in follow.values()]
    follow["alternates"] = np.broadcast_to((-1.0) ** np.arange(time), (batch, time))
    named = _named(arrays, follow, by)
    widths = [int(np.prod(array.shape[2:])) for array in arrays.values()]
    layout = _Layout(time, tuple(heads), len(arrays), max(widths), bool(title))
    with new_figure(style, layout.size, layout=None) as (figure, theme):
        if title:
            figure.suptitle(title, y=1 - _EDGE / layout.size[1], va="top")
        layout.draw_heads(figure, theme)
        for index, (name, array) in enumerate(arrays.items()):
            axes = figure.add_axes(layout.map(index))
            axes.set_title(name, parse_math=False)
            scale = _scale(array)
            drawn = array[sequence].reshape(time, -1)
            draw_units(axes, drawn, named[name], layout.strip, scale, theme)
            scale.draw_bar(figure, axes)
            layout.number_steps(axes, index)
        if layout.others:
            kinds = {label.split()[0] for chosen in named.values() for label in chosen}
            write_note(figure, _note(kinds, layout), theme)
    return figure


def explore(
    traced: Mapping[str, ArrayLike],
    *,
    labels: Sequence[str] | ArrayLike | None = None,
    sequence: int = 0,
) -> Any:
    """Return a widget for a notebook in which one points at units and steps of a trace.

    The unit and step under the mouse are marked in all maps as wide as that one, the
    unit's values over time drawn as a line, and the value written with the step's
    label; arrow keys move. Every unit has a row. Also `custom_lstm.explore`.

    Args:
        traced: what `custom_lstm.trace` returns of one layer: arrays
            `(batch, time, ...)` by name.
        labels: what the sequence shown consists of, as for `states`; images are not
            shown.
        sequence: which one of the batch is shown.

    Returns:
        An anywidget; with a warning the picture that `states` draws, where the extra
        `explore` is not installed.

    Raises:
        ValueError: if the shapes do not match or there is no such sequence.

    Example:
        >>> import warnings
        >>> from custom_lstm import LSTM, trace
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")  # about the extra
        ...     shown = explore(trace(LSTM(8), np.ones((1, 3, 2))), labels="abc")
    """
    arrays = _check_trace(traced)
    batch, time = next(iter(arrays.values())).shape[:2]
    _check_sequence(sequence, batch)
    if labels is not None:
        _head_of_labels(labels, time)
    try:
        from custom_lstm.plots.explorer import Explorer
    except MissingExtra as missing:
        warnings.warn(f"{missing}; until then, here is a picture", stacklevel=2)
        return states(traced, labels=labels, sequence=sequence)
    chosen = {name: array[sequence] for name, array in arrays.items()}
    return Explorer(chosen, [] if labels is None else _written(labels))


def _written(labels: Sequence[str] | ArrayLike) -> list[str]:
    """Return labels as text, one a step; none of images."""
    array = np.asarray(list(labels) if isinstance(labels, str) else labels)
    if array.ndim > 2:
        return []
    if array.dtype.kind == "U":
        return [str(word) for word in array]
    return [" ".join(f"{value:.4g}" for value in np.ravel(row)) for row in array]


def _check_sequence(sequence: int, batch: int) -> None:
    """Raise a ValueError if there is no such sequence."""
    if not -batch <= sequence < batch:
        raise ValueError(f"sequence must be below {batch}, got {sequence}")


def _check_trace(traced: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    """Return the arrays of a trace, `(batch, time, ...)`, at least one axis more."""
    layers = [name for name, value in traced.items() if isinstance(value, Mapping)]
    if layers:
        raise ValueError(
            f"traced must hold one layer's arrays, got layers: {', '.join(layers)}; "
            f"choose one, as in traced[{layers[0]!r}]"
        )
    if not traced:
        raise ValueError("traced must hold at least one array, got none")
    arrays: dict[str, Floats] = {}
    shape: list[int | str] = ["batch", "time"]
    for name, value in traced.items():
        array = np.asarray(value)
        array = array[..., None] if array.ndim == 2 else array
        more = ["..."] * max(array.ndim - 2, 1)
        arrays[name] = check_array(f"traced[{name!r}]", array, (*shape, *more))
        shape = list(array.shape[:2])
    if int(shape[1]) > _LONGEST:
        raise ValueError(
            f"traced must have at most {_LONGEST} steps, got {shape[1]}: give a part, "
            "as in {name: array[:, :1000] for name, array in traced.items()}"
        )
    return arrays


def _check_target(target: ArrayLike, shape: tuple[int, int]) -> Floats:
    """Return the target as `(batch, time)`, without a last axis of length 1."""
    array = np.asarray(target)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return check_array("target", array, shape)


def _named(
    arrays: Mapping[str, Floats], follow: Mapping[str, Floats], by: str | None
) -> dict[str, dict[str, int]]:
    """Return for each map its units with a row of their own, by what stands beside it.

    Maps of one shape and one cell of a stack show the same units.
    """
    named: dict[str, dict[str, int]] = {}
    chosen: dict[str, dict[str, list[int]]] = {}
    for name, array in arrays.items():
        shape = array.shape[2:]
        count = int(np.prod(shape))
        if count <= _ALL:
            named[name] = {unit_name(unit, shape): unit for unit in range(count)}
            continue
        leader = _leader([x for x in arrays if _alike(x, name, arrays)], by)
        if leader not in chosen:
            values = arrays[leader].reshape(*array.shape[:2], -1)
            chosen[leader] = notable_units(values, follow, _NAMED)
        named[name] = labelled(chosen[leader], shape)
    return named


def _alike(name: str, other: str, arrays: Mapping[str, Floats]) -> bool:
    """Return whether two names belong to one cell and have units of one shape."""
    cells = name.rpartition("/")[0], other.rpartition("/")[0]
    return cells[0] == cells[1] and arrays[name].shape == arrays[other].shape


def _leader(names: Sequence[str], by: str | None) -> str:
    """Return the one of the names by which units are chosen."""
    if by is not None and by in names:
        return by
    for wanted in ("c", "h"):
        for name in names:
            if name.rpartition("/")[2] == wanted:
                return name
    return names[-1]


def _scale(array: Floats) -> Scale:
    """Return a gate's scale where all values lie from 0 to 1, else a state's."""
    finite = array[np.isfinite(array)]
    gate = bool(finite.size and finite.min() >= 0 and finite.max() <= 1)
    return replace(Scale.of(array, gate, fixed=False), closed="", opened="")


def _note(kinds: Collection[str], layout: "_Layout") -> str:
    """Return what the rows are, those kinds of them that there are."""
    said = "; ".join(f"{kind}: {_KINDS[kind]}" for kind in _KINDS if kind in kinds)
    return f"{said}\n{sorted_note(layout.others, layout.strip)}"


@dataclass(frozen=True)
class _Head:
    """A panel above the maps: what the layer saw, or what it is to follow."""

    height: float
    above: float  # room for its title
    step: float  # the least width of a step
    draw: Callable[[Axes, Theme], None]


def _head_of_labels(labels: Sequence[str] | ArrayLike, time: int) -> _Head:
    """Return the panel of words, numbers or images, one a step."""
    try:
        array = np.asarray(list(labels) if isinstance(labels, str) else labels)
    except ValueError:
        array = np.empty(())  # rows of unequal length
    if array.ndim and len(array) != time:
        raise ValueError(
            f"labels must have one entry for each of {time} steps, got {len(array)}"
        )
    numbers, axes = array.dtype.kind in "biuf", array.ndim
    if axes == 1 and array.dtype.kind == "U":
        return _words_head([str(word) for word in array])
    if axes in (1, 2) and numbers:
        series = array[:, None] if axes == 1 else array
        return _lines_head("input", check_array("labels", series, (time, "series")))
    if numbers and (axes == 3 or (axes == 4 and array.shape[-1] in (1, 3))):
        return _images_head(array.squeeze(-1) if array.shape[3:] == (1,) else array)
    raise ValueError(
        f"labels must be {time} words, numbers (time,) or (time, series), or images "
        "(time, height, width) with 1 or 3 channels or none, got "
        f"{type(labels).__name__} of shape {array.shape}"
    )


def _words_head(words: Sequence[str]) -> _Head:
    """Return the panel of words, upright where they have no room beside each other."""
    visible = [word.replace("\n", "\\n").replace(" ", _SPACE) for word in words]
    shown = [
        word if len(word) <= _LETTERS else word[: _LETTERS - 1] + _DOTS
        for word in visible
    ]
    longest = max(map(len, shown))
    upright = _LETTER * longest > max(_WORD, 0.9 * _HALF / len(words))
    height = _LETTER * longest + 0.1 if upright else 0.3

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_ylim(0, height)
        hide_frame(axes)
        look: dict[str, Any] = {
            "rotation": 90 if upright else 0,
            "ha": "center",
            "va": "bottom",
        }
        for step, word in enumerate(shown):
            axes.text(step, 0.05, word, size=SMALL, parse_math=False, **look)

    return _Head(height, 0.05, _WORD, draw)


def _lines_head(title: str, series: Floats) -> _Head:
    """Return the panel of series `(time, series)`, each a line."""

    def draw(axes: Axes, theme: Theme) -> None:
        marker = "o" if len(series) <= 40 else ""
        for line, colour in zip(series.T, cycle(theme.series), strict=False):
            axes.plot(line, marker=marker, color=colour, lw=2, ms=6, clip_on=False)
        axes.set_title(title)
        axes.margins(y=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(axis="x", labelbottom=False, length=0)
        axes.grid(False, axis="x")

    return _Head(_LINES, _TITLE, FINEST, draw)


def _images_head(images: NDArray[Any]) -> _Head:
    """Return the panel of images `(time, height, width)`, or with three channels."""
    pixels = check_array("labels", images, ["any"] * images.ndim)
    low, high = float(pixels.min()), float(pixels.max())
    pixels = (pixels - low) / ((high - low) or 1.0)
    side = min(_PICTURE, max(_HALF / len(images), _WORD))
    tall, wide = images.shape[1:3]

    def draw(axes: Axes, theme: Theme) -> None:
        step = panel_inches(axes)[0] / len(pixels)
        axes.set_ylim(0, side)
        hide_frame(axes)
        inch = 0.94 * min(side / tall, step / wide)  # of a pixel
        for t, image in enumerate(pixels):
            size = inch * wide / step, inch * tall
            draw_digit(axes, image, (t, side / 2), size, theme)

    return _Head(side, 0.05, _WORD, draw)


@dataclass(frozen=True)
class _Layout:
    """Heads, and below them maps in one column or two, laid out in inches."""

    time: int
    heads: tuple[_Head, ...]
    maps: int
    units: int  # in the widest state
    titled: bool

    @property
    def columns(self) -> int:
        """Two where they are all filled and the steps have room."""
        fits = self.time * self.step <= _HALF
        return 2 if self.maps > 3 and self.maps % 2 == 0 and fits else 1

    @property
    def step(self) -> float:
        """The least width of a step."""
        return max([FINEST, *(head.step for head in self.heads)])

    @property
    def span(self) -> float:
        """Width of the panels."""
        free = WIDTH / self.columns - _LEFT - _BAR
        return max(free, self.time * self.step)

    @property
    def others(self) -> int:
        """How many units of the widest state have no row of their own."""
        return max(self.units - _NAMED, 0) if self.units > _ALL else 0

    @property
    def strip(self) -> int:
        """How many rows the others have at most."""
        return strip_rows(self.high)

    @property
    def high(self) -> float:
        """Height of a map."""
        return map_inches(_NAMED) if self.others else max(ROW * self.units, 0.35)

    @property
    def top(self) -> float:
        """Where the maps begin."""
        heads = sum(head.height + head.above for head in self.heads)
        return _EDGE + _HEADING * self.titled + heads

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        width = self.columns * (_LEFT + self.span + _BAR)
        below = _BOTTOM + _NOTE * bool(self.others)
        return width, self.top + self.lines * (self.high + _TITLE) + below

    @property
    def lines(self) -> int:
        """How many maps there are above each other."""
        return self.maps // self.columns

    def map(self, index: int) -> tuple[float, float, float, float]:
        """Return a map's place: the first half of them on the left."""
        column, line = divmod(index, self.lines)
        top = self.top + line * (self.high + _TITLE) + _TITLE
        return self._place(column, top, self.high)

    def draw_heads(self, figure: Figure, theme: Theme) -> None:
        """Draw the heads over each column."""
        for column in range(self.columns):
            top = _EDGE + _HEADING * self.titled
            for head in self.heads:
                top += head.above
                axes = figure.add_axes(self._place(column, top, head.height))
                axes.set_xlim(-0.5, self.time - 0.5)
                head.draw(axes, theme)
                top += head.height

    def number_steps(self, axes: Axes, index: int) -> None:
        """Number the steps from 1, under a column's last map."""
        least = 0.45 * self.time / self.span
        every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n >= least)
        steps = np.arange(0 if every < 5 else every - 1, self.time, every)
        last = (index + 1) % self.lines == 0
        axes.set_xticks(steps, steps + 1)
        axes.tick_params(axis="x", length=0, labelbottom=last)
        if last:
            axes.set_xlabel("time step", size=SMALL)

    def _place(
        self, column: int, top: float, high: float
    ) -> tuple[float, float, float, float]:
        width, height = self.size
        left = column * (_LEFT + self.span + _BAR) + _LEFT
        return left / width, 1 - (top + high) / height, self.span / width, high / height
