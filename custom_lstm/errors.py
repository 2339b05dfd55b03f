"""The errors that a person can do something about."""


class UserError(Exception):
    """A mistake or lack outside the code, said in a line that tells what to do.

    `train.py` prints its text without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError):
    """An option, or a combination of options, that cannot be meant."""

    exit_code = 2
