"""Units of a layer as rows of a heat map: a few by name, all others summed up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from custom_lstm.plots.axes import Floats, check_array
from custom_lstm.plots.style import DPI, MINUS, SMALL, Theme

FINEST = 4 / DPI  # inches: a thinner row is not told from its neighbours
ROW = 0.18  # inches: a row that has its unit's name beside it
NAME = 10.0  # points
_BAR = 0.088  # inches: width of a colour bar, and of the space before it
_STRIP, _GAP = 0.33, 0.06  # share of a map's height for the others; inches above them
_ACTIVE, _FOLLOWS = "active", 0.5  # |r|


def notable_units(
    values: ArrayLike, follow: Mapping[str, ArrayLike], count: int = 6
) -> dict[str, list[int]]:
    """Return the units that follow something, and those that change most.

    A unit follows a series if the size of their correlation over all steps of all
    sequences is |r| ≥ 0.5, the better the larger; it changes by its standard deviation
    over time, on average over the sequences. Each kind takes a unit in turn, and none
    takes one that is taken.

    Args:
        values: a state, `(n, time, units)`.
        follow: by name what units may follow, each `(n, time)`: targets, signs.
        count: of units, in all.

    Returns:
        For each name of `follow`, and for "active", its units, the best first. A series
        that no unit follows has none.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> total = np.array([[3.0, 1.0, 5.0, 4.0]])
        >>> values = np.stack([total[0] ** 0, -total[0], [9, -9, 9, -9]], axis=-1)[None]
        >>> notable_units(values, {"total": total, "sign": [[1, -1, 1, -1]]}, count=2)
        {'total': [1], 'sign': [2], 'active': []}
    """
    states = check_array("values", values, ("n", "time", "units"))
    series = {
        name: check_array(f"follow[{name!r}]", one, states.shape[:2])
        for name, one in follow.items()
    }
    scores = {name: _correlation(states, one) for name, one in series.items()}
    changes = np.ma.masked_invalid(states).std(axis=1).mean(axis=0)
    scores[_ACTIVE] = np.ma.filled(changes, 0.0)
    chosen: dict[str, list[int]] = {name: [] for name in scores}
    for _ in range(count):
        for name, score in scores.items():
            taken = [unit for units in chosen.values() for unit in units]
            left = np.delete(np.arange(len(score)), taken)
            follows = left.size and (name == _ACTIVE or score[left].max() >= _FOLLOWS)
            if follows and len(taken) < count:
                chosen[name].append(int(left[score[left].argmax()]))
    return chosen


def _correlation(states: Floats, series: Floats) -> Floats:
    """Return |r| of each unit with a series, over the steps where all is finite."""
    flat, wanted = states.reshape(-1, states.shape[-1]), series.ravel()
    known = np.isfinite(flat).all(axis=1) & np.isfinite(wanted)
    if not known.any():
        return np.zeros(flat.shape[1])
    flat = flat[known] - flat[known].mean(axis=0)
    wanted = wanted[known] - wanted[known].mean()
    sizes = np.sqrt(np.square(flat).sum(axis=0) * np.square(wanted).sum())
    return np.abs(wanted @ flat) / np.where(sizes > 1e-12, sizes, 1)


def sorted_rows(values: Floats, rows: int) -> Floats:
    """Return units sorted at each step, the highest first, in at most so many rows.

    Where there are more units than rows, neighbours in that order are averaged: every
    unit counts in one row.

    Args:
        values: `(time, units)`.
        rows: how many there may be.

    Returns:
        `(time, min(units, rows))`.

    Example:
        >>> sorted_rows(np.array([[1.0, 4.0, 2.0, 3.0]]), rows=2)
        array([[3.5, 1.5]])
    """
    falling = -np.sort(-values, axis=1)
    parts = np.array_split(falling, min(rows, values.shape[1]), axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


@dataclass(frozen=True)
class Scale:
    """Which colours values have: those of a gate, 0 to 1, or of a state, with signs."""

    gate: bool
    limit: float
    highest: float
    closed: str = " closed"  # what is written beside 0, beside 1
    opened: str = " open"

    @classmethod
    def of(cls, values: Floats, gate: bool, fixed: bool = True) -> "Scale":
        """Return the scale of values, some of them NaN.

        A state's runs to 1 if it is `fixed` and all values lie within; else so far that
        2 % of the values lie beyond.
        """
        sizes = np.abs(values[np.isfinite(values)])
        highest = float(sizes.max(initial=0))
        if gate or (fixed and highest <= 1):
            return cls(gate, 1.0, highest)
        usual = float(np.percentile(sizes, 98)) if sizes.size else 1.0
        return cls(gate, usual or highest or 1.0, highest)

    def image(self, theme: Theme) -> dict[str, Any]:
        """Return what `imshow` needs to know."""
        return {
            "cmap": theme.gate if self.gate else theme.state,
            "vmin": 0 if self.gate else -self.limit,
            "vmax": self.limit,
            "aspect": "auto",
            "interpolation": "nearest",
        }

    def draw_bar(self, figure: Figure, axes: Axes) -> None:
        """Draw the colour bar to the right of the heat maps."""
        if self.gate:
            ticks = {0: f"0{self.closed}", self.limit: f"{self.limit:.2g}{self.opened}"}
        else:
            beyond = ("\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}")
            below, above = beyond if self.highest > self.limit else ("", "")
            whole = 100 <= self.limit < 100_000
            size = f"{self.limit:.0f}" if whole else f"{self.limit:.2g}"
            ticks = {-self.limit: f"{below}-{size}", 0: "0", self.limit: above + size}
        wide = _BAR / panel_inches(axes)[0]
        bar = axes.inset_axes((1 + wide, 0, wide, 1))
        figure.colorbar(axes.images[0], cax=bar)
        texts = [text.replace("-", MINUS) for text in ticks.values()]
        bar.set_yticks(list(ticks), texts)
        bar.minorticks_off()


def map_inches(named: int) -> float:
    """Return the height of a map in which so many units have room for their names."""
    return (ROW * named + _GAP) / (1 - _STRIP)


def strip_rows(inches: float) -> int:
    """Return how many rows of the others can be told apart in a map of this height."""
    return int(_STRIP * inches / FINEST)


def draw_units(
    axes: Axes,
    values: Floats,
    named: Mapping[str, int],
    rows: int,
    scale: Scale,
    theme: Theme,
) -> None:
    """Draw units as rows: those that are named, and below them all others, sorted.

    Args:
        axes: a panel; its place in the figure is set.
        values: `(time, units)`.
        named: units by the names beside their rows.
        rows: how many the others have at most: no more than `strip_rows`.
        scale: the colours.
        theme: the theme.
    """
    inches, time = panel_inches(axes)[1], len(values)
    own = list(named.values())
    others = np.delete(values, own, axis=1)
    strip = _STRIP * inches if others.size else 0.0
    end = inches - strip - _GAP * bool(strip)

    def draw(drawn: Floats, top: float, bottom: float) -> None:
        extent = (-0.5, time - 0.5, bottom, top)
        axes.imshow(drawn.T, extent=extent, **scale.image(theme))

    draw(values[:, own], 0, end)
    places = list((np.arange(len(own)) + 0.5) * end / len(own))
    labels = list(named)
    if strip:
        draw(sorted_rows(others, rows), inches - strip, inches)
        places.append(inches - strip / 2)
        labels.append(f"{others.shape[1]} others")
    axes.set_yticks(places, labels, size=NAME)
    axes.set(xlim=(-0.5, time - 0.5), ylim=(inches, 0))
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    draw_step_edges(axes, time, inches, theme)


def panel_inches(axes: Axes) -> tuple[float, float]:
    """Return the width and height of a panel whose place is set."""
    box, dpi = axes.get_window_extent(), axes.figure.dpi
    return float(np.ptp(box.intervalx)) / dpi, float(np.ptp(box.intervaly)) / dpi


def draw_step_edges(axes: Axes, time: int, height: float, theme: Theme) -> None:
    """Part the steps by thin lines from 0 down to `height`, if they are wide enough."""
    if panel_inches(axes)[0] / time > 0.1:
        edges = np.arange(1, time) - 0.5
        axes.vlines(edges, 0, height, theme.background, lw=1.5)


def labelled(
    units: Mapping[str, Sequence[int]], shape: Sequence[int]
) -> dict[str, int]:
    """Return chosen units by what stands beside their rows: the kind and the number.

    Args:
        units: by kind.
        shape: of the state, without batch and time.

    Raises:
        ValueError: if there is none, or one that is not there.

    Example:
        >>> labelled({"total": [3], "sign": [], "active": [0]}, (4,))
        {'total 3': 3, 'active 0': 0}
    """
    count = int(np.prod(shape))
    named = {
        f"{kind} {unit_name(unit, shape)}": int(unit)
        for kind, chosen in units.items()
        for unit in chosen
        if 0 <= unit < count
    }
    given = [unit for chosen in units.values() for unit in chosen]
    if not given or len(set(named.values())) < len(given):
        raise ValueError(
            f"units must hold different numbers from 0 to {count - 1}, got {given}"
        )
    return named


def unit_name(unit: int, shape: Sequence[int]) -> str:
    """Return a unit's number, or its place in a state of several axes.

    Example:
        >>> unit_name(5, (8,)), unit_name(5, (2, 2, 3))
        ('5', '0,1,2')
    """
    return ",".join(str(index) for index in np.unravel_index(unit, tuple(shape)))


def sorted_note(others: int, rows: int) -> str:
    """Return what is said of others that are drawn in at most so many rows."""
    each = "" if others <= rows else f", and averaged to {rows} rows"
    return f"others: sorted at every step, the highest on top{each}"


def write_note(figure: Figure, text: str, theme: Theme) -> None:
    """Write under the whole picture what its rows are."""
    left, low = 0.15 / figure.get_figwidth(), 0.12 / figure.get_figheight()
    figure.text(left, low, text, color=theme.muted, size=SMALL, va="bottom")
