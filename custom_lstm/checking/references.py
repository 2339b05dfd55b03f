"""Checks against a reference: a cell or layer known to be right, same weights."""

from typing import Any

import keras
import numpy as np

from custom_lstm.checking.backends import finest, gradients, precision, seeded
from custom_lstm.checking.report import Breach
from custom_lstm.checking.runs import ATOL, RTOL, agree, run, shapes
from custom_lstm.checking.scalars import Total
from custom_lstm.checking.subject import Subject, build, values_of

_TOLERANCES = {"float64": (1e-6, 1e-9), "float32": (RTOL, ATOL)}
"""rtol and atol of a comparison."""


def read_reference(reference: Any, subject: Subject) -> Subject:
    """A source of reference cells.

    Args:
        reference: a cell, a layer with an attribute `cell`, or the class of either.
            A class gets the width of the subject's first state for `units`.
        subject: what will be compared with it.

    Raises:
        TypeError: if no cell comes from it.
    """
    options = {
        "features": subject.features,
        "seed": subject.seed,
        "width": subject.widths[0],
    }
    if isinstance(reference, type) and issubclass(reference, keras.layers.RNN):
        made = reference(subject.widths[0])
        return Subject(type(made.cell), **options)
    if isinstance(reference, keras.layers.RNN):
        reference = reference.cell
    return Subject(reference, what="`reference`", **options)


def reference_weights(subject: Subject, reference: Subject) -> str:
    """Weights and fixed initial values are the reference's.

    Shapes must be equal, and initial values where no chance is: those entries of the
    reference's weights that are the same for two seeds. The forget gate's bias is one.
    """
    mine, theirs, again = (
        _initial(source, seed)
        for source, seed in ((subject, 0), (reference, 0), (reference, 1))
    )
    _require_same_shapes(mine, theirs)
    count = 0
    for k, (own, first, second) in enumerate(zip(mine, theirs, again, strict=True)):
        fixed = first == second
        count += int(np.sum(fixed))
        pairs = [(f"initial weight {k}, fixed entries", own[fixed], first[fixed])]
        agree("as in the reference", pairs)
    return f"{shapes(mine)}; {count} entries with fixed initial values"


def reference_outputs(subject: Subject, reference: Subject) -> str:
    """With equal weights, outputs and states are equal."""
    with precision(finest()):
        mine, theirs = _twins(subject, reference)
        x = subject.inputs()
        begin = run(theirs, subject.inputs(draw=1)).states
        for states in (None, begin):
            expected = run(theirs, x, states=states)
            pairs = run(mine, x, states=states).pairs(expected)
            seen = agree("as of the reference", pairs, *_TOLERANCES[finest()])
    return f"{seen} in {finest()}"


def reference_gradients(subject: Subject, reference: Subject) -> str:
    """With equal weights, all gradients are equal."""
    with precision(finest()):
        mine, theirs = (
            Total(subject, batch=3, time=4, seed=subject.seed, cell=cell)
            for cell in _twins(subject, reference)
        )
        theirs.weighting = mine.weighting
        pairs = list(
            zip(
                (f"gradient of {name}" for name in mine.names),
                gradients(mine, theirs.arrays),
                gradients(theirs, theirs.arrays),
                strict=True,
            )
        )
    seen = agree("as of the reference", pairs, *_TOLERANCES[finest()])
    return f"{seen} in {finest()}, in {', '.join(mine.names)}"


def _initial(source: Subject, seed: int) -> list[np.ndarray]:
    with seeded(seed):
        cell = source.make()
        build(cell, source.features)
        return values_of(cell.weights)


def _twins(subject: Subject, reference: Subject) -> tuple[Any, Any]:
    """A cell and a reference cell with the reference's weights."""
    mine, theirs = subject.cell(), reference.cell()
    values = values_of(theirs.weights)
    _require_same_shapes(values_of(mine.weights), values)
    if subject.widths != reference.widths:
        raise Breach(f"states of width {reference.widths}", f"{subject.widths}")
    mine.set_weights(values)
    return mine, theirs


def _require_same_shapes(mine: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    if [w.shape for w in mine] != [w.shape for w in theirs]:
        raise Breach(f"weights of shapes {shapes(theirs)}", shapes(mine))


CHECKS = (reference_weights, reference_outputs, reference_gradients)
