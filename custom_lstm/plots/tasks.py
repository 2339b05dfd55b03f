"""The other tasks: showers, ones counted, sequences, a table of cells' scores."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from custom_lstm.plots.axes import (
    FRACTION,
    HALF,
    Floats,
    Rule,
    check_array,
    draw_against_truth,
    draw_series,
    hide_frame,
    number_steps,
    percent_tick,
    plain_tick,
)
from custom_lstm.plots.style import CROSS, SMALL, WIDTH, Theme, new_figure

_LABELS = {"energy": "energy", "x": "$x$", "y": "$y$", "z": "$z$", "kind": "kind"}
"""What a network predicts of a shower, and how a heading writes it."""
_NOT_NEGATIVE: Rule = (lambda v: v >= 0, "not be negative or NaN")
_SKILL: Rule = (lambda v: ~((v < 0) | (v > 1)), "lie between 0 and 1, or be NaN")
_DARK = 0.55
"""The skill from which on a cell of a table is too dark for dark letters."""
_LIGHT = 0.2
"""The skill up to which it is light enough for coloured letters."""
_IN_TABLE = 10.0
_ERRORS = ("lowest_error", "mean_error", "highest_error")
_PARTS = 20
"""Of a decade of positions, each of which has a point."""
_LEAST = 0.01
"""The smallest error that is drawn."""
_LETTERS = 75
"""Of names in a line of the legend."""


def showers(
    images: ArrayLike,
    truth: Mapping[str, ArrayLike],
    predicted: Mapping[str, ArrayLike],
    kinds: Sequence[str],
    *,
    cell: float,
    pitch: float,
    title: str | None = None,
    style: str = "light",
) -> Figure:
    """Draw showers from the side and from the front, with truth and predictions.

    The further a cell is from the background's colour, the more energy lies along the
    line of sight, on a logarithmic scale of each view's own. A square marks where the
    shower started, a dot where the network puts that: at the depth z, and where the
    particle met the front face in x and y.

    Args:
        images: energy in the cells in GeV, `(showers, x, y, layers)`.
        truth: `energy` in GeV, `x`, `y`, `z` in cm and `kind`, an index into `kinds`,
            `(showers,)` each.
        predicted: the same from a network, but `kind` is the probability of the second.
        kinds: names of the two kinds.
        cell: side of a cell in cm.
        pitch: distance of two layers in cm.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if a value is missing or the shapes do not match.

    Example:
        >>> images = np.ones((2, 16, 16, 40))
        >>> values = {name: np.ones(2) for name in ("energy", "x", "y", "z", "kind")}
        >>> figure = showers(images, values, values, ("a", "b"), cell=3.0, pitch=4.0)
        >>> figure.axes[0].get_title("left")
        'b, 1.0 GeV'
    """
    cells = check_array("images", images, ("showers", "x", "y", "layers"))
    true = _check_quantities("truth", truth, len(cells))
    answers = _check_quantities("predicted", predicted, len(cells))
    half = cell * np.array(cells.shape[1:3]) / 2
    depth = pitch * cells.shape[3]
    across, up = (-half[0], half[0]), (-half[1], half[1])
    with new_figure(style, (WIDTH, 0.8 + 1.85 * len(cells)), title) as (figure, theme):
        grid = figure.subplots(
            len(cells), 2, squeeze=False, sharex="col", width_ratios=[5, 1]
        )
        for k, (side, front) in enumerate(grid):
            one, other = ({name: of[name][k] for name in of} for of in (true, answers))
            _draw_energy(side, cells[k].sum(1), (0, depth, *across), theme)
            _draw_energy(front, cells[k].sum(2).T, (*across, *up), theme)
            _mark_start(side, "z", "x", one, other, theme)
            _mark_start(front, "x", "y", one, other, theme)
            _head_shower(side, one, other, kinds, theme)
            side.set_ylabel("$x$, cm", size=SMALL)
            front.set_ylabel("$y$, cm", size=SMALL)
        grid[-1, 0].set_xlabel("$z$, cm", size=SMALL)
        grid[-1, 1].set_xlabel("$x$, cm", size=SMALL)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _check_quantities(
    name: str, values: Mapping[str, ArrayLike], count: int
) -> dict[str, Floats]:
    missing = [quantity for quantity in _LABELS if quantity not in values]
    if missing:
        raise ValueError(
            f"{name} must hold {', '.join(_LABELS)}; {missing[0]} is missing"
        )
    return {
        quantity: check_array(f"{name}[{quantity!r}]", values[quantity], (count,))
        for quantity in _LABELS
    }


def _draw_energy(
    axes: Axes, energy: Floats, extent: tuple[float, float, float, float], theme: Theme
) -> None:
    """Draw energies, rows upward, over lengths in cm."""
    most = max(float(energy.max()), 1e-6)
    axes.imshow(
        np.where(energy > 0, energy, np.nan),
        cmap=theme.digit,
        norm=LogNorm(most / 3000, most),
        origin="lower",
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(False)


def _mark_start(
    axes: Axes,
    across: str,
    up: str,
    true: Mapping[str, float],
    predicted: Mapping[str, float],
    theme: Theme,
) -> None:
    """Mark where the shower started, and where the network puts that."""
    axes.plot(
        true[across],
        true[up],
        "s",
        ms=13,
        mfc="none",
        mec=theme.muted,
        mew=2.5,
        path_effects=[withStroke(linewidth=5.5, foreground=theme.background)],
        clip_on=False,
        label="true",
    )
    axes.plot(
        predicted[across],
        predicted[up],
        "o",
        ms=8,
        color=theme.model,
        clip_on=False,
        label="predicted",
    )


def _head_shower(
    side: Axes,
    true: Mapping[str, float],
    predicted: Mapping[str, float],
    kinds: Sequence[str],
    theme: Theme,
) -> None:
    """Write over a shower what it is, and what the network predicts."""
    kind, guess = int(true["kind"]), int(predicted["kind"] > 0.5)
    wrong = guess != kind
    side.set_title(f"{kinds[kind]}, {true['energy']:.1f} GeV")
    side.set_title(
        f"{CROSS + ' ' if wrong else ''}predicted: {kinds[guess]}, "
        f"{predicted['energy']:.1f} GeV",
        loc="right",
        color=theme.wrong if wrong else theme.model,
    )


def saliency(
    slices: Mapping[str, ArrayLike],
    kinds: Sequence[str],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how much each answer of a network depends on each slice.

    Every line gives the share of the whole that a slice has; so does the grey area
    behind it, for the energy that showers of this kind leave there.

    Args:
        slices: `deposit`, and any of `energy`, `x`, `y`, `z` and `kind`: for each kind
            of shower and each slice, `(kinds, slices)`, none negative.
        kinds: names of the kinds.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure: a row for each answer, a column for each kind.

    Raises:
        ValueError: if `deposit` or all answers are missing, a shape is another, or a
            value is negative.

    Example:
        >>> flat = np.ones((2, 40))
        >>> figure = saliency({"deposit": flat, "energy": flat}, ("a", "b"))
        >>> [axes.get_title("left") for axes in figure.axes]
        ['energy, a', 'energy, b']
    """
    shares = _shares(slices, len(kinds))
    deposit = shares.pop("deposit")
    steps = np.arange(deposit.shape[1] + 1) + 0.5
    with new_figure(style, (WIDTH, 1 + 1.75 * len(shares)), title) as (figure, theme):
        grid = figure.subplots(
            len(shares), len(kinds), squeeze=False, sharex=True, sharey="row"
        )
        for row, (name, values) in zip(grid, shares.items(), strict=True):
            for axes, grey, share, kind in zip(
                row, deposit, values, kinds, strict=True
            ):
                look = {"color": theme.grid, "label": "energy deposited"}
                axes.stairs(grey, steps, fill=True, **look)
                draw_series(axes, share, "saliency", theme.model, "-", "o")
                axes.set_title(f"{_LABELS[name]}, {kind}")
                axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
                axes.yaxis.set_major_locator(MaxNLocator(3))
            row[0].set_ylim(bottom=0)  # last: a limit that is set holds for its row
        for axes in grid[-1]:
            axes.set_xlabel("slice")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _shares(slices: Mapping[str, ArrayLike], kinds: int) -> dict[str, Floats]:
    """Return each as a share of its sum, `deposit` among them."""
    names = [name for name in _LABELS if name in slices]
    if "deposit" not in slices or not names:
        raise ValueError(
            f"slices must hold deposit and any of {', '.join(_LABELS)}; got "
            f"{', '.join(map(repr, slices)) or 'nothing'}"
        )
    shares = {}
    for name in [*names, "deposit"]:
        shape = (kinds, "slices")
        values = check_array(f"slices[{name!r}]", slices[name], shape, _NOT_NEGATIVE)
        shares[name] = values / np.maximum(values.sum(1, keepdims=True), 1e-30)
    return shares


def counts(
    per_count: Mapping[str, ArrayLike],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw, for each number of ones, the errors of the answers and the wrong strings.

    The left panel shows answer − ones, from the lowest to the highest of all strings
    with that many ones, and the half from which on an answer is rounded to another
    count. The right one shows how many strings there are, and how many were wrong.

    Args:
        per_count: `strings`, `wrong`, `lowest_error`, `mean_error` and `highest_error`,
            each `(counts,)`, the first being that of strings without ones. NaN or None
            where there are no strings.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if one is missing or the lengths differ.

    Example:
        >>> errors = {f"{name}_error": [0.0, 0.1] for name in ("lowest", "highest")}
        >>> errors["mean_error"] = [0.0, 0.1]
        >>> len(counts({"strings": [1, 4], "wrong": [0, 1], **errors}).axes)
        2
    """
    columns = _check_columns(per_count)
    with new_figure(style, (WIDTH, 5.6), title) as (figure, theme):
        panels = figure.subplots(1, 2)
        _draw_errors(panels[0], columns, theme)
        _draw_strings(panels[1], columns, theme)
        for axes in panels:
            axes.set_xlabel("ones in the string")
            axes.set_xlim(-0.8, len(columns["strings"]) - 0.2)
            axes.xaxis.set_major_locator(
                MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True)
            )
        legends = [axes.get_legend_handles_labels() for axes in panels]
        handles = [handle for drawn, _ in legends for handle in drawn]
        labels = [label for _, names in legends for label in names]
        figure.legend(handles, labels, ncols=5, loc="outside lower center")
    return figure


def _check_columns(per_count: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    lacking = {"strings", "wrong", *_ERRORS} - set(per_count)
    if lacking:
        raise ValueError(f"per_count must hold {', '.join(sorted(lacking))} too")
    classes = len(check_array("strings", per_count["strings"], ("counts",)))
    return {
        name: check_array(name, np.array(per_count[name], np.float64), (classes,))
        for name in ("strings", "wrong", *_ERRORS)
    }


def _draw_errors(axes: Axes, columns: Mapping[str, Floats], theme: Theme) -> None:
    low, mean, high = (columns[name] for name in _ERRORS)
    ones = np.arange(len(mean))
    axes.vlines(ones, low, high, color=theme.model, lw=4, label="lowest to highest")
    axes.plot(ones, mean, "o", color=theme.model, ms=7, label="mean")
    edges = (-HALF, HALF)
    axes.hlines(edges, -1, len(mean), theme.muted, ls="--", lw=2, label="wrong beyond")
    reach = max(0.6, 1.1 * np.nanmax(np.abs([low, high]), initial=0))
    axes.set_ylim(-reach, reach)
    axes.set_title("answer − ones")


def _draw_strings(axes: Axes, columns: Mapping[str, Floats], theme: Theme) -> None:
    total, wrong = columns["strings"], columns["wrong"]
    ones = np.arange(len(total))
    axes.bar(ones, total, color=theme.muted, label="strings")
    some = np.where(wrong > 0, wrong, np.nan)
    axes.bar(ones, some, 0.5, color=theme.wrong, label=f"{CROSS} wrong")
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0.5, 3 * max(2, total.max()))
    axes.set_title(f"{wrong.sum():,.0f} of {total.sum():,.0f} counted wrong")


def extrapolation(
    curves: Mapping[str, Mapping[str, ArrayLike]],
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw how totals of networks hold, the longer their sequences are.

    On the left the share of totals that are right at a position, and dashed in the same
    colour what p^t gives, for a network that reads as well and adds without a mistake;
    on the right the mean absolute error. Positions are on a logarithmic axis, and
    averaged where they lie closer than a twentieth of a decade.

    Args:
        curves: of each network by name `exact` and `mae`, `(positions,)`, `p`, its
            share of single digits that are right, and `trained`, the length that it was
            trained at.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if something is missing, lengths differ or a share is none.

    Example:
        >>> one = {"exact": [1, 0.9], "mae": [0.0, 0.2], "p": 0.99, "trained": 1}
        >>> len(extrapolation({"LSTM": one}).axes)
        2
    """
    checked = _check_curves(curves)
    with new_figure(style, (WIDTH, 6.4), title) as (figure, theme):
        left, right = figure.subplots(1, 2)
        looks = cycle(zip(theme.series, "osD^vP", strict=True))
        for (name, one), (colour, marker) in zip(checked.items(), looks, strict=False):
            steps = 1 + np.arange(len(one["exact"]))
            middle, *means = _by_decade(
                steps, one["exact"], one["p"] ** steps, one["mae"]
            )
            look: dict[str, Any] = {"color": colour, "marker": marker, "markevery": 4}
            left.plot(middle, means[0], label=name, **look)
            left.plot(middle, means[1], "--", color=colour, lw=1.5)
            right.plot(middle, np.where(means[2] < _LEAST, np.nan, means[2]), **look)
        left.set_title("totals that are right; dashed: $p^t$")
        left.yaxis.set_major_formatter(FuncFormatter(percent_tick))
        left.set_ylim(-0.03, 1.03)
        right.set_title("mean absolute error")
        right.set_yscale("log")
        right.set_ylim(bottom=_LEAST)
        right.yaxis.set_major_formatter(FuncFormatter(plain_tick))
        trained = sorted({float(one["trained"]) for one in checked.values()})
        for axes in (left, right):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(plain_tick))
            axes.set_xlabel("digits so far")
            for length in trained:
                axes.axvline(length, color=theme.muted, ls=":", lw=2, zorder=0)
        left.annotate(
            " trained up to here" if len(trained) == 1 else " trained up to these",
            (trained[-1], 0.02),
            color=theme.muted,
            size=SMALL,
        )
        columns = max(1, min(len(checked), _LETTERS // max(map(len, checked))))
        figure.legend(ncols=columns, loc="outside lower center")
    return figure


def _check_curves(
    curves: Mapping[str, Mapping[str, ArrayLike]],
) -> dict[str, dict[str, Floats]]:
    if not curves:
        raise ValueError("curves must hold at least one network")
    checked = {}
    for name, one in curves.items():
        lacking = {"exact", "mae", "p", "trained"} - set(one)
        if lacking:
            raise ValueError(
                f"curves[{name!r}] must hold {', '.join(sorted(lacking))} too"
            )
        at, where = ("positions",), f"curves[{name!r}]"
        exact = check_array(f"{where}['exact']", one["exact"], at, FRACTION)
        checked[name] = {
            "exact": exact,
            "mae": check_array(
                f"{where}['mae']", one["mae"], (len(exact),), _NOT_NEGATIVE
            ),
            "p": check_array(f"{where}['p']", one["p"], (), FRACTION),
            "trained": check_array(f"{where}['trained']", one["trained"], ()),
        }
    return checked


def _by_decade(steps: NDArray[np.int_], *columns: Floats) -> list[Floats]:
    """Return geometric means of steps, and means of columns, a twentieth of a decade
    together."""
    parts = np.unique(np.rint(_PARTS * np.log10(steps)), return_inverse=True)[1]
    counts = np.bincount(parts)
    middle = 10 ** (np.bincount(parts, np.log10(steps)) / counts)
    return [middle, *(np.bincount(parts, column) / counts for column in columns)]


def followed(
    targets: ArrayLike,
    answers: ArrayLike,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw sequences, one panel each: true and predicted values, step by step.

    Args:
        targets: `(sequences, time)`, at most six sequences.
        answers: the same shape.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes differ, or there are too many sequences.

    Example:
        >>> len(followed([[1, 3, 5]], [[1.1, 2.9, 5.2]]).axes)
        1
    """
    true = check_array("targets", targets, ("sequences", "time"))
    predicted = check_array("answers", answers, true.shape)
    if len(true) > 6:
        raise ValueError(f"at most 6 sequences can be drawn, got {len(true)}")
    rows, columns = -(-len(true) // 3), min(len(true), 3)
    with new_figure(style, (WIDTH, 1.4 + 3.2 * rows), title) as (figure, theme):
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
        for axes in panels[len(true) :]:
            axes.remove()
        for axes, target, answer in zip(panels, true, predicted, strict=False):
            draw_against_truth(axes, target, answer, theme)
            number_steps(axes, len(target))
            axes.set_xlabel("step")
            axes.set_title(f"largest error {np.abs(answer - target).max():.3f}")
        figure.axes[0].legend(loc="best")
    return figure


def score_table(
    skills: ArrayLike,
    texts: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str | None = None,
    style: str = "light",
) -> Figure:
    """Draw a table of scores whose cells are the darker, the better they are.

    Args:
        skills: from 0, as good as a blind answer, to 1, the best possible,
            `(rows, columns)`; NaN where nothing is known.
        texts: what each cell of the table says, of the same shape.
        rows: names of the rows.
        columns: headings of the columns.
        title: a heading over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if a skill is not from 0 to 1, or shapes do not match.

    Example:
        >>> figure = score_table([[0.9]], [["93.0"]], rows=["gru"], columns=["copy"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['93.0']
    """
    shape = (len(rows), len(columns))
    shades = check_array("skills", skills, shape, _SKILL)
    lengths = [len(row) for row in texts]
    if lengths != [len(columns)] * len(rows):
        raise ValueError(
            f"texts must have {shape[0]} rows of {shape[1]}, got {lengths}"
        )
    size = (WIDTH, 1.7 + 0.27 * len(rows))
    with new_figure(style, size, title) as (figure, theme):
        axes = figure.subplots()
        axes.imshow(
            shades, cmap=theme.gate, vmin=0, vmax=1, aspect="auto", interpolation="none"
        )
        for (row, column), shade in np.ndenumerate(shades):
            text = texts[row][column]
            colour = theme.background if shade > _DARK else theme.ink
            axes.text(
                column,
                row,
                text,
                size=_IN_TABLE,
                ha="center",
                va="center",
                color=theme.wrong if CROSS in text and not shade > _LIGHT else colour,
            )
        hide_frame(axes)
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(columns)), columns, size=_IN_TABLE)
        axes.set_yticks(range(len(rows)), rows, size=_IN_TABLE)
    return figure
