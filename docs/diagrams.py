"""A small drawing of each cell: what a step computes from what.

Nothing is drawn by hand. One step is traced as a TensorFlow graph, and each edge is a
path in it from the inputs, an old state or a gate that the cell shows to another.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from custom_lstm import cells
from custom_lstm.cells.base import observed, takes_constants
from custom_lstm.layers.steps import names_shown
from custom_lstm.tasks.compare_cells.training import make_cell

UNITS, FEATURES, ROWS = 4, 3, 2
WIDTH, LETTER, HEIGHT, GAP, ACROSS, LANE = 92, 8, 26, 12, 62, 8
"""Pixels: of a box, which is wider if its column holds a long name; of a letter; …"""
_OWN = {
    cells.ConvLSTMCell: (2, 3),
    cells.ConvGRUCell: (2, 3),
    cells.AttentiveLSTMCell: (UNITS, FEATURES),
}
"""Arguments of cells that do not step vectors alone."""

NOTES = {cells.RHNCell: "Drawn with `depth=2`; each further layer is as the second."}
"""What a drawing does not say of itself."""

Edges = dict[str, set[str]]


class Place(NamedTuple):
    """Where a box is: its column, and in pixels its left, top and width."""

    column: int
    x: float
    y: float
    width: float


Places = dict[str, Place]


def diagram(cell: type) -> str:
    """Return the drawing of a cell as SVG in the page, which follows its colours."""
    edges, states = dependencies(cell)
    return _svg(edges, states, cell.__name__)


def dependencies(cell_class: type) -> tuple[Edges, list[str]]:
    """Return what each gate and new state is computed from, and the states' names.

    Args:
        cell_class: of the catalogue.

    Returns:
        The names of what each depends on directly, by name: "x", states, gates,
        new states, with a prime, and the output "y" if it is none of them. Old states
        and "x" have none.
    """
    cell: Any = _made(cell_class)
    names = names_shown(cell)
    given, seen, found = _examples(cell), {}, {}

    @tf.function(autograph=False)
    def step(x, states, constants):
        more = {"constants": constants} if constants else {}
        with observed(cell, seen.update):
            y, new = cell.call(x, states, **more)
        old = {"x": x, **dict(zip(names, states, strict=True))}
        old |= dict(zip(["memory"], constants, strict=False))
        after = zip((f"{n}'" for n in names), keras.tree.flatten(new), strict=True)
        found.update(_edges(old, {"y": y, **seen, **dict(after)}))

    step.get_concrete_function(*given)
    return found, names


def _made(cell_class: type) -> Any:
    """Return a built cell."""
    if cell_class is cells.RHNCell:
        cell: Any = cells.RHNCell(UNITS, depth=2)
        shape: tuple[int, ...] = (ROWS, FEATURES)
    elif cell_class not in _OWN:
        cell = make_cell(cell_class, UNITS)
        shape: tuple[int, ...] = (ROWS, FEATURES)
    else:
        cell = cell_class(*_OWN[cell_class])
        image = issubclass(cell_class, cells.ConvolutionalCell)
        shape = (ROWS, 5, 5, 1) if image else (ROWS, FEATURES)
    cell.build(shape)
    cell.example_shape = shape
    return cell


def _examples(cell: Any) -> tuple[Any, list[Any], list[Any]]:
    """Return inputs, states and constants of a step."""
    states = keras.tree.flatten(cell.get_initial_state(ROWS))
    memory = [tf.ones((ROWS, 5, FEATURES))] * takes_constants(cell)
    return tf.ones(cell.example_shape), states, memory


def _edges(given: dict[str, Any], made: dict[str, Any]) -> Edges:
    """Return, for each tensor that was made, the named ones it comes from directly."""
    named = {id(tensor): name for name, tensor in {**made, **given}.items()}
    made = {name: tensor for name, tensor in made.items() if named[id(tensor)] == name}
    edges: Edges = {name: set() for name in given}
    for name, tensor in made.items():
        edges[name] = set()
        before, done = list(tensor.op.inputs), set()
        while before:
            current = before.pop()
            if id(current) in done:
                continue
            done.add(id(current))
            if id(current) in named:
                edges[name].add(named[id(current)])
            else:
                before += current.op.inputs
    return edges


def _columns(edges: Edges) -> list[list[str]]:
    """Return the names in columns, each to the right of what it comes from."""
    depth: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((of(other) for other in edges[name]), default=-1)
        return depth[name]

    for name in edges:
        of(name)
    last = max(depth.values())
    columns = [[n for n in edges if depth[n] == k] for k in range(last + 1)]
    return [column for column in columns if column]


def _svg(edges: Edges, states: Iterable[str], title: str) -> str:
    columns = _columns(edges)
    rows = max(map(len, columns))
    height = rows * HEIGHT + (rows - 1) * GAP + 4
    place: Places = {}
    left = 2.0
    for k, column in enumerate(columns):
        top = (height - len(column) * (HEIGHT + GAP) + GAP) / 2
        wide = max(WIDTH, LETTER * (2 + max(map(len, column))))
        for row, name in enumerate(column):
            place[name] = Place(k, left, top + row * (HEIGHT + GAP), wide)
        left += wide + ACROSS
    width = left - ACROSS + 2
    label = f"{title}: what each gate and state is computed from"
    lanes = _lanes(edges, place, height)
    height = max(lanes.values(), default=height) + 4
    head = (
        f'<svg class="cell" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'role="img" aria-label="{escape(label)}">'
    )
    drawn = [*_lines(edges, place, lanes), *_boxes(place, edges, set(states))]
    return "\n".join(["```{raw} html", head, *drawn, "</svg>", "```"])


def _skips(place: Places, source: str, name: str) -> bool:
    """Return whether there is a column between two boxes."""
    return place[name].column - place[source].column > 1


def _lanes(edges: Edges, place: Places, bottom: float) -> dict[str, float]:
    """Return how low the edges run that skip columns: a lane for each source."""
    skipping = {s for name in edges for s in edges[name] if _skips(place, s, name)}
    ordered = sorted(skipping, key=lambda s: (-place[s].y, -place[s].x))
    return {source: bottom + LANE * (k + 1) for k, source in enumerate(ordered)}


def _lines(edges: Edges, place: Places, lanes: dict[str, float]) -> Iterator[str]:
    """Yield the edges; those that skip a column pass below all boxes."""
    half = ACROSS / 2
    for name, sources in edges.items():
        x, y = place[name].x, place[name].y + HEIGHT / 2
        for source in sorted(sources):
            a, b = place[source].x + place[source].width, place[source].y + HEIGHT / 2
            if _skips(place, source, name):
                low = lanes[source]
                path = (
                    f"C{a + half:g} {b:g} {a:g} {low:g} {a + ACROSS:g} {low:g}"
                    f"H{x - ACROSS:g}C{x:g} {low:g} {x - half:g} {y:g} {x:g} {y:g}"
                )
            else:
                path = f"C{a + half:g} {b:g} {x - half:g} {y:g} {x:g} {y:g}"
            yield f'<path class="edge" d="M{a:g} {b:g}{path}"/>'


def _boxes(place: Places, edges: Edges, states: set[str]) -> Iterator[str]:
    for name, (_, x, y, width) in place.items():
        kind = "input" if name in states or name in ("x", "memory") else "node"
        kind = "state" if name.removesuffix("'") in states and "'" in name else kind
        yield (
            f'<rect class="node {kind}" x="{x:g}" y="{y:g}" width="{width}" '
            f'height="{HEIGHT}" rx="6"/><text x="{x + width / 2:g}" '
            f'y="{y + HEIGHT / 2 + 4:g}" text-anchor="middle">{escape(name)}</text>'
        )
