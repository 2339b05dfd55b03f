"""The command: from the words typed to an exit code."""

import contextlib
import importlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from custom_lstm.completion import FLAG, print_completion
from custom_lstm.errors import UsageError, UserError
from custom_lstm.options import nearest
from custom_lstm.tasks.comparing import options as comparing
from custom_lstm.tasks.count_ones import options as counting
from custom_lstm.tasks.showers import options as showers
from custom_lstm.tasks.walk_through import options as walk_through
from custom_lstm.training import command_line
from custom_lstm.training.runs import RunFolder


class Task(NamedTuple):
    """What the command can do.

    Args:
        parse: reads options from words, without Keras; their `resume` is a run
            folder or None.
        session: module that does the work and returns the exit code, by
            `start(options)`, or `go_on(options)` where `resume` is set.
        keras: whether that module needs Keras.
    """

    parse: Callable[[list[str]], Any]
    session: str
    keras: bool = True


_DIGITS = Task(command_line.parse, "custom_lstm.training.session")
TASKS: dict[str, Task] = {
    "count-ones": Task(counting.parse, "custom_lstm.tasks.count_ones.task"),
    "showers": Task(showers.parse, "custom_lstm.tasks.showers.task"),
    "walk-through": Task(walk_through.parse, "custom_lstm.tasks.walk_through.task"),
    "compare": Task(
        comparing.parse, "custom_lstm.tasks.comparing.session", keras=False
    ),
}
"""Tasks besides the main job, by the word that asks for them."""


def main(
    argv: list[str] | None = None,
    without_keras: Callable[[], AbstractContextManager] = contextlib.nullcontext,
) -> int:
    """Run what the command line asks: a task if its first word names one, or the main
    job.

    Mistakes that can be seen without Keras are answered before it is imported.

    Args:
        argv: the words after the program's name; by default `sys.argv[1:]`.
        without_keras: gives a context in which `custom_lstm`'s modules can be imported
            and Keras is not, for those that do without.

    Returns:
        The exit code: 0; 1 if something outside failed; 2 for a mistaken
        option; 130 after Ctrl-C.

    Example:

    >>> main(["--length", "0"])
    2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == [FLAG]:
            tasks = {name: task.parse([]) for name, task in TASKS.items()}
            print_completion(words, _DIGITS.parse([]), tasks, prog="train.py")
            return 0
        task = _task(words)
        options = task.parse(words)
        if options.resume is not None:
            RunFolder.open(options.resume)
        _choose_onednn()
        with _hushed() if task.keras else without_keras():
            session = importlib.import_module(task.session)
        return (session.start if options.resume is None else session.go_on)(options)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("train.py: interrupted", file=sys.stderr)
        return 130


def _task(words: list[str]) -> Task:
    """Take the task's name off the words and return the task."""
    if not words or words[0].startswith("-"):
        return _DIGITS
    name = words.pop(0)
    if name not in TASKS:
        raise UsageError(f"unknown task {name}{nearest(name, TASKS)}")
    return TASKS[name]


def _choose_onednn() -> None:
    """Let TensorFlow compute with oneDNN on every x86 CPU, unless the user decided.

    TensorFlow itself does so from AVX-512 VNNI on. On an AVX2 machine a training step
    of the main job takes 1.6 times as long without (`benchmarks/LOG.md`).
    """
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


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
