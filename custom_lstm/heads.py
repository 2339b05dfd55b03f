"""The heads of the digits' network; see `custom_lstm.tasks.digits.model`."""

from custom_lstm.tasks.digits.model import (
    HEADS,
    AbsoluteError,
    ExactMatch,
    Head,
    TotalsCrossentropy,
)

__all__ = ["HEADS", "AbsoluteError", "ExactMatch", "Head", "TotalsCrossentropy"]
