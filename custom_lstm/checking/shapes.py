"""Checks of single steps: how many states, in which order, how wide."""

import keras
import numpy as np

from custom_lstm.checking.report import Breach
from custom_lstm.checking.runs import array, during, run, shapes, step
from custom_lstm.checking.subject import Subject, structure_of, zero_states

_FAR = 1e4
"""A state so large that bounded functions of it are negligible beside it."""


def one_step(subject: Subject) -> str:
    """A step returns a pair: an output, and the new states."""
    cell = subject.cell()
    output, states = step(cell, subject.inputs()[:, 0], zero_states(cell, 3))
    return f"output {shapes([output])}, states {shapes(states)}"


def states(subject: Subject) -> str:
    """As many new states as `state_size` says, and as wide."""
    cell = subject.cell()
    _, new_states = step(cell, subject.inputs()[:, 0], zero_states(cell, 3))
    promised = [(3, width) for width in subject.widths]
    seen = [tuple(getattr(state, "shape", ())) for state in new_states]
    if seen != promised:
        raise Breach(
            f"{len(promised)} state(s), as state_size={cell.state_size} says: "
            + ", ".join(map(str, promised)),
            f"{len(seen)} state(s): {shapes(new_states)}",
        )
    return shapes(new_states)


def output_size(subject: Subject) -> str:
    """The output is as wide as `output_size` says."""
    cell = subject.cell()
    output, _ = step(cell, subject.inputs()[:, 0], zero_states(cell, 3))
    size = getattr(cell, "output_size", None)
    promised = subject.widths[0] if size is None else size
    if tuple(output.shape) != (3, promised):
        source = "the first state" if size is None else f"output_size={size}"
        raise Breach(f"output (3, {promised}), as {source} says", shapes([output]))
    return shapes([output])


def initial_state(subject: Subject) -> str:
    """`get_initial_state(batch_size=n)` gives n rows."""
    cell = subject.cell()
    if not hasattr(cell, "get_initial_state"):
        return "no such method, so Keras begins with zeros"
    for batch in (1, 3):
        flat = keras.tree.flatten(cell.get_initial_state(batch_size=batch))
        promised = [(batch, width) for width in subject.widths]
        if [tuple(getattr(state, "shape", ())) for state in flat] != promised:
            expected = ", ".join(map(str, promised))
            raise Breach(f"for batch_size={batch}: {expected}", shapes(flat))
        if not all(np.isfinite(array(state)).all() for state in flat):
            raise Breach("finite initial states", "nan or inf")
    return shapes(flat)


def batch_size(subject: Subject) -> str:
    """A step takes any number of sequences."""
    cell = subject.cell()
    for batch in (1, 2, 7):
        with during(f"with {batch} sequence(s)"):
            x = subject.inputs(batch=batch)[:, 0]
            output, states = step(cell, x, zero_states(cell, batch))
            if any(tensor.shape[0] != batch for tensor in (output, *states)):
                raise Breach(f"{batch} row(s)", shapes([output, *states]))
    return "1, 2 and 7 sequences"


def state_order(subject: Subject) -> str:
    """What a state carries on comes back in its own place.

    A state that is carried on (c' = f∘c + …, h' = z∘h + …) grows with itself without
    bound. If its growth shows in another new state and not in its own, while that one
    loses what it had, states come back in another order than they are taken. A copy,
    as in a delay line, is no mistake.
    """
    cell = subject.cell()
    x = subject.inputs()[:, 0]
    begin = run(cell, subject.inputs(draw=1)).states
    after = [array(state) for state in step(cell, x, begin).states]
    count = len(begin)
    growth = np.zeros((count, count))
    for old in range(count):
        far = [s + _FAR * (k == old) for k, s in enumerate(begin)]
        for new, state in enumerate(step(cell, x, far).states):
            moved = array(state)
            copied = moved.shape == far[old].shape and np.array_equal(moved, far[old])
            if not copied and moved.shape == after[new].shape:
                growth[old, new] = np.max(np.abs(moved - after[new])) / _FAR
    carried = growth > 1e-2
    for old, new in zip(*np.nonzero(carried), strict=True):
        same_width = subject.widths[old] == subject.widths[new]
        if same_width and not carried[old, old] and not carried[new, new]:
            raise Breach(
                f"state {old} to be carried on in new state {old}",
                f"per unit of state {old}, new state {new} moves by "
                f"{growth[old, new]:.2g}, and new state {old} by "
                f"{growth[old, old]:.2g}: states are returned in another order than "
                "they are taken",
            )
    own = [str(k) for k in range(count) if carried[k, k]]
    return f"carried on in its own place: state {', '.join(own) or 'none'} of {count}"


def states_used(subject: Subject) -> str:
    """Every state acts on the output or on a new state."""
    cell = subject.cell()
    x = subject.inputs()[:, 0]
    begin = run(cell, subject.inputs(draw=1)).states
    rng = np.random.default_rng(subject.seed)
    before = step(cell, x, begin)
    for k, state in enumerate(begin):
        other = [*begin]
        other[k] = state + 0.5 * rng.normal(size=state.shape).astype(state.dtype)
        after = step(cell, x, other)
        pairs = zip(
            [after.output, *after.states], [before.output, *before.states], strict=True
        )
        if all(np.array_equal(array(new), array(old)) for new, old in pairs):
            raise Breach(
                f"another state {k} to make a difference",
                f"none in the output nor in the {len(begin)} new state(s): state {k} "
                "is never read. Are recurrent weights missing? (A state kept only to "
                "be looked at is better shown by `custom_lstm.trace`.)",
            )
    return f"all {len(begin)} of state_size={structure_of(cell)}"


CHECKS = (
    one_step,
    initial_state,
    states,
    output_size,
    batch_size,
    state_order,
    states_used,
)
