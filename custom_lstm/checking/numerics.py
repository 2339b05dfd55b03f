"""Checks of what training needs, and against a reference with the same weights."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.checking.causes import kept_tensors
from custom_lstm.checking.checks import constructor_arguments
from custom_lstm.checking.harness import (
    ATOL,
    RTOL,
    CellUnderTest,
    ContractViolation,
    dtype_policy,
    during,
    finest_dtype,
    in_words,
    initial,
    initial_states,
    is_real,
    pack,
    require_close,
    seeded,
    shapes,
    to_array,
    to_arrays,
    to_tensor,
)
from custom_lstm.checking.inputs import each
from custom_lstm.checking.runs import Run, automatic_gradients, run, run_layer
from custom_lstm.layers.hints import hints
from custom_lstm.typing import DType, Tensor

_DIRECTIONS = 3
_DIFFERENCES = {"float64": (1e-5, 1e-3, 1e-5), "float32": (1e-2, 2e-2, 2e-3)}
"""ε of central differences, and rtol and atol of a comparison with them."""
_TOLERANCES = {"float64": (1e-6, 1e-9), "float32": (RTOL, ATOL)}
"""rtol and atol of a comparison with a reference."""
_FALL = 0.95
"""What a loss must come down to, as a part of the first."""
_COARSE = 2e-2
"""rtol and atol of a comparison of bfloat16 with float32, beside what rounding does."""
_HALF = 0.5
"""The dropout rate that is tried."""


def gradients(subject: CellUnderTest) -> str:
    """Gradients are those of central differences.

    A random weighting of all outputs and last states is differentiated with respect
    to inputs, initial states and weights: automatically, and by
    (L(x + εd) − L(x − εd)) / 2ε along random directions d in each of them: in float64
    where backend and cell compute in it, and else, coarsely, in float32.
    """

    def compare(dtype: str) -> str:
        total = _WeightedTotal(subject)
        found = automatic_gradients(total, total.arrays)
        epsilon, rtol, atol = _DIFFERENCES[dtype]
        pairs = []
        for k, d, label in total.directions(_DIRECTIONS):
            pairs.append((label, np.sum(found[k] * d), total.slope(k, d, epsilon)))
        _finite_from_the_start(subject)
        seen = require_close("automatic = numeric", pairs, rtol, atol)
        return f"{seen}, in {', '.join(total.names)}"

    return _in_finest_dtype(subject, compare)


def _in_finest_dtype(subject: CellUnderTest, compare: Callable[[str], str]) -> str:
    """Compare in float64, or in float32 if the backend or the cell needs it.

    Args:
        subject: the cell.
        compare: dtype → what was seen; raises what is wrong.

    Returns:
        What was seen, in which dtype, and why, if the cell compelled it.
    """
    finest = finest_dtype()
    if finest == "float32":
        return f"{compare(finest)}; in {finest}"
    with dtype_policy(finest):
        try:
            return f"{compare(finest)}; in {finest}"
        except Exception as error:
            why = _why_not_in_float64(subject, error)
            if not why:
                raise
    with dtype_policy("float32"):
        return f"{compare('float32')}; in float32, as {why}"


def _why_not_in_float64(subject: CellUnderTest, error: Exception) -> str:
    """Return why what failed in float64 says nothing about a cell, or ""."""
    if not isinstance(error, ContractViolation):
        return f"in float64 it raises {in_words(error)}"
    total = _WeightedTotal(subject)
    for k, d, _ in total.directions(1):
        slopes = [total.slope(k, d, epsilon) for epsilon in (1e-7, 1e-5)]
        if abs(slopes[0] - slopes[1]) > 1e-4 * max(1.0, abs(slopes[1])):
            return "it computes a part in less than float64, whatever its dtype says"
    return ""


def _finite_from_the_start(subject: CellUnderTest) -> None:
    """Raise if gradients are not finite where a sequence begins."""
    cell = subject.cell()
    begin = initial_states(subject, cell, batch=3)
    total = _WeightedTotal(subject, cell=cell, begin=begin)
    found = zip(total.names, automatic_gradients(total, total.arrays), strict=True)
    wrong = [name for name, gradient in found if not np.isfinite(gradient).all()]
    if wrong:
        names = ", ".join(wrong)
        raise ContractViolation(
            "finite gradients from the initial state", f"nan or inf in {names}"
        )


def weights_used(subject: CellUnderTest) -> str:
    """Every trainable weight acts on outputs or states.

    Each column needs a gradient, or, beyond a threshold, must act when it is changed.
    """
    total = _WeightedTotal(subject, batch=16)
    found = automatic_gradients(total, total.arrays)
    beyond = []
    for k in range(total.first_weight, len(total.arrays)):
        gradient, name = np.atleast_1d(found[k]), total.names[k]
        columns = gradient.reshape(-1, gradient.shape[-1])
        flat = np.flatnonzero(~np.any(columns, axis=0))
        idle = [
            column
            for column in flat.tolist()
            if not _acts(total, k, column) and not _acts_at_first(total, k, column)
        ]
        if idle:
            raise ContractViolation(
                f"every column of {name} {found[k].shape} to act",
                kept_tensors(subject)
                or f"no gradient in {len(idle)} of {gradient.shape[-1]}: {idle}, and "
                "none changes a result when it is changed; does each gate read its own "
                "part?",
            )
        beyond += [f"{name} {flat.tolist()}"] if flat.size else []
    seen = ", ".join(total.names[total.first_weight :]) or "no trainable weights"
    without = f"; no gradient here, but act when changed: {', '.join(beyond)}"
    return seen + without * bool(beyond)


def _acts(total: "_WeightedTotal", which: int, column: int) -> bool:
    """Return whether a change of a weight's column, small or large, acts on L."""
    array = total.arrays[which]
    shift = np.zeros(array.shape or (1,))
    before = total.shifted(which, shift.reshape(array.shape))
    for size in (0.1, -0.1, 1.0, -1.0, 1e3, -1e3):
        shift[..., column] = size
        if total.shifted(which, shift.reshape(array.shape)) != before:
            return True
    return False


def _acts_at_first(total: "_WeightedTotal", which: int, column: int) -> bool:
    """Return whether a change of a weight's column acts on the initial states."""
    cell, array = total.layer.cell, total.arrays[which]
    if not hasattr(cell, "get_initial_state"):
        return False
    shift = np.zeros(array.shape or (1,))
    shift[..., column] = 1.0
    changed = ops.convert_to_tensor(array + shift.reshape(array.shape), array.dtype)
    variable = total.variables[which - total.first_weight]
    before = to_arrays(initial(cell, 1))
    with keras.StatelessScope(state_mapping=[(variable, changed)]):
        after = to_arrays(initial(cell, 1))
    return not all(map(np.array_equal, before, after))


def dropout(subject: CellUnderTest) -> str:
    """Dropout acts in training, and not at inference."""
    names = [n for n in constructor_arguments(subject.cell_class) if "dropout" in n]
    x = subject.inputs()
    for name in names:
        without = run(subject, subject.cell(**{name: 0.0}), x)
        cell = subject.cell(**{name: _HALF})
        with during(f"{name}={_HALF}, training=False"), hints(type(cell).__name__):
            require_close("as without dropout", run(subject, cell, x).pairs(without))
        with during(f"{name}={_HALF}, training=True"), hints(type(cell).__name__):
            trained = run(subject, cell, x, training=True)
        pairs = zip(trained.outputs, without.outputs, strict=True)
        if all(np.array_equal(a, b) for a, b in pairs):
            raise ContractViolation(
                f"other outputs with {name}={_HALF}, training=True", "the same outputs"
            )
    return ", ".join(names) or "no argument with `dropout` in its name"


def mixed_precision(subject: CellUnderTest) -> str:
    """Under `mixed_bfloat16` results stay close to float32's."""
    x = subject.inputs(time=4)
    expected = run(subject, subject.cell(), x)
    with dtype_policy("mixed_bfloat16"):
        cell = subject.cell()
        begin = subject.zero_states(cell, 3)
        first = each(lambda array: to_tensor(array[:, 0], cell), x)
        output, states = cell(first, begin, **subject.step_arguments(cell, 3))
        own = [is_real(state) for state in keras.tree.flatten(begin)]
        new = zip(keras.tree.flatten(states), own, strict=True)
        real = [y for y in keras.tree.flatten(output) if is_real(y)]
        real += [state for state, of_numbers in new if of_numbers]
        dtypes = [keras.backend.standardize_dtype(result.dtype) for result in real]
        if set(dtypes) - {"bfloat16"}:
            raise ContractViolation("output and states in bfloat16", ", ".join(dtypes))
        wide = {
            keras.backend.standardize_dtype(w.dtype) for w in cell.trainable_weights
        }
        if wide - {"float32"}:
            raise ContractViolation("weights in float32", ", ".join(sorted(wide)))
        seen = run(subject, cell, x)
    atol = _COARSE + 3 * _moved_by_rounding(subject, expected)
    return require_close("as in float32", seen.pairs(expected), _COARSE, atol)


def _moved_by_rounding(subject: CellUnderTest, expected: Run) -> float:
    """Return how far results move when inputs and weights alone are rounded."""

    def rounded(array: np.ndarray) -> np.ndarray:
        return to_array(ops.cast(array, "bfloat16")).astype(array.dtype)

    cell = subject.cell()
    weights = to_arrays(cell.weights)
    cell.set_weights([rounded(w) if is_real(w) else w for w in weights])
    results = run(subject, cell, each(rounded, subject.inputs(time=4)))
    pairs = [(a, b) for _, a, b in results.pairs(expected) if is_real(b)]
    return max(float(np.max(np.abs(a - b), initial=0.0)) for a, b in pairs)


def training(subject: CellUnderTest) -> str:
    """Training reduces a loss, in a compiled model."""
    x = subject.inputs(batch=32, time=4)
    flat = keras.tree.flatten(x)
    target = np.mean([array.reshape(32, -1).mean(1) for array in flat], axis=0)[:, None]
    constants = subject.of_constants(32)
    symbols = each(lambda array: keras.Input(array.shape[1:]), [x, constants])
    made = subject.layer(subject.cell())(symbols[0], **symbols[1])
    made = [keras.layers.Flatten()(y) for y in keras.tree.flatten(made)]
    made = made[0] if len(made) == 1 else keras.layers.Concatenate()(made)
    head = keras.layers.Dense(1, kernel_initializer=_fixed_initial_values)
    model = keras.Model(keras.tree.flatten(symbols), head(made))
    data = [
        ops.convert_to_tensor(array) for array in keras.tree.flatten([x, constants])
    ]
    model.compile(keras.optimizers.Adam(0.02), "mse")
    losses = []
    for _ in range(25):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(data, target)))
    first, last = losses[0], losses[-1]
    if not last < _FALL * first:
        raise ContractViolation(
            f"a loss below {_FALL:g} of the first, {first:.4g}, after {len(losses)} "
            "steps",
            f"{last:.4g}",
        )
    return f"loss from {first:.3g} to {last:.3g} in {len(losses)} steps"


def _fixed_initial_values(shape: Sequence[int], dtype: DType | None = None) -> Tensor:
    return ops.cast(np.random.default_rng(0).normal(size=shape) * 0.3, dtype)


def read_reference(reference: Any, subject: CellUnderTest) -> CellUnderTest:
    """Return a source of reference cells.

    Of a layer, or a layer's class, it is the cell; a class gets the width of the
    subject's first state for `units`.
    """
    options: dict[str, Any] = {
        "features": subject.features,
        "seed": subject.seed,
        "constants": subject.constants,
        "width": subject.width,
    }
    if isinstance(reference, type) and issubclass(reference, keras.layers.RNN):
        made = reference(subject.width)
        return CellUnderTest(type(made.cell), **options)
    if isinstance(reference, keras.layers.RNN):
        reference = reference.cell
    return CellUnderTest(reference, what="`reference`", **options)


def reference_weights(subject: CellUnderTest, reference: CellUnderTest) -> str:
    """Weights and fixed initial values are the reference's.

    Shapes must be equal, and initial values where no chance is: those entries of the
    reference's weights that are the same for two seeds. The forget gate's bias is one.
    """
    own, first, second = (
        _initial(source, seed)
        for source, seed in ((subject, 0), (reference, 0), (reference, 1))
    )
    _require_same_shapes(own, first)
    count = 0
    for k, (w, expected, other) in enumerate(zip(own, first, second, strict=True)):
        fixed = expected == other
        count += int(np.sum(fixed))
        pairs = [(f"initial weight {k}, fixed entries", w[fixed], expected[fixed])]
        require_close("as in the reference", pairs)
    return f"{shapes(own)}; {count} entries with fixed initial values"


def reference_outputs(subject: CellUnderTest, reference: CellUnderTest) -> str:
    """With equal weights, outputs and states are equal."""

    def compare(dtype: str) -> str:
        own, expected = _twins(subject, reference)
        x, seen = subject.inputs(), ""
        begin = run(subject, expected, subject.inputs(draw=1)).states
        for states in (None, begin):
            results = run(subject, own, x, states=states)
            pairs = results.pairs(run(subject, expected, x, states=states))
            seen = require_close("as of the reference", pairs, *_TOLERANCES[dtype])
        return seen

    return _in_finest_dtype(subject, compare)


def reference_gradients(subject: CellUnderTest, reference: CellUnderTest) -> str:
    """With equal weights, all gradients are equal."""

    def compare(dtype: str) -> str:
        own, expected = (
            _WeightedTotal(subject, cell=cell) for cell in _twins(subject, reference)
        )
        expected.weighting = own.weighting
        pairs = list(
            zip(
                (f"gradient of {name}" for name in own.names),
                automatic_gradients(own, expected.arrays),
                automatic_gradients(expected, expected.arrays),
                strict=True,
            )
        )
        seen = require_close("as of the reference", pairs, *_TOLERANCES[dtype])
        return f"{seen}, in {', '.join(own.names)}"

    return _in_finest_dtype(subject, compare)


def _initial(source: CellUnderTest, seed: int) -> list[np.ndarray]:
    with seeded(seed):
        cell = source.make()
        source.build(cell)
        return to_arrays(cell.weights)


def _twins(subject: CellUnderTest, reference: CellUnderTest) -> tuple[Any, Any]:
    """Return a cell and a reference cell with the reference's weights."""
    own, expected = subject.cell(), reference.cell()
    values = to_arrays(expected.weights)
    _require_same_shapes(to_arrays(own.weights), values)
    if subject.sizes != reference.sizes:
        raise ContractViolation(
            f"states of width {reference.sizes}", f"{subject.sizes}"
        )
    own.set_weights(values)
    return own, expected


def _require_same_shapes(own: list[np.ndarray], expected: list[np.ndarray]) -> None:
    if [w.shape for w in own] != [w.shape for w in expected]:
        raise ContractViolation(f"weights of shapes {shapes(expected)}", shapes(own))


class _WeightedTotal:
    """A random weighting of outputs and last states, as a pure function of tensors:

        L(inputs, initial states, trainable weights) = Σ w∘outputs + Σ v∘states

    over four steps, in the current precision. `arrays` are where to differentiate,
    `names` their names; weights begin at index `first_weight`. Without `begin`, the
    initial states are those to which two steps lead.
    """

    def __init__(
        self,
        subject: CellUnderTest,
        batch: int = 3,
        cell: Any = None,
        begin: Sequence[Any] | None = None,
    ):
        cell = subject.cell() if cell is None else cell
        self.layer = subject.layer(
            cell, return_sequences=True, return_state=True, unroll=True
        )
        self.variables = cell.trainable_variables
        dtype = cell.compute_dtype
        x = each(lambda array: array.astype(dtype), subject.inputs(batch, time=4))
        if begin is None:
            begin = run(subject, cell, subject.inputs(batch, 2, draw=1)).states
        after = run_layer(subject, self.layer, x, states=begin)
        self.seed = subject.seed
        rng = np.random.default_rng(self.seed)
        self.weighting = [
            ops.convert_to_tensor(rng.normal(size=result.shape), dtype)
            for result in (*after.outputs, *after.states)
        ]
        self.inputs, self.begin = x, list(begin)
        self.constants = subject.of_constants(batch)
        self.real = [k for k, state in enumerate(begin) if is_real(state)]
        flat = keras.tree.flatten(x)
        self.arrays = [*flat, *(begin[k] for k in self.real)]
        self.first_weight = len(self.arrays)
        self.arrays += to_arrays(self.variables)
        several = len(flat) > 1
        self.names = [f"inputs {k}" if several else "inputs" for k in range(len(flat))]
        self.names += [f"state {k}" for k in self.real]
        self.names += [variable.name for variable in self.variables]

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return L, a scalar tensor."""
        count = len(keras.tree.flatten(self.inputs))
        inputs = keras.tree.pack_sequence_as(self.inputs, tensors[:count])
        states = [*self.begin]
        for k, state in zip(self.real, tensors[count : self.first_weight], strict=True):
            states[k] = state
        values = tensors[self.first_weight :]
        mapping = list(zip(self.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            made = self.layer(
                inputs, initial_state=pack(self.layer.cell, states), **self.constants
            )
        return sum(
            ops.sum(ops.cast(result, weights.dtype) * weights)
            for result, weights in zip(
                keras.tree.flatten(made), self.weighting, strict=True
            )
        )

    def directions(self, count: int) -> Iterator[tuple[int, np.ndarray, str]]:
        """Yield random directions: of which array, of length one, and in words."""
        rng = np.random.default_rng(self.seed)
        for k, name in enumerate(self.names):
            for number in range(count):
                d = rng.normal(size=self.arrays[k].shape)
                yield (
                    k,
                    d / np.sqrt(d.size),
                    f"slope along direction {number} in {name}",
                )

    def slope(self, which: int, direction: np.ndarray, epsilon: float) -> np.float64:
        """Return the derivative of L along a direction, by central differences."""
        ends = [self.shifted(which, sign * epsilon * direction) for sign in (1, -1)]
        return np.float64((ends[0] - ends[1]) / (2 * epsilon))

    def shifted(self, which: int, shift: np.ndarray) -> float:
        """Return L with one of `arrays` shifted."""
        arrays = [*self.arrays]
        arrays[which] = (arrays[which] + shift).astype(arrays[which].dtype)
        value = self([ops.convert_to_tensor(a, dtype=a.dtype) for a in arrays])
        return float(ops.convert_to_numpy(value))
