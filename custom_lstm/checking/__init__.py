"""Proof that cells keep the contract of recurrent cells: see `check_cell`."""

from custom_lstm.checking.suite import (
    CellCheck,
    CellCheckError,
    CellReport,
    CheckResult,
    cell_checks,
    check_cell,
)

Finding = CheckResult
"""The former name of `CheckResult`."""

__all__ = [
    "CellCheck",
    "CellCheckError",
    "CellReport",
    "CheckResult",
    "Finding",
    "cell_checks",
    "check_cell",
]
