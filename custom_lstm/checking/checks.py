"""Checks of the contract: arguments, single steps, whole sequences."""

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from custom_lstm.cells.base import splits
from custom_lstm.cells.validation import listed
from custom_lstm.checking.harness import (
    CellUnderTest,
    ContractViolation,
    during,
    initial,
    initial_states,
    is_real,
    require_close,
    seeded,
    shapes,
    structure_of,
    to_array,
    to_arrays,
    to_tensor,
)
from custom_lstm.checking.inputs import each, words
from custom_lstm.checking.runs import (
    Run,
    all_fit,
    flat_data,
    output_shapes,
    run,
    run_layer,
    run_step,
    run_stepwise,
    symbols,
)
from custom_lstm.layers.building import compiled_functions
from custom_lstm.layers.rnn import RNN
from custom_lstm.typing import Config, Nest, Tensor

_OF_EVERY_LAYER = ("name", "trainable", "dtype")

_OTHERS: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "tanh"),
    "initializer": ("ones", "zeros"),
    "regularizer": ("l2", "l1"),
    "constraint": ("unit_norm", "non_neg"),
    "seed": (7, 8),
}
"""What to try for an argument, by the last word of its name."""
RANDOM_START = (
    "`get_initial_state` draws others each time. If that is meant, check the cell with "
    "a seed for it: other checks compare runs"
)
"""What is seen of a cell that begins at random."""
_FAR = 1e4
"""A state so large that bounded functions of it are negligible beside it."""

_REDRAWN = 4
"""How often weights are drawn again for a state that seems not to be read."""
_MASKS = np.array(
    [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1]], dtype=bool
)
"""Padding on the right, on the left, and gaps: 4 steps of 6 each."""


def config(subject: CellUnderTest) -> str:
    """`get_config` returns every constructor argument.

    The cell's config names every argument, makes a cell with equal attributes and an
    equal config, and follows when an argument is given another value.
    """
    original = subject.original or subject.make()
    entries = original.get_config()
    missing = [n for n in constructor_arguments(type(original)) if n not in entries]
    if set(missing) <= set(_OF_EVERY_LAYER):
        subject.copy(original)  # what prevents that weighs more
    if missing:
        raise ContractViolation(
            f"get_config() to hold what {type(original).__name__}.__init__ takes",
            f"not in it: {', '.join(missing)}"
            + ". Does it begin with super().get_config()?"
            * (not set(missing).isdisjoint(("trainable", "dtype"))),
        )
    copy = subject.copy(original)
    _same_attributes(original, copy)
    _same_config("a copy's", copy.get_config(), subject.copy(copy).get_config())
    changed = [name for name in entries if _follows(subject, copy, name)]
    return f"{len(entries)} entries, {len(changed)} of them with other values too"


def constructor_arguments(cls: type) -> list[str]:
    """Return the names of the arguments that `cls` takes, and of every layer's."""
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    named = [
        p.name
        for p in list(parameters)[1:]
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named += [name for name in _OF_EVERY_LAYER if name not in named]
    return named


def _same_attributes(original: Any, copy: Any) -> None:
    """Raise if a plain attribute of the cell differs in its copy."""
    if original.built:
        return  # what building has set is no argument
    bookkeeping = vars(keras.layers.Layer())
    for name, value in vars(original).items():
        other = vars(copy).get(name)
        if name not in bookkeeping and _plain(value) != _plain(other):
            raise ContractViolation(
                f"attribute `{name}` to be {value!r} after from_config(get_config())",
                f"{other!r}",
            )


def _plain(value: Any) -> Any:
    """Return a value that can be compared with another's, or None."""
    if isinstance(value, bool | int | float | str):
        return value
    if inspect.isfunction(value):  # a file holds its name
        return value.__name__
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    with_own_config = keras.layers.Layer | keras.random.SeedGenerator
    if hasattr(value, "get_config") and not isinstance(value, with_own_config):
        return type(value).__name__, _text(value.get_config())
    return None


def _follows(subject: CellUnderTest, cell: Any, name: str) -> bool:
    """Return whether another value could be given; raise if it got lost."""
    before = cell.get_config()
    lost = None
    for value in _other_values(name, before[name]):
        try:
            with seeded(subject.seed):
                other = type(cell).from_config({**before, name: value})
        except (TypeError, ValueError):
            continue  # not a value that this argument can have
        after = other.get_config()
        if _text(after[name]) == _text(before[name]):
            lost = ContractViolation(
                f"`{name}` in get_config() to follow the argument, {value!r}",
                f"{after[name]!r}",
            )
            continue  # it may be the value that it had
        _same_config(
            f"with {name}={value!r}, a copy's", after, subject.copy(other).get_config()
        )
        return True
    if lost:
        raise lost
    return False


def _other_values(name: str, value: Any) -> Iterator[Any]:
    if name == "dtype":
        return
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int) and name != "seed":
        yield value + 1
    elif isinstance(value, float):
        yield from (0.25, 0.5)
    elif name == "name":
        yield f"{value}_again"
    else:
        named = _OTHERS.get(name.rpartition("_")[2], ())
        yield from (other for other in named if other != value)


def _same_config(whose: str, config: Config, copied: Config) -> None:
    for name in config.keys() | copied.keys():
        expected, found = (_text(entries.get(name)) for entries in (config, copied))
        if expected != found:
            hint = "; does `__init__` pass **kwargs on to super().__init__?"
            raise ContractViolation(
                f"{whose} config to have {name}={expected}",
                f"{name}={found}" + hint * (name in _OF_EVERY_LAYER),
            )


def _text(value: Any) -> str:
    """Return what Keras would write into a file for a value."""
    return json.dumps(keras.saving.serialize_keras_object(value), sort_keys=True)


def _first_step(subject: CellUnderTest, cell: Any, batch: int = 3) -> Any:
    x = _at(subject.inputs(batch=batch), 0)
    return run_step(subject, cell, x, subject.zero_states(cell, batch))


def _at(inputs: Nest, t: int) -> Nest:
    return each(lambda array: array[:, t], inputs)


def one_step(subject: CellUnderTest) -> str:
    """A step returns a pair: an output, and the new states."""
    compiled = ", ".join(compiled_functions(subject.make()))
    cell = subject.cell()
    with _of_one_nest(cell, lambda: _begun(cell)):
        output, states = _first_step(subject, cell)
    seen = f"output {shapes(output)}, states {shapes(states)}"
    if compiled:
        seen += (
            f"; {compiled} is a tf.function. custom_lstm.RNN runs the Python function "
            "beneath; in keras.layers.RNN its first trace, made before there are "
            "weights, may be all that ever runs: remove @tf.function"
        )
    return seen


def states(subject: CellUnderTest) -> str:
    """As many new states as `state_size` says, and as wide."""
    cell = subject.cell()
    _, new_states = _first_step(subject, cell)
    promised = subject.promised(3)
    if not all_fit(new_states, promised):
        raise ContractViolation(
            f"{len(promised)} state(s), as state_size={cell.state_size} says: "
            + ", ".join(map(str, promised)),
            f"{len(new_states)} state(s): {shapes(new_states)}",
        )
    return shapes(new_states)


def output_size(subject: CellUnderTest) -> str:
    """The output is as wide as `output_size` says."""
    cell = subject.cell()
    output, _ = _first_step(subject, cell)
    size = getattr(cell, "output_size", None)
    promised = output_shapes(cell, subject.sizes, 3)
    if not all_fit(output, promised):
        none = "the first state, as there is no output_size,"
        source = none if size is None else f"output_size={size}"
        text = ", ".join(map(str, promised))
        raise ContractViolation(f"output {text}, as {source} says", shapes(output))
    return shapes(output)


def initial_state(subject: CellUnderTest) -> str:
    """`get_initial_state(batch_size=n)` gives n rows."""
    cell = subject.cell()
    if not hasattr(cell, "get_initial_state"):
        return "no such method, so Keras begins with zeros"
    for batch in (1, 3):
        flat = keras.tree.flatten(initial(cell, batch))
        promised = subject.promised(batch)
        if not all_fit(flat, promised):
            expected = ", ".join(map(str, promised))
            raise ContractViolation(f"for batch_size={batch}: {expected}", shapes(flat))
        if not all(np.isfinite(to_array(state)).all() for state in flat):
            raise ContractViolation("finite initial states", "nan or inf")
    if subject.starts_at_random:
        raise ContractViolation("the same initial states at every call", RANDOM_START)
    return shapes(flat)


def batch_size(subject: CellUnderTest) -> str:
    """A step takes any number of sequences."""
    cell = subject.cell()
    for batch in (1, 2, 7):
        with during(f"with {batch} sequence(s)"):
            output, states = _first_step(subject, cell, batch)
            made = [*output, *states]
            if any(tensor.shape[0] != batch for tensor in made):
                raise ContractViolation(f"{batch} row(s)", shapes(made))
    return "1, 2 and 7 sequences"


def state_order(subject: CellUnderTest) -> str:
    """What a state carries on comes back in its own place.

    A state that is carried on (c' = f∘c + …, h' = z∘h + …) grows with itself without
    bound. If its growth shows in another new state and not in its own, while that one
    loses what it had, states come back in another order than they are taken. A copy,
    as in a delay line, is no mistake.
    """
    growth = _growth(subject)
    carried = growth > 1e-2
    for old, new in zip(*np.nonzero(carried), strict=True):
        same_size = subject.sizes[old] == subject.sizes[new]
        if same_size and not carried[old, old] and not carried[new, new]:
            raise ContractViolation(
                f"state {old} to be carried on in new state {old}",
                f"per unit of state {old}, new state {new} moves by "
                f"{growth[old, new]:.2g}, and new state {old} by "
                f"{growth[old, old]:.2g}: states are returned in another order than "
                "they are taken",
            )
    count = len(growth)
    own = [str(k) for k in range(count) if carried[k, k]]
    return f"carried on in its own place: state {', '.join(own) or 'none'} of {count}"


def _growth(subject: CellUnderTest) -> np.ndarray:
    """Return how far each new state moves, for a large change of each old one."""
    cell = subject.cell()
    x = _at(subject.inputs(), 0)
    begin = run(subject, cell, subject.inputs(draw=1)).states
    after = to_arrays(run_step(subject, cell, x, begin).states)
    growth = np.zeros((len(begin), len(begin)))
    for old in (k for k, state in enumerate(begin) if is_real(state)):
        far = [*begin]
        far[old] = begin[old] + np.asarray(_FAR, begin[old].dtype)
        for new, state in enumerate(run_step(subject, cell, x, far).states):
            moved = to_array(state)
            copied = moved.shape == far[old].shape and np.array_equal(moved, far[old])
            if not copied and moved.shape == after[new].shape:
                growth[old, new] = np.max(np.abs(moved - after[new])) / _FAR
    return growth


def states_used(subject: CellUnderTest) -> str:
    """Every state acts on the output or on a new state."""
    cell = subject.cell()
    unread = _unread(subject, cell)
    given = subject.original is not None and subject.original.built
    for _ in range(_REDRAWN if unread and not given else 0):  # zero by chance?
        fresh = subject.make()
        subject.build(fresh)
        unread &= _unread(subject, fresh)
    if unread:
        k, count = min(unread), len(subject.sizes)
        raise ContractViolation(
            f"another state {k} to make a difference",
            f"none in the output nor in the {count} new state(s): state {k} "
            "is never read. Are recurrent weights missing? (A state kept only to "
            "be looked at is better shown by `custom_lstm.trace`.)",
        )
    return f"all {len(subject.sizes)} of state_size={structure_of(cell)}"


def _unread(subject: CellUnderTest, cell: Any) -> set[int]:
    """Return the indices of states that make no difference in a step."""
    x = _at(subject.inputs(), 0)
    begin = run(subject, cell, subject.inputs(draw=1)).states
    rng = np.random.default_rng(subject.seed)
    before = run_step(subject, cell, x, begin)
    unread = set()
    for k, state in enumerate(begin):
        noise = 0.5 * rng.normal(size=state.shape) if is_real(state) else 1
        other = [*begin]
        other[k] = state + np.asarray(noise, state.dtype)
        after = run_step(subject, cell, x, other)
        pairs = zip(
            [*after.output, *after.states],
            [*before.output, *before.states],
            strict=True,
        )
        if all(np.array_equal(to_array(new), to_array(old)) for new, old in pairs):
            unread.add(k)
    return unread


def repeatable(subject: CellUnderTest) -> str:
    """Equal inputs give equal outputs, whatever ran between."""
    cell = subject.cell()
    first = run(subject, cell, subject.inputs())
    run(subject, cell, subject.inputs(draw=1))
    again = run(subject, cell, subject.inputs())
    return require_close(
        "the same as in the first call: nothing random at inference, and no memory "
        "but the states",
        again.pairs(first),
    )


def batch_independence(subject: CellUnderTest) -> str:
    """A sequence's results do not depend on its neighbours."""
    cell = subject.cell()
    x, batch = subject.inputs(), 3
    alone = run(subject, cell, x)
    for row in range(batch):
        others = subject.inputs(draw=1)
        for array, own in zip(*map(keras.tree.flatten, (others, x)), strict=True):
            array[row] = own[row]
        require_close(
            f"row {row} as before, when the other rows change",
            run(subject, cell, others).row(row).pairs(alone.row(row)),
        )
    return f"{batch} rows, each among others"


def loops(subject: CellUnderTest) -> str:
    """Unrolled, looped and step by step are the same."""
    cell = subject.cell()
    x = subject.inputs()
    with during("step by step"):
        stepped = run_stepwise(subject, cell, x)
    with during("looped"):
        looped = run(subject, cell, x, unroll=False)
        seen = require_close("as step by step", looped.pairs(stepped))
    with during("unrolled"):
        unrolled = run(subject, cell, x, unroll=True)
        require_close("as step by step", unrolled.pairs(stepped))
    return seen


def hoisted(subject: CellUnderTest) -> str:
    """`custom_lstm.RNN` gives what `keras.layers.RNN` gives."""
    cell = subject.cell()
    by_keras = subject.fits_keras
    name = "keras.layers.RNN" if by_keras else "step by step"
    for time in (1, 5):
        x = subject.inputs(time=time)
        with during(f"{time} step(s)"):
            stock = (
                run(subject, cell, x, unroll=False)
                if by_keras
                else run_stepwise(subject, cell, x)
            )
            hoisted = run(subject, cell, x, layer=RNN, unroll=False)
            seen = require_close(f"as {name}", hoisted.pairs(stock))
    how = "projected at once" if splits(cell) else "not split"
    how += "" if by_keras else "; compared step by step, as Keras's own cannot run it"
    return f"{seen}; inputs {how}"


def masks(subject: CellUnderTest) -> str:
    """A masked step leaves the states as they are."""
    cell = subject.cell()
    valid = subject.inputs(time=4)

    def filled(array: np.ndarray) -> np.ndarray:
        x = np.full((3, 6, *array.shape[2:]), 3.0, dtype="float32")
        x[_MASKS] = array.reshape(-1, *array.shape[2:])
        return x

    x, expected = each(filled, valid), run(subject, cell, valid)
    for name, layer in subject.layers.items():
        for unroll in (False, True):
            with (
                during(f"{name}, unroll={unroll}"),
                _of_one_nest(cell, lambda: _new_states(subject, cell)),
            ):
                seen = run(subject, cell, x, layer=layer, mask=_MASKS, unroll=unroll)
                outputs = [
                    output[_MASKS].reshape(3, 4, *output.shape[2:])
                    for output in seen.outputs
                ]
                text = require_close(
                    "as of the same sequences without their masked steps",
                    Run(outputs, seen.states).pairs(expected),
                )
    with during("all steps masked"):
        held = run(subject, cell, valid, mask=np.zeros((3, 4), dtype=bool))
        begun = Run(held.outputs, initial_states(subject, cell, batch=3))
        require_close("the initial states", held.pairs(begun))
    return text


@contextlib.contextmanager
def _of_one_nest(cell: Any, states: Callable[[], Nest]) -> Iterator[None]:
    """Name the cause of an error: `states()` in another nest than `state_size`'s."""
    try:
        yield
    except ContractViolation:
        raise
    except Exception:
        promised = made = _nest(structure_of(cell))
        with contextlib.suppress(Exception):  # which says less than the first
            made = _nest(listed(states()))
        if promised == made:
            raise
        raise ContractViolation(
            f"states in the nest of `state_size`, {promised}",
            f"{made}; write `state_size` like that, or the states like it",
        ) from None


def _nest(states: Nest) -> str:
    nest = keras.tree.map_structure(lambda _: "h", states)
    text = str(nest).replace("'", "").replace(",)", ")")
    return text.translate(str.maketrans("()", "[]"))


def _begun(cell: Any) -> Nest:
    states = initial(cell, 3)
    return structure_of(cell) if states is None else states


def _new_states(subject: CellUnderTest, cell: Any) -> Nest:
    x = each(lambda array: to_tensor(array[:, 0], cell), subject.inputs())
    begin = subject.zero_states(cell, 3)
    return cell.call(x, begin, **subject.step_arguments(cell, 3))[1]


def go_backwards(subject: CellUnderTest) -> str:
    """`go_backwards` is the same as reversed inputs."""
    cell = subject.cell()
    x = subject.inputs()
    expected = run(subject, cell, each(lambda array: array[:, ::-1].copy(), x))
    for name, layer in subject.layers.items():
        with during(name):
            seen = run(subject, cell, x, layer=layer, go_backwards=True, unroll=False)
            text = require_close("as of reversed inputs", seen.pairs(expected))
    return text


def stateful(subject: CellUnderTest) -> str:
    """Two halves, stateful, are the same as the whole."""
    cell = subject.cell()
    x = subject.inputs(time=6)
    whole = run(subject, cell, x)
    for name, layer in subject.layers.items():
        options = {"return_sequences": True, "return_state": True, "stateful": True}
        rnn = layer(cell, **options)
        halves = [
            run_layer(subject, rnn, each(lambda array, k=k: array[:, k : k + 3], x))
            for k in (0, 3)
        ]
        pairs = zip(*(half.outputs for half in halves), strict=True)
        outputs = [np.concatenate(pair, axis=1) for pair in pairs]
        with during(name):
            text = require_close(
                "as of the whole sequence",
                Run(outputs, halves[1].states).pairs(whole),
            )
    return text


class _Traced(keras.layers.Layer):
    """Runs a layer and promises no shape, so that Keras finds it by tracing the run."""

    def __init__(self, layer: Any):
        super().__init__()
        self.layer = layer

    def call(self, inputs: Nest, constants: Nest = None) -> Tensor:
        return self.layer(inputs, **({} if constants is None else constants))


def dynamic_shapes(subject: CellUnderTest) -> str:
    """Batch size and number of steps may be unknown."""
    cell = subject.cell()
    for name, layer in subject.layers.items():
        with during(f"{name} on keras.Input of {words(subject.features)}"):
            inputs, constants = symbols(subject)
            rnn = layer(cell, return_sequences=True)
            outputs = keras.tree.flatten(rnn(inputs, **constants))
            model = keras.Model(keras.tree.flatten([inputs, constants]), outputs)
            traced = keras.tree.flatten(_Traced(rnn)(inputs, constants))
            last = [[x.shape[-1] for x in flat] for flat in (traced, outputs)]
            if last[0] != last[1]:
                raise ContractViolation(
                    f"output shape {shapes(outputs)}", shapes(traced)
                )
        for batch, time in ((3, 5), (1, 2), (5, 1)):
            x = subject.inputs(batch=batch, time=time)
            with during(f"{name} on {(batch, time)}"):
                expected = run(subject, cell, x)
                made = to_arrays(model(flat_data(subject, x)))
                pairs = Run(made, []).pairs(Run(expected.outputs, []))
                require_close("as of a layer called directly", pairs)
    return "models of (None, None, features) on (3, 5), (1, 2) and (5, 1)"
