"""The command: from the words typed to an exit code."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from custom_lstm.errors import UserError
from custom_lstm.training.command_line import parse
from custom_lstm.training.runs import RunFolder


def main(argv: list[str] | None = None) -> int:
    """Run the main job as the command line asks.

    Mistakes that can be seen without Keras are answered before it is imported.

    Args:
        argv: the words after the program's name; by default `sys.argv[1:]`.

    Returns:
        The exit code: 0; 1 if something outside failed; 2 for a mistaken
        option; 130 after Ctrl-C.

    Example:

    >>> main(["--length", "0"])
    2
    """
    try:
        config = parse(argv)
        if config.run.resume is not None:
            RunFolder.open(config.run.resume)
        with _hushed():
            from custom_lstm.training import session

        return (session.start if config.run.resume is None else session.go_on)(config)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("train.py: interrupted", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Hide what TensorFlow says while it is imported, unless that fails.

    Its C++ code writes to the file descriptor, past `sys.stderr`. Whoever sets
    TF_CPP_MIN_LOG_LEVEL wants to decide for themselves.
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
