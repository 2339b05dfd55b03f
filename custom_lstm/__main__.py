"""The command `custom-lstm`, which is also `python -m custom_lstm` and `train.py`."""

import contextlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from custom_lstm import program
from custom_lstm.extras import MissingExtra, extra
from custom_lstm.version import __version__


def main(
    argv: list[str] | None = None,
    without_keras: Callable[[], AbstractContextManager] = contextlib.nullcontext,
) -> int:
    """Run the command; `--version` and `doctor` need none of its extras.

    Args:
        argv: the words after the program's name; by default `sys.argv[1:]`.
        without_keras: gives a context in which `custom_lstm`'s modules can be imported
            and Keras is not; see `custom_lstm.cli.main`.

    Returns:
        The exit code, as of `custom_lstm.cli.main`.

    Example:
        >>> main(["--version"])
        custom_lstm ...
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        print(f"custom_lstm {__version__}")
        return 0
    try:
        with extra("train"):
            if words[:1] == ["doctor"]:
                with without_keras():
                    from custom_lstm import doctor
                return doctor.main(words[1:])
            with without_keras():
                from custom_lstm.cli import main as run
            return run(words, without_keras)
    except MissingExtra as error:
        print(f"{program.name()}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
