"""`check_cell`, and its checks one by one."""

import dataclasses
import difflib
import inspect
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from custom_lstm.checking import (
    arguments,
    learning,
    references,
    saving,
    sequences,
    shapes,
)
from custom_lstm.checking.backends import precision, seeded
from custom_lstm.checking.report import (
    FAILED,
    KNOWN,
    PASSED,
    Breach,
    CellCheckError,
    CellReport,
    Finding,
)
from custom_lstm.checking.subject import Subject

_MODULES = (arguments, shapes, sequences, learning, saving, references)
_FUNCTIONS: dict[str, Callable[..., str]] = {
    function.__name__: function for module in _MODULES for function in module.CHECKS
}
_LONGEST = 400
"""Characters of an error that are shown."""
_OF_REFERENCE = tuple(function.__name__ for function in references.CHECKS)


@dataclasses.dataclass(frozen=True)
class CellCheck:
    """One check: `check(MyCell)` passes, or raises `CellCheckError`.

    Args:
        name: see `cell_checks`.
        reference: see `check_cell`, as for the next two.
        features: width of the inputs.
        seed: of weights and data.
    """

    name: str
    reference: Any = None
    features: int | None = None
    seed: int = 0

    @property
    def clause(self) -> str:
        """What is checked, in one line."""
        return (inspect.getdoc(_FUNCTIONS[self.name]) or self.name).splitlines()[0]

    def __str__(self) -> str:
        """Its name, for `ids=str`."""
        return self.name

    def __call__(self, cell_or_class: Any) -> Finding:
        """Runs the check on a cell, a class, or a function that makes a cell."""
        subject = Subject(cell_or_class, self.features, self.seed)
        reference = _read(self.reference, subject)
        finding = self.examine(subject, reference)
        report = CellReport(_describe(subject), (finding,))
        if not report:
            raise CellCheckError(report) from finding.error
        return finding

    def examine(self, subject: Subject, reference: Subject | None) -> Finding:
        """What the check finds; whatever the cell raises is a finding."""
        sources = [subject, reference] if self.name in _OF_REFERENCE else [subject]
        try:
            with seeded(self.seed), precision("float32"):
                seen = _FUNCTIONS[self.name](*sources)
        except Breach as breach:
            return Finding(
                self.name, self.clause, FAILED, breach.seen, breach.expected, breach
            )
        except Exception as error:  # noqa: BLE001 - what a cell raises is the finding
            seen = _in_words(error)
            return Finding(self.name, self.clause, FAILED, seen, "no error", error)
        return Finding(self.name, self.clause, PASSED, seen)


def cell_checks(
    *,
    reference: Any = None,
    checks: Iterable[str] | None = None,
    features: int | None = None,
    seed: int = 0,
) -> list[CellCheck]:
    """The checks of `check_cell` one by one, for one test each:

        @pytest.mark.parametrize("check", cell_checks(), ids=str)
        def test_keeps_the_contract(check):
            check(MyCell(8))

    Args:
        reference: a cell or layer known to be right. Without one, the checks that
            compare with it are left out.
        checks: names of the checks, if not all are wanted.
        features: width of the inputs.
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
    return [CellCheck(name, reference, features, seed) for name in names]


def check_cell(
    cell_or_class: Any,
    *,
    reference: Any = None,
    checks: Iterable[str] | None = None,
    known_failures: Mapping[str, str] | None = None,
    features: int | None = None,
    seed: int = 0,
    verbose: bool = True,
) -> CellReport:
    """Proves that a recurrent cell keeps the contract of cells, or shows where not.

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
        features: width of the inputs. By default what a built cell was built for,
            or 3.
        seed: of weights and data.
        verbose: whether to print the report.

    Returns:
        The report. `print` shows it; `report["masks"]` is one check's finding.

    Raises:
        CellCheckError: an `AssertionError` that lists what failed, with the report as
            its attribute `report`.
        TypeError: if no cell comes from `cell_or_class`.
        ValueError: if there is no check of a name.

    Example:

    >>> report = check_cell(keras.layers.GRUCell(4), checks=["states", "output_size"])
    check_cell: GRUCell, 3 features, state_size=4, Keras ... on ...
    <BLANKLINE>
      passed  states               As many new states as `state_size` says, and as wide.
                                   (3, 4)
      passed  output_size          The output is as wide as `output_size` says.
                                   (3, 4)
    <BLANKLINE>
    2 checks: 2 passed, 0 failed. ... s.
    """
    start = time.perf_counter()
    known = dict(known_failures or {})
    _require_names(known, list(_FUNCTIONS))
    selected = cell_checks(
        reference=reference, checks=checks, features=features, seed=seed
    )
    subject = Subject(cell_or_class, features, seed)
    against = _read(reference, subject)
    findings = tuple(_excuse(c.examine(subject, against), known) for c in selected)
    report = CellReport(_describe(subject), findings, time.perf_counter() - start)
    if verbose:
        print(report)
    if not report:
        raise CellCheckError(report) from report.failures[0].error
    return report


def _read(reference: Any, subject: Subject) -> Subject | None:
    return None if reference is None else references.read_reference(reference, subject)


def _excuse(finding: Finding, known: Mapping[str, str]) -> Finding:
    """A failure that was said beforehand is known, and carries its reason."""
    if finding.verdict != FAILED or finding.name not in known:
        return finding
    seen = f"{finding.seen}\nKnown: {known[finding.name]}"
    return dataclasses.replace(finding, verdict=KNOWN, seen=seen)


def _describe(subject: Subject) -> str:
    sizes = subject.widths if len(subject.widths) > 1 else subject.widths[0]
    return (
        f"{subject.cell_class.__name__}, {subject.features} features, "
        f"state_size={sizes}, Keras {keras.__version__} on {keras.backend.backend()}"
    )


def _in_words(error: Exception) -> str:
    """What was going on, and an error's class and text without Keras's trimmings."""
    text = re.sub(r"\x1b\[\d*m|\{\{.*?\}\}", "", str(error))
    text = text.partition("Arguments received by")[0]
    text = " ".join(text.rpartition("Error encountered: ")[2].split())
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} …"
    notes = getattr(error, "__notes__", [])
    return ": ".join([*reversed(notes), type(error).__name__, text])


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
