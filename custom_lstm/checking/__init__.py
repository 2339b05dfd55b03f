"""Proves cells against the contract: see `check_cell`."""

from custom_lstm.checking.report import CellCheckError, CellReport, Finding
from custom_lstm.checking.suite import CellCheck, cell_checks, check_cell

__all__ = [
    "CellCheck",
    "CellCheckError",
    "CellReport",
    "Finding",
    "cell_checks",
    "check_cell",
]
