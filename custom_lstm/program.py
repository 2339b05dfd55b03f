"""The program as a whole: how it was called, and what it prints at its start."""

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import PurePath

SCRIPT = "custom-lstm"
"""The command that an installation brings."""
_MODULE = "python -m custom_lstm"
_CHECKOUT = "train.py"


def command() -> str:
    """Return the command as it was typed, for hints that can be pasted into a shell.

    Returns:
        `python train.py`, with the path that was typed, `python -m custom_lstm`, or
        else, also where this is no program at all but a notebook, `custom-lstm`.

    Example:
        >>> command()
        'custom-lstm'
    """
    if _is_checkout():
        return f"python {shlex.quote(sys.argv[0])}"
    module = PurePath(sys.argv[0]).parts[-2:] == ("custom_lstm", "__main__.py")
    return _MODULE if module else SCRIPT


def name() -> str:
    """Return what the program calls itself in usage lines and before errors.

    Example:
        >>> name()
        'custom-lstm'
    """
    return _CHECKOUT if _is_checkout() else command()


def script() -> str:
    """Return the name of the file that runs, as a shell completes it.

    Example:
        >>> script()
        'custom-lstm'
    """
    return _CHECKOUT if _is_checkout() else SCRIPT


def _is_checkout() -> bool:
    return PurePath(sys.argv[0]).name == _CHECKOUT


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide TensorFlow's messages during its import, also those of C++, unless it fails.

    TF_CPP_MIN_LOG_LEVEL in the environment shows them.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(shown, hidden.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
