"""The command: from the words typed to an exit code."""

import contextlib
import importlib
import operator
import os
import pkgutil
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from custom_lstm.config import COMPLETION, Options, nearest, print_completion
from custom_lstm.errors import UsageError, UserError
from custom_lstm.training.run_folder import RunFolder
from custom_lstm.version import __version__

TASKS: dict[str, type[Options]] = {
    options.task: options
    for options in map(
        pkgutil.resolve_name,
        (
            "custom_lstm.tasks.digits.options:Config",
            "custom_lstm.tasks.count_ones.options:Options",
            "custom_lstm.tasks.showers.options:Options",
            "custom_lstm.tasks.walk_through.options:Options",
            "custom_lstm.tasks.compare_cells.options:Options",
            "custom_lstm.tasks.compare.options:Options",
            "custom_lstm.tasks.export.options:Options",
        ),
    )
}
"""The options of every subcommand by its name; the first one needs none."""


def main(
    argv: list[str] | None = None,
    without_keras: Callable[[], AbstractContextManager] = contextlib.nullcontext,
    tasks: Mapping[str, type[Options]] = TASKS,
) -> int:
    """Run the task that the first word names, or else the first of all tasks.

    Mistakes that can be seen without Keras are answered before it is imported.

    Args:
        argv: the words after the program's name; by default `sys.argv[1:]`.
        without_keras: gives a context in which `custom_lstm`'s modules can be imported
            and Keras is not, for those that do without.
        tasks: options of every subcommand by its name.

    Returns:
        The exit code: 0; 1 if something outside failed; 2 for a mistaken option; 130
        after Ctrl-C; 143 after SIGTERM.

    Example:
        >>> main(["--length", "0"])
        2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words, without_keras, tasks)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, such as `head`, has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("train.py: interrupted", file=sys.stderr)
        return 130


def _run(words, without_keras, tasks) -> int:
    default, *others = tasks.values()
    match words:
        case ["--version", *_]:
            print(f"custom_lstm {__version__}")
            return 0
        case ["help", *_]:
            print(
                f"train.py TASK --help shows the options of a task:\n{listing(tasks)}"
            )
            return 0
        case [first, *_] if first == COMPLETION:
            print_completion(words, default, others)
            return 0
        case [name, *rest] if not name.startswith("-"):
            if name not in tasks:
                known = ", ".join(tasks)
                near = nearest(name, [*tasks, "help", "--version"])
                raise UsageError(f"unknown task {name}{near} (tasks are {known})")
            cls, words = tasks[name], rest
        case _:
            cls = default
    options = cls.parse(words, _more(tasks) if cls is default else "")
    if options.resume is not None:
        RunFolder.open(options.resume)
    _choose_onednn()
    module, name = cls.entry.split(":")
    with _quiet() if cls.keras else without_keras():
        run = operator.attrgetter(name)(importlib.import_module(module))
    return run(options, tasks)


def listing(tasks: Mapping[str, type[Options]]) -> str:
    """Return the tasks and what they do, a line each."""
    width = max(map(len, tasks))
    lines = (f"   train.py {name:<{width}}  {tasks[name].summary}" for name in tasks)
    return "\n".join(lines)


def _more(tasks: Mapping[str, type[Options]]) -> str:
    return f""" All tasks, each with its own --help:
{listing(tasks)}
 Tab completion, in bash and for ./train.py:
   source <(python train.py {COMPLETION} bash)"""


def _choose_onednn() -> None:
    """Turn oneDNN on, unless the environment decides; `benchmarks/LOG.md` tells why."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
