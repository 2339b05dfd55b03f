"""The errors that a person can do something about."""


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
