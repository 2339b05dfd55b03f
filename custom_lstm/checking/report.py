"""What a check of a cell found, in words."""

import dataclasses
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

PASSED, FAILED, KNOWN = "passed", "FAILED", "known"

_WIDTH = 88
_NAMES = 19
_INDENT = " " * 10


class Breach(Exception):
    """A clause of the contract that a cell does not keep.

    Args:
        expected: what the clause asks for, with numbers and shapes.
        seen: what the cell did instead.
    """

    def __init__(self, expected: str, seen: str):
        super().__init__(f"expected {expected}; saw {seen}")
        self.expected = expected
        self.seen = seen


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        name: of the check.
        clause: what it checks, in one line.
        verdict: `"passed"`, `"FAILED"`, or `"known"`: failed, as was said beforehand.
        seen: what was seen, with numbers and shapes.
        expected: what was expected, if that failed.
        error: what was raised.
    """

    name: str
    clause: str
    verdict: str
    seen: str
    expected: str = ""
    error: Exception | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Two or three lines."""
        head = f"  {self.verdict:6}  {self.name:{_NAMES}}  {self.clause}"
        if self.verdict == PASSED:
            return "\n".join([head, *_paragraph("", self.seen)])
        expected = _paragraph("expected: ", self.expected)
        return "\n".join([head, *expected, *_paragraph("seen:     ", self.seen)])


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


@dataclass(frozen=True)
class CellReport:
    """What `check_cell` found. It prints as a table; true if nothing failed.

    Args:
        subject: the cell, in words.
        findings: one for each check, in the order in which they ran.
        seconds: how long they took together.

    Example:

    >>> good = Finding("states", "States keep their shapes.", PASSED, "(3, 4), (3, 4)")
    >>> bad = Finding("masks", "Masks hold the state.", FAILED, "0.3", "0.0")
    >>> print(CellReport("MyCell", (good, bad)))
    check_cell: MyCell
    <BLANKLINE>
      passed  states               States keep their shapes.
                                   (3, 4), (3, 4)
      FAILED  masks                Masks hold the state.
              expected: 0.0
              seen:     0.3
    <BLANKLINE>
    2 checks: 1 passed, 1 failed (masks).
    """

    subject: str
    findings: tuple[Finding, ...]
    seconds: float | None = None

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings of checks that failed, known failures left out."""
        return tuple(f for f in self.findings if f.verdict == FAILED)

    def __bool__(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def __getitem__(self, name: str) -> Finding:
        """The finding of the check of this name."""
        return {finding.name: finding for finding in self.findings}[name]

    def __str__(self) -> str:
        """The whole report."""
        rows = "\n".join(map(str, _without_repeats(self.findings)))
        return f"check_cell: {self.subject}\n\n{rows}\n\n{self.summary()}"

    def __repr__(self) -> str:
        """One line, as a notebook shows it below the printed report."""
        return f"<CellReport of {self.subject}. {self.summary()}>"

    def summary(self) -> str:
        """How many checks passed and which failed, in one line."""
        verdicts = [finding.verdict for finding in self.findings]
        names = textwrap.shorten(
            ", ".join(finding.name for finding in self.failures),
            width=_WIDTH // 2,
            placeholder=" …",
        )
        parts = [
            f"{verdicts.count(PASSED)} passed",
            f"{verdicts.count(KNOWN)} failed as known" * (KNOWN in verdicts),
            f"{len(self.failures)} failed" + f" ({names})" * bool(names),
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


def _without_repeats(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Says a thing once: a failure seen before is referred to by its check's name."""
    first: dict[str, str] = {}
    for finding in findings:
        if finding.verdict == PASSED or finding.seen not in first:
            yield finding
        else:
            same = f"the same as in `{first[finding.seen]}`"
            yield dataclasses.replace(finding, seen=same, expected="")
        if finding.verdict != PASSED:
            first.setdefault(finding.seen, finding.name)
