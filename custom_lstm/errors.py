"""The errors that a person can do something about."""

import re

__all__ = ["DataError", "NotFinite", "UsageError", "UserError"]


class UserError(Exception):
    """A mistake or lack outside the code, said in a line that tells what to do.

    The command prints its text without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class NotFinite(UserError):
    """In a training, the loss or a weight became infinite or not a number.

    Args:
        step: the number of the step.
        what: is not finite.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(
            f"step {step}: {what}. The training ends here; a lower learning rate or "
            "clipped gradients may help"
        )


class UsageError(UserError):
    """An option, a value or a combination of options that is not possible."""

    exit_code = 2


class DataError(UserError):
    """Data that is missing or unusable; the message says what to do about it.

    Example:
        >>> raise DataError("length 0 is less than 1")
        Traceback (most recent call last):
        ...
        custom_lstm.errors.DataError: length 0 is less than 1
    """


def in_a_line(error: BaseException, most: int = 400) -> str:
    """Return what any exception says, its class before it, without line breaks.

    Args:
        error: of somebody else's code.
        most: characters of its message that are kept.

    Example:
        >>> in_a_line(ValueError("first line\\nsecond"))
        'ValueError: first line second'
        >>> in_a_line(AssertionError())
        'AssertionError'
    """
    said = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    return f"{type(error).__name__}: {said:.{most}}" if said else type(error).__name__
