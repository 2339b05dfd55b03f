"""`check_cell`, its checks one by one, and what they report."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from custom_lstm.checking import checks as contract
from custom_lstm.checking import numerics, saving
from custom_lstm.checking.harness import (
    CellUnderTest,
    ContractViolation,
    dtype_policy,
    in_words,
    seeded,
    without_frames,
)
from custom_lstm.checking.inputs import words

PASSED, FAILED, KNOWN, NOT_RUN = "passed", "FAILED", "known", "not run"

_WIDTH = 88
_NAMES = 19
_INDENT = " " * 10
_COMPARISONS: tuple[Callable[..., str], ...] = (
    numerics.reference_weights,
    numerics.reference_outputs,
    numerics.reference_gradients,
)
_CHECKS: tuple[Callable[..., str], ...] = (
    contract.config,
    contract.one_step,
    contract.initial_state,
    contract.states,
    contract.output_size,
    contract.batch_size,
    contract.state_order,
    contract.states_used,
    contract.repeatable,
    contract.batch_independence,
    contract.loops,
    contract.hoisted,
    contract.masks,
    contract.go_backwards,
    contract.stateful,
    contract.dynamic_shapes,
    numerics.weights_used,
    numerics.dropout,
    numerics.gradients,
    numerics.mixed_precision,
    numerics.training,
    saving.saving,
    *_COMPARISONS,
)
_OF_TWO_RUNS = (
    "repeatable",
    "batch_independence",
    "loops",
    "hoisted",
    "masks",
    "go_backwards",
    "stateful",
    "dynamic_shapes",
    "mixed_precision",
    "saving",
)
"""The checks that fail if a cell begins at random."""
_FUNCTIONS = {function.__name__: function for function in _CHECKS}
_FIRST = contract.one_step.__name__
"""The check without which no other makes sense."""
_OF_REFERENCE = tuple(function.__name__ for function in _COMPARISONS)


def cell_checks(
    *,
    reference: Any = None,
    checks: Iterable[str] | None = None,
    features: Any = None,
    constants: Any = None,
    seed: int = 0,
) -> list[CellCheck]:
    """Return the checks of `check_cell` one by one, for one test each:

        @pytest.mark.parametrize("check", cell_checks(), ids=str)
        def test_keeps_the_contract(check):
            check(MyCell(8))

    Args:
        reference: a cell or layer known to be right. Without one, the checks that
            compare with it are left out.
        checks: names of the checks, if not all are wanted.
        features, constants: see `check_cell`.
        seed: of weights and data.

    Returns:
        Functions of a cell, its class, or a function that makes one. Each has a
        `name` and a `clause`.

    Raises:
        ValueError: if there is no check of a name.

    Example:
        >>> for check in cell_checks(checks=["states", "masks"]):
        ...     print(f"{check.name}: {check.clause}")
        states: As many new states as `state_size` says, and as wide.
        masks: A masked step leaves the states as they are.
    """
    names = [n for n in _FUNCTIONS if reference is not None or n not in _OF_REFERENCE]
    if checks is not None:
        if not isinstance(checks, Iterable):
            raise ValueError(
                f"check_cell: `checks` must be names of checks. Received: {checks!r}"
            )
        wanted = [checks] if isinstance(checks, str) else list(checks)
        _require_names(wanted, names)
        names = [name for name in names if name in wanted]
    return [CellCheck(name, reference, features, seed, constants) for name in names]


def check_cell(
    cell_or_class: Any,
    *,
    reference: Any = None,
    checks: Iterable[str] | None = None,
    known_failures: Mapping[str, str] | None = None,
    features: Any = None,
    constants: Any = None,
    seed: int = 0,
    verbose: bool = True,
) -> CellReport:
    """Prove that a recurrent cell keeps the contract of cells, or show where not.

    One check for each clause, from the shapes of states to a model that is saved and
    loaded in a fresh process; `cell_checks` lists them. The cell may be any that runs
    in `keras.layers.RNN`, on any backend. All checks work on copies of it.

    Args:
        cell_or_class: a cell; or its class, made with a width if that is the one
            argument it needs; or a function without arguments that makes a new cell.
            A cell that is built is checked with the weights it has.
        reference: a Keras cell, or layer around one, or its class, known to be right:
            with equal weights, outputs, states and gradients must be equal, and so
            must initial values that are not left to chance.
        checks: names of the checks to run. By default all.
        known_failures: names of checks that may fail, with the reason: the gradients
            of a straight-through estimator, for one.
        features: width of the inputs, or the shape of one step, such as (8, 8, 3), or
            a list, tuple or dict of these. By default what a built cell was built for,
            or 3.
        constants: the shapes of constants, for a cell that takes them: of one sequence
            each, in the same forms.
        seed: of weights and data.
        verbose: whether to print the report.

    Returns:
        The report. `print` shows it; `report["masks"]` is one check's result.

    Raises:
        CellCheckError: an `AssertionError` that lists what failed, with the report as
            its attribute `report`.
        TypeError: if no cell comes from `cell_or_class`.
        ValueError: if there is no check of a name.

    Example:
        >>> report = check_cell(keras.layers.GRUCell(4), checks=["one_step", "states"])
        check_cell: GRUCell, 3 features, state_size=4, Keras ... on ...
        <BLANKLINE>
          passed  one_step             A step returns a pair: an output, and the new ...
                                       output (3, 4), states (3, 4)
          passed  states               As many new states as `state_size` says, and ...
                                       (3, 4)
        <BLANKLINE>
        2 checks: 2 passed, 0 failed. ... s.
    """
    start = time.perf_counter()
    known = dict(known_failures or {})
    _require_names(known, list(_FUNCTIONS))
    selected = cell_checks(
        reference=reference,
        checks=checks,
        features=features,
        constants=constants,
        seed=seed,
    )
    subject = CellUnderTest(cell_or_class, features, seed, constants=constants)
    against = _read(reference, subject)
    results = tuple(_examine(selected, subject, against, known))
    report = CellReport(_describe(subject), results, time.perf_counter() - start)
    if verbose:
        print(report)
    if not report:
        raise CellCheckError(report) from report.failures[0].error
    return report


@dataclasses.dataclass(frozen=True)
class CellCheck:
    """One check: `check(MyCell)` passes, or raises `CellCheckError`.

    Args:
        name: see `cell_checks`.
        reference: see `check_cell`, as for the next two.
        features: width of the inputs.
        seed: of weights and data.
        constants: see `check_cell`.
    """

    name: str
    reference: Any = None
    features: int | None = None
    seed: int = 0
    constants: Any = None

    @property
    def clause(self) -> str:
        """What is checked, in one line."""
        return self.description.splitlines()[0]

    @property
    def description(self) -> str:
        """What is checked, in full."""
        return inspect.getdoc(_FUNCTIONS[self.name]) or self.name

    def __str__(self) -> str:
        """Return its name, for `ids=str`."""
        return self.name

    def __call__(self, cell_or_class: Any) -> CheckResult:
        """Run the check on a cell, a class, or a function that makes a cell."""
        subject = CellUnderTest(
            cell_or_class, self.features, self.seed, constants=self.constants
        )
        reference = _read(self.reference, subject)
        result = self.examine(subject, reference)
        report = CellReport(_describe(subject), (result,))
        if not report:
            raise CellCheckError(report) from result.error
        return result

    def examine(
        self, subject: CellUnderTest, reference: CellUnderTest | None
    ) -> CheckResult:
        """Return what the check finds; whatever the cell raises is a failure."""
        with seeded(self.seed), dtype_policy("float32"):
            return self._found(subject, reference)

    def _found(
        self, subject: CellUnderTest, reference: CellUnderTest | None
    ) -> CheckResult:
        sources = [subject, reference] if self.name in _OF_REFERENCE else [subject]
        about = self.name, self.clause
        try:
            seen = _FUNCTIONS[self.name](*sources)
        except ContractViolation as error:
            if self.name in _OF_TWO_RUNS and subject.starts_at_random:
                error = ContractViolation(error.expected, contract.RANDOM_START)
            return CheckResult(*about, FAILED, error.seen, error.expected, error)
        except Exception as error:  # noqa: BLE001 - what a cell raises is the result
            return CheckResult(*about, FAILED, in_words(error), "no error", error)
        return CheckResult(*about, PASSED, seen)


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Args:
        name: of the check.
        clause: what it checks, in one line.
        verdict: `"passed"`, `"FAILED"`, `"known"`: failed, as announced, or
            `"not run"`, as no step can be made.
        seen: what was seen, with numbers and shapes.
        expected: what was expected, if that failed.
        error: what was raised.
    """

    name: str
    clause: str
    verdict: str
    seen: str
    expected: str = ""
    error: Exception | None = dataclasses.field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Return two or three lines."""
        head = f"  {self.verdict:6}  {self.name:{_NAMES}}  {self.clause}"
        if self.verdict == PASSED:
            return "\n".join([head, *_paragraph("", self.seen)])
        expected = _paragraph("expected: ", self.expected)
        return "\n".join([head, *expected, *_paragraph("seen:     ", self.seen)])


@dataclasses.dataclass(frozen=True)
class CellReport:
    """What `check_cell` found. It prints as a table; true if nothing failed.

    Args:
        subject: the cell, in words.
        results: one for each check, in the order in which they ran.
        seconds: how long they took together.

    Example:
        >>> good = CheckResult("states", "States keep their shapes.", PASSED, "(3, 4)")
        >>> bad = CheckResult("masks", "Masks hold the state.", FAILED, "0.3", "0.0")
        >>> print(CellReport("MyCell", (good, bad)))
        check_cell: MyCell
        <BLANKLINE>
          passed  states               States keep their shapes.
                                       (3, 4)
          FAILED  masks                Masks hold the state.
                  expected: 0.0
                  seen:     0.3
        <BLANKLINE>
        2 checks: 1 passed, 1 failed (masks).
    """

    subject: str
    results: tuple[CheckResult, ...]
    seconds: float | None = None

    @property
    def findings(self) -> tuple[CheckResult, ...]:
        """`results`, by its former name."""
        return self.results

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The results of checks that failed, known failures left out."""
        return tuple(result for result in self.results if result.verdict == FAILED)

    def __bool__(self) -> bool:
        """Return whether nothing failed."""
        return not self.failures

    def __getitem__(self, name: str) -> CheckResult:
        """Return the result of the check of this name."""
        return {result.name: result for result in self.results}[name]

    def __str__(self) -> str:
        """Return the whole report."""
        rows = "\n".join(map(str, _without_repeats(self.results)))
        return f"check_cell: {self.subject}\n\n{rows}\n\n{self.summary()}"

    def __repr__(self) -> str:
        """Return one line, as a notebook shows it below the printed report."""
        return f"<CellReport of {self.subject}. {self.summary()}>"

    def summary(self) -> str:
        """Return how many checks passed and which failed, in one line."""
        verdicts = [result.verdict for result in self.results]
        names = textwrap.shorten(
            ", ".join(result.name for result in self.failures),
            width=_WIDTH // 2,
            placeholder=" …",
        )
        parts = [
            f"{verdicts.count(PASSED)} passed",
            f"{verdicts.count(KNOWN)} failed as known" * (KNOWN in verdicts),
            f"{len(self.failures)} failed" + f" ({names})" * bool(names),
            f"{verdicts.count(NOT_RUN)} not run" * (NOT_RUN in verdicts),
        ]
        took = "" if self.seconds is None else f" {self.seconds:.1f} s."
        total = f"{len(verdicts)} check{'s' * (len(verdicts) != 1)}"
        return f"{total}: {', '.join(filter(None, parts))}.{took}"


class CellCheckError(AssertionError):
    """A cell breaks the contract.

    Args:
        report: what was found; kept as the attribute `report`.
    """

    def __init__(self, report: CellReport):
        self.report = report
        rows = "\n".join(map(str, _without_repeats(report.failures)))
        super().__init__(f"{report.subject}: {report.summary()}\n\n{rows}")


def _read(reference: Any, subject: CellUnderTest) -> CellUnderTest | None:
    return None if reference is None else numerics.read_reference(reference, subject)


def _examine(
    selected: Sequence[CellCheck],
    subject: CellUnderTest,
    against: CellUnderTest | None,
    known: Mapping[str, str],
) -> Iterator[CheckResult]:
    """Run checks one after the other, until a step as such fails."""
    usable = True
    for check in selected:
        if usable:
            result = _excuse(check.examine(subject, against), known)
            usable = check.name != _FIRST or result.verdict != FAILED
            yield result
        else:
            yield CheckResult(check.name, check.clause, NOT_RUN, f"`{_FIRST}` failed")


def _excuse(result: CheckResult, known: Mapping[str, str]) -> CheckResult:
    """Mark a failure that was announced as known, and add its reason."""
    if result.verdict != FAILED or result.name not in known:
        return result
    seen = f"{result.seen}\nKnown: {known[result.name]}"
    return dataclasses.replace(result, verdict=KNOWN, seen=seen)


def _describe(subject: CellUnderTest) -> str:
    sizes = subject.sizes if len(subject.sizes) > 1 else subject.sizes[0]
    return (
        f"{subject.cell_class.__name__}, {words(subject.features)}, "
        f"state_size={sizes}, Keras {keras.__version__} on {keras.backend.backend()}"
    )


def _require_names(wanted: Iterable[str], names: list[str]) -> None:
    for name in wanted:
        if name in names:
            continue
        if name in _OF_REFERENCE:
            raise ValueError(f"check_cell: {name!r} needs a `reference`.")
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"check_cell: there is no check {name!r}. {hint}There are: "
            f"{', '.join(names)}"
        )


def _paragraph(label: str, text: str) -> Iterator[str]:
    indent = _INDENT if label else _INDENT + " " * (_NAMES + 2)
    for number, line in enumerate(text.splitlines()):
        lead = label if number == 0 else " " * len(label)
        yield textwrap.fill(
            line,
            _WIDTH,
            initial_indent=indent + lead,
            subsequent_indent=indent + " " * len(label),
            break_long_words=False,
        )


def _without_repeats(results: tuple[CheckResult, ...]) -> Iterator[CheckResult]:
    """Say a thing once: a failure seen before is referred to by its check's name.

    Checks that were not run are left to the summary.
    """
    first: dict[str, str] = {}
    for result in results:
        if result.verdict == NOT_RUN:
            continue
        cause = _cause(result)
        if result.verdict == PASSED or cause not in first:
            yield result
        else:
            same = f"the same as in `{first[cause]}`"
            yield dataclasses.replace(result, seen=same, expected="")
        if result.verdict != PASSED:
            first.setdefault(cause, result.name)


def _cause(result: CheckResult) -> str:
    """Return what a failure is known by: without numbers of instances, or notes."""
    error = result.error
    while isinstance(error, ContractViolation) and error.__cause__ is not None:
        error = error.__cause__  # type: ignore[assignment]
    if error is None:
        return result.seen
    if isinstance(error, ContractViolation):
        text = without_frames(error.seen)
    else:
        text = f"{type(error).__name__}: {without_frames(str(error))}"
    return re.sub(r"(?<=[A-Za-z])_\d+\b", "", text)
