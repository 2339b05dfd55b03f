"""One mechanism for every library: a form says which array holds which gates.

A form is a table of parts. A part is one array of the library: which of Keras's arrays
are in it, one above the other, which gates side by side, and whether it is transposed.
The letters are

    W  kernel               b  bias, or a GRU's first row       P  projection
    U  recurrent_kernel     v  the second bias, that of h       p  peepholes, i, f, o
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from custom_lstm.convert.arrays import (
    GATES,
    CellWeights,
    as_array,
    check_names,
    check_shapes,
    listed,
)

Blocks = dict[tuple[str, str], np.ndarray]
"""By letter and gate: `("W", "i")`; of a projection, `("P", "")`."""

FIXED = {
    "activation": ("tanh",),
    "recurrent_activation": ("sigmoid",),
    "output_activation": ("tanh",),
}
"""Of a library with tanh and σ alone."""


class Part(NamedTuple):
    """One array of a library."""

    name: str
    letters: str
    gates: str
    transposed: bool = False


class Form(NamedTuple):
    """How a library stores a kind of cell.

    Letters in `optional` may be missing; with them go their parts. `reset_after` is
    that of its GRU. Gates in `negated` have the other sign: 1 − z in the place of z.
    `activations` are those that it can have, by argument; others may be any, that of
    c' the candidate's unless it has one of its `own_output`.
    """

    module: str
    kind: str
    parts: tuple[Part, ...]
    optional: str = ""
    reset_after: bool | None = None
    negated: str = ""
    activations: Mapping[str, Sequence[str]] = {}
    own_output: bool = False

    def named(self, suffix: str) -> "Form":
        """Return the form with a suffix to every name."""
        parts = [part._replace(name=part.name + suffix) for part in self.parts]
        return self._replace(parts=tuple(parts))

    def holding(self, letters: Iterable[str]) -> list[Part]:
        """Return the parts without those of optional letters that are not given."""
        absent = set(self.optional).difference(letters)
        return [part for part in self.parts if not absent.intersection(part.letters)]

    @property
    def letters(self) -> str:
        """Return the letters of all parts."""
        return "".join(part.letters for part in self.parts)


class Found(NamedTuple):
    """Arrays by the rest of their names.

    `what` says what was read, and `note` under which prefixes there are such names, if
    not here alone, for errors.
    """

    what: str
    arrays: dict[str, np.ndarray]
    note: str
    prefix: str


_WRAPPERS = {
    "_checkpoint_wrapped_module",
    "_forward_module",
    "_fsdp_wrapped_module",
    "_orig_mod",
    "model_state_dict",
    "module",
    "state_dict",
}
"""Parts of names that what wraps a model, or a checkpoint, puts before those of its."""


def under_prefix(
    what: str, values: Mapping[str, Any], prefix: str, known: re.Pattern[str]
) -> Found:
    """Return the arrays whose names begin with a prefix.

    It may be said without what `_WRAPPERS` are in it and without its last separator;
    and, if there are such names in one place under it alone, without the rest.

    Args:
        what: the argument, for errors.
        values: arrays by name.
        prefix: begin of the names; others are left aside.
        known: matches the rest of a name.
    """
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{what} must be arrays by name. Received: {type(values).__name__}"
        )
    found = places(values, known)
    if prefix not in found:
        within = [one for one in found if is_within(one, prefix)]
        prefix = within[0] if len(within) == 1 else prefix
    arrays = {
        str(name).removeprefix(prefix): as_array(value)
        for name, value in values.items()
        if str(name).startswith(prefix)
    }
    if found and found != [prefix]:
        note = f". Such names are under {listed([repr(one) for one in found])}"
    else:
        note = ""
    what = f"{what} under {prefix!r}" if prefix else what
    return Found(what, arrays, note, prefix)


def places(values: Iterable[str], known: re.Pattern[str]) -> list[str]:
    """Return the prefixes under which there are known names."""
    whole = re.compile(rf"((?:.*?[./])??)(?:{known.pattern})", re.DOTALL)
    matches = [match for name in values if (match := whole.fullmatch(str(name)))]
    return list(dict.fromkeys(match[1] for match in matches))


def is_within(place: str, prefix: str) -> bool:
    """Return whether a prefix begins with another, but for what wraps them."""
    inner, outer = (
        [part for part in re.split("[./]", name) if part and part not in _WRAPPERS]
        for name in (place, prefix)
    )
    return inner[: len(outer)] == outer


def flattened(tree: Any, separator: str = "/", prefix: str = "") -> dict[str, Any]:
    """Return arrays by path: `{"a": {"b": x}}` to `{"a/b": x}`."""
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix(separator): tree}
    return {
        path: array
        for name, part in tree.items()
        for path, array in flattened(
            part, separator, f"{prefix}{name}{separator}"
        ).items()
    }


def known_names(forms: Iterable[Form]) -> re.Pattern[str]:
    """Return a pattern of the names of all parts."""
    names = {re.escape(part.name): None for form in forms for part in form.parts}
    return re.compile("|".join(names))


def choose(forms: Sequence[Form], arrays: Mapping[str, np.ndarray]) -> Form:
    """Return the form with the most of these names, and, of those, the shapes."""

    def rank(form: Form) -> tuple[int, bool]:
        shared = sum(part.name in arrays for part in form.parts)
        return -shared, not _fits(form, arrays)

    return min(forms, key=rank)


def decode(
    what: str, form: Form, arrays: Mapping[str, np.ndarray], note: str = ""
) -> CellWeights:
    """Return the cell that arrays of a library hold.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape.
    """
    given = {letter for p in form.parts if p.name in arrays for letter in p.letters}
    if given & {"b", "v"} and "b" in form.optional:
        given |= {"b", "v"}
    parts = form.holding(given)
    check_names(what, [part.name for part in parts], arrays, note)
    _check_matrices(what, parts, arrays)
    check_shapes(what, arrays, _shapes(parts, arrays))
    outputs = _sizes(parts, arrays)[2]
    blocks: Blocks = {}
    for part in parts:
        array = arrays[part.name].T if part.transposed else arrays[part.name]
        cut = [-outputs] if part.letters == "WU" else len(part.letters)
        for letter, rows in zip(part.letters, np.split(array, cut), strict=True):
            columns = np.split(rows, len(part.gates) or 1, axis=-1)
            for gate, block in zip(part.gates or [""], columns, strict=True):
                negated = gate != "" and gate in form.negated
                blocks[letter, gate] = -block if negated else block
    return _assembled(form, blocks)


def encode(what: str, form: Form, cell: CellWeights) -> dict[str, np.ndarray]:
    """Return the arrays of a library for a cell, new ones.

    Raises:
        ValueError: if the library has no such cell.
    """
    check_holds(what, form, cell)
    blocks = _blocks(what, form, cell)
    arrays = {}
    for part in form.holding({letter for letter, _ in blocks}):
        rows = [
            np.concatenate([blocks[letter, g] for g in part.gates or [""]], axis=-1)
            for letter in part.letters
        ]
        array = np.concatenate(rows)
        arrays[part.name] = np.ascontiguousarray(array.T) if part.transposed else array
    return arrays


def check_holds(what: str, form: Form, cell: CellWeights) -> None:
    """Raise a `ValueError` if the library's cell is another one than this."""
    for letter, name in (("P", "projection"), ("p", "peephole")):
        has = getattr(cell, name) is not None
        if has and letter not in form.letters:
            raise ValueError(f"{what}: {form.module} has no {name}")
        if not has and letter in form.letters and letter not in form.optional:
            raise ValueError(f"{what}: {form.module} needs a {name}")
    allowed_by_argument = dict(form.activations)
    if not form.own_output and "activation" in cell.activations:
        candidate = (cell.activations["activation"],)
        allowed_by_argument.setdefault("output_activation", candidate)
    for argument, name in cell.activations.items():
        allowed = allowed_by_argument.get(argument, (name,))
        if name not in allowed:
            raise ValueError(
                f"{what}: {form.module} has `{argument}` {' or '.join(allowed)}. "
                f"Received: {name}"
            )
    if form.kind == "GRU":
        _check_gru(what, form, cell)


def _check_gru(what: str, form: Form, cell: CellWeights) -> None:
    reset_after = cell.reset_after
    one_row = cell.bias is not None and cell.bias.ndim == 1
    if reset_after is None and not (one_row and form.reset_after):
        raise ValueError(
            f"{what}: these arrays may be of a GRU with `reset_after=True` or `False`, "
            "or of an LSTM with coupled gates. Give the layer instead of its weights, "
            "or say `reset_after`"
        )
    if bool(reset_after) != form.reset_after:
        shape = (2, 3 * cell.units) if form.reset_after else (3 * cell.units,)
        received = "none" if cell.bias is None else str(cell.bias.shape)
        raise ValueError(
            f"{what}: {form.module} is a GRU with `reset_after={form.reset_after}`, "
            f"whose `bias` has shape {shape}. Received shape: {received}"
        )


def _sizes(
    parts: Iterable[Part], arrays: Mapping[str, np.ndarray]
) -> tuple[int, int, int]:
    """Return features, units and outputs, as far as the shapes tell."""
    shapes: dict[str, tuple[Part, tuple[int, ...]]] = {}
    for part in parts:
        shape = arrays[part.name].shape if part.name in arrays else ()
        shape = shape[::-1] if part.transposed else shape
        shapes.setdefault(part.letters, (part, shape if len(shape) == 2 else (0, 0)))
    projected = shapes["P"][1] if "P" in shapes else None
    part, (rows, columns) = shapes.get("U") or shapes["WU"]
    wide = columns // len(part.gates)
    if part.letters == "WU":
        outputs = projected[1] if projected else wide
        return max(rows - outputs, 0), wide, outputs
    features = shapes["W"][1][0]
    units, outputs = projected or (rows, rows)
    return features, units, outputs


def _check_matrices(
    what: str, parts: Iterable[Part], arrays: Mapping[str, np.ndarray]
) -> None:
    """Raise if what must be a matrix is none, or leaves no room for x or h."""
    features, units, outputs = _sizes(parts, arrays)
    rows = {"W": "features", "U": "outputs", "WU": "features + outputs", "P": "units"}
    for part in parts:
        if part.letters not in rows:
            continue
        sizes = [rows[part.letters], f"{len(part.gates)}·units"]
        sizes = sizes if part.gates else [sizes[0], "outputs"]
        shape = ", ".join(sizes[::-1] if part.transposed else sizes)
        if arrays[part.name].ndim != 2 or min(features, units, outputs) < 1:
            raise ValueError(
                f"{what}: `{part.name}` must have shape ({shape}), all at least 1. "
                f"Received shapes: {', '.join(str(a.shape) for a in arrays.values())}"
            )


def _shapes(
    parts: Iterable[Part], arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    """Return the shape that each array must have."""
    features, units, outputs = _sizes(parts, arrays)
    rows = {"W": features, "U": outputs, "WU": features + outputs, "P": units}
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        width = len(part.gates) * units
        if part.letters in rows:
            wide = width if part.gates else outputs
            shape: tuple[int, ...] = (rows[part.letters], wide)
        else:
            shape = (len(part.letters) * width,)
        shapes[part.name] = shape[::-1] if part.transposed else shape
    return shapes


def _fits(form: Form, arrays: Mapping[str, np.ndarray]) -> bool:
    """Return whether the arrays that are there have the shapes of this form."""
    given = {letter for p in form.parts if p.name in arrays for letter in p.letters}
    parts = form.holding(given)
    if not all(part.name in arrays for part in parts):
        return False
    shapes = _shapes(parts, arrays)
    features, units, outputs = _sizes(parts, arrays)
    fit = all(arrays[name].shape == shape for name, shape in shapes.items())
    return fit and units > 0 and outputs > 0


def _assembled(form: Form, blocks: Blocks) -> CellWeights:
    """Return Keras's arrays of blocks."""
    gates = GATES[form.kind]

    def joined(letter: str, order: str) -> np.ndarray:
        rest = np.zeros_like(next(b for (own, _), b in blocks.items() if own == letter))
        return np.concatenate([blocks.get((letter, g), rest) for g in order], axis=-1)

    letters = {letter for letter, _ in blocks}
    bias = joined("b", gates) if "b" in letters else None
    if bias is not None and form.kind == "GRU" and form.reset_after:
        v = joined("v", gates) if "v" in letters else np.zeros_like(bias)
        bias = np.stack([bias, v])
    elif bias is not None and "v" in letters:
        bias = bias + joined("v", gates)
    return CellWeights(
        joined("W", gates),
        joined("U", gates),
        bias,
        projection=blocks["P", ""].copy() if "P" in letters else None,
        peephole=joined("p", "ifo").reshape(3, -1) if "p" in letters else None,
        reset_after=form.reset_after,
    )


def _blocks(what: str, form: Form, cell: CellWeights) -> Blocks:
    """Return the blocks of a cell, as the form has them: biases folded into one."""
    gates = GATES[form.kind]
    rows = {"W": cell.kernel, "U": cell.recurrent_kernel}
    if cell.bias is not None or "b" not in form.optional:
        zeros = np.zeros_like(cell.kernel, shape=cell.kernel.shape[1])
        bias = zeros if cell.bias is None else cell.bias
        b, v = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        rows |= {"b": b, "v": v}
    blocks: Blocks = {
        (letter, gate): -block if gate in form.negated else block
        for letter, array in rows.items()
        for gate, block in zip(gates, np.split(array, len(gates), -1), strict=True)
    }
    if cell.projection is not None:
        blocks["P", ""] = cell.projection
    if cell.peephole is not None:
        blocks |= {("p", g): row for g, row in zip("ifo", cell.peephole, strict=True)}
    apart = {gate for part in form.parts if "v" in part.letters for gate in part.gates}
    for gate in set(gates) - apart if "b" in rows else ():
        v_k = blocks["v", gate]
        if gate == "g" and form.kind == "GRU" and v_k.any():
            raise ValueError(
                f"{what}: {form.module} has no bias within the reset; the last `units` "
                f"numbers of `bias[1]` must be 0. Received: {v_k}"
            )
        if v_k.any():
            blocks["b", gate] = blocks["b", gate] + v_k
    return blocks
