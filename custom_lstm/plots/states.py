"""Pictures of what happens inside a recurrent layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots import marks
from custom_lstm.plots.checks import pictures, shaped, signed
from custom_lstm.plots.lines import against_truth
from custom_lstm.plots.page import Page
from custom_lstm.plots.style import SMALL, Picture, Theme, themed

_MAPS = {  # name: column, row, rows in that column, title, what it does
    "input": (0, 0, 4, "input gate $i$", "what enters"),
    "forget": (0, 1, 4, "forget gate $f$", "what stays"),
    "candidate": (0, 2, 4, "candidate $g$", "what is on offer"),
    "output": (0, 3, 4, "output gate $o$", "what is shown"),
    "c": (1, 0, 3, "cell state $c$", r"$c\,' = f \circ c + i \circ g$"),
    "h": (1, 1, 3, "hidden state $h$", r"$h' = o \circ \tanh(c\,')$"),
}


def gates(
    images: ArrayLike,
    signs: ArrayLike,
    states: Mapping[str, ArrayLike],
    true_totals: ArrayLike,
    predicted: ArrayLike,
    *,
    style: str = "light",
) -> Figure:
    """Draw every gate and state of an LSTM above one another while it sees a sequence.

    The digits stand over each column of heat maps: on the left what the gates do, on
    the right what the states become, and the running total, true and predicted. A row
    is a unit, the same in every map: sorted along the strongest common trajectory of
    the cell states, from the units that follow it to those that mirror it.

    Args:
        images: `(time, 28, 28)`, or with a last axis of length 1.
        signs: `(time,)`, 1 where the digit is added and -1 where it is subtracted.
        states: `input`, `forget`, `output` (0 to 1), `candidate`, `h` (-1 to 1) and
            `c`, each `(time, units)`.
        true_totals: `(time,)`.
        predicted: `(time,)`, the totals predicted, rounded or not.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if a state is missing or the shapes do not go together.

    Example:
        >>> import numpy as np
        >>> names = ["input", "forget", "candidate", "output", "c", "h"]
        >>> states = {name: np.full((4, 8), 0.5) for name in names}
        >>> images = np.zeros((4, 28, 28), np.uint8)
        >>> figure = gates(images, [1, -1, 1, -1], states, [3, 1, 2, 2], [3, 1, 2, 1])
        >>> figure.axes[0].get_title("left")
        'input gate $i$'
    """
    digits = pictures(images, ("time",))
    page = Page(len(digits))
    before = signed(signs, page.time)
    true = shaped("true_totals", true_totals, (page.time,)).astype(float)
    said = shaped("predicted", predicted, (page.time,)).astype(float)
    maps = _maps(states, page.time)
    order = _order(maps["c"])
    with themed(style) as theme:
        figure = Picture(theme, page.size)
        for name, (column, row, rows, title, note) in _MAPS.items():
            axes = figure.add_axes(page.panel(column, row, rows))
            axes.set_title(title)
            axes.set_title(
                note, loc="right", weight="normal", size=SMALL, color=theme.muted
            )
            _heat(figure, axes, maps[name][:, order].T, name, theme)
            _steps(axes, page, last=row == 3)
        axes = figure.add_axes(page.panel(1, 2, 3))
        _running_total(axes, true, said, theme)
        _steps(axes, page, last=True)
        for column in (0, 1):
            axes = figure.add_axes(page.panel(column, -1, 1))
            _digits(axes, digits, before, page, theme)
    return figure


def _maps(states: Mapping[str, ArrayLike], time: int) -> dict[str, NDArray[np.float64]]:
    """The states as arrays of one shape `(time, units)`."""
    missing = [name for name in _MAPS if name not in states]
    if missing:
        raise ValueError(
            f"states must hold {', '.join(_MAPS)}; {', '.join(missing)} is missing"
        )
    units = shaped("states['c']", states["c"], (time, "units")).shape[1]
    maps = {}
    for name in _MAPS:
        values = shaped(f"states[{name!r}]", states[name], (time, units))
        if not np.isfinite(values).all():
            raise ValueError(f"states[{name!r}] must be finite, got NaN or infinity")
        maps[name] = values.astype(float)
    return maps


def _order(c: NDArray[np.float64]) -> NDArray[np.intp]:
    """Units by how much they take part in the strongest common trajectory of `c`.

    That is the first right singular vector of `c (time, units)`, turned so that the
    units that become positive stand first.
    """
    left, _, right = np.linalg.svd(c, full_matrices=False)
    return np.argsort(-right[0] * (np.sign(left[:, 0].sum()) or 1), kind="stable")


def _heat(
    figure: Figure, axes: Axes, values: NDArray[np.float64], name: str, theme: Theme
) -> None:
    """Draw `(units, time)` as a heat map with its colour bar."""
    gate = name in ("input", "forget", "output")
    highest = float(np.abs(values).max())
    limit = 1.0
    if name == "c" or highest > 1:
        limit = float(np.percentile(np.abs(values), 98)) or highest or 1.0
    image = axes.imshow(
        values,
        cmap=theme.gate if gate else theme.state,
        vmin=0 if gate else -limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
    )
    units, time = values.shape
    axes.grid(False)
    axes.set_yticks([])
    axes.set_ylabel(f"{units} units", size=SMALL)
    axes.vlines(np.arange(1, time) - 0.5, -0.5, units - 0.5, theme.background, lw=1.5)
    if gate:
        ticks = {0: "0 shut", limit: f"{limit:.2g} open"}
    else:
        beyond = ("\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}")
        below, above = beyond if highest > limit else ("", "")
        ticks = {-limit: f"{below}{-limit:.2g}", 0: "0", limit: f"{above}{limit:.2g}"}
    _bar(figure, axes, image, ticks)


def _bar(
    figure: Figure, axes: Axes, image: AxesImage, ticks: Mapping[float, str]
) -> None:
    """Stand a colour bar to the right of a heat map."""
    bar = axes.inset_axes((1.02, 0, 0.02, 1))
    figure.colorbar(image, cax=bar)
    bar.set_yticks(
        list(ticks), [text.replace("-", marks.MINUS) for text in ticks.values()]
    )
    bar.minorticks_off()


def _running_total(
    axes: Axes,
    true: NDArray[np.float64],
    said: NDArray[np.float64],
    theme: Theme,
) -> None:
    """Draw the true and the predicted total over time, and cross the mistakes."""
    against_truth(axes, true, said, theme, first=0)
    wrong = np.flatnonzero(marks.wrong(true, said))
    if wrong.size:
        axes.plot(wrong, said[wrong], "X", color=theme.wrong, label="wrong", ms=13)
    axes.set_title("running total")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(y=0.15)
    axes.legend(
        ncols=3,
        loc="lower right",
        bbox_to_anchor=(1.02, 0.96),
        fontsize=SMALL,
        columnspacing=1,
        handletextpad=0.3,
    )


def _steps(axes: Axes, page: Page, last: bool) -> None:
    """Let the axes run over the time steps, numbered from 1 under the last panel."""
    axes.set_xlim(-0.5, page.time - 0.5)
    every = int(np.ceil(0.3 * page.time / page.span))
    steps = np.arange(0, page.time, every)
    axes.set_xticks(steps, steps + 1)
    axes.tick_params(axis="x", length=0, labelbottom=last)
    if last:
        axes.set_xlabel("time step", size=SMALL)


def _digits(
    axes: Axes,
    digits: NDArray[np.float64],
    before: NDArray[Any],
    page: Page,
    theme: Theme,
) -> None:
    """Draw the digits, each over its column, with its sign above it."""
    axes.set(xlim=(-0.5, page.time - 0.5), ylim=(0, page.top))
    marks.blank(axes)
    size = page.side * page.time / page.span, page.side
    for t, digit in enumerate(digits):
        marks.digit(axes, digit, (t, 0.08 + page.side / 2), size, theme)
        above = page.side + 0.2
        axes.text(t, above, marks.sign(before[t]), ha="center", va="center", size=18)
