"""The command: from the words typed to an exit code."""

import contextlib
import importlib
import operator
import os
import pkgutil
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from custom_lstm import program
from custom_lstm.config import COMPLETION, Options, nearest, print_completion
from custom_lstm.errors import UsageError, UserError
from custom_lstm.training.run_folder import RunFolder

TASKS: dict[str, type[Options]] = {
    options.task: options
    for options in map(
        pkgutil.resolve_name,
        (
            "custom_lstm.tasks.digits.options:Config",
            "custom_lstm.tasks.count_ones.options:Options",
            "custom_lstm.tasks.showers.options:Options",
            "custom_lstm.tasks.walk_through.options:Options",
            "custom_lstm.tasks.extrapolate.options:Options",
            "custom_lstm.tasks.compare_cells.options:Options",
            "custom_lstm.tasks.compare.options:Options",
            "custom_lstm.tasks.demo.options:Options",
            "custom_lstm.tasks.export.options:Options",
        ),
    )
}
"""The options of every subcommand by its name; the first one needs none."""
_OTHERS = {"doctor": "show versions, devices, data and kernels, for bug reports"}
"""Words that are no tasks, which `__main__` knows."""


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
        print(f"{program.name()}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, such as `head`, has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"{program.name()}: interrupted", file=sys.stderr)
        return 130


def _run(words, without_keras, tasks) -> int:
    default, *others = tasks.values()
    match words:
        case ["help", *_]:
            print(f"{program.name()} TASK --help shows the options of a task:")
            print(listing(tasks))
            return 0
        case [first, *_] if first == COMPLETION:
            print_completion(words, default, others)
            return 0
        case [name, *rest] if not name.startswith("-"):
            if name not in tasks:
                known = ", ".join(tasks)
                near = nearest(name, [*tasks, *_OTHERS, "help", "--version"])
                raise UsageError(f"unknown task {name}{near} (tasks are {known})")
            cls, words = tasks[name], rest
        case _:
            cls = default
    options = cls.parse(words, _more(tasks) if cls is default else "")
    if options.resume is not None:
        RunFolder.open(options.resume)
    _choose_onednn()
    module, name = cls.entry.split(":")
    with program.quiet() if cls.keras else without_keras():
        run = operator.attrgetter(name)(importlib.import_module(module))
    return run(options, tasks)


def listing(tasks: Mapping[str, type[Options]]) -> str:
    """Return the tasks and what they do, a line each."""
    called, width = program.name(), max(map(len, tasks))
    about = {name: task.summary for name, task in tasks.items()} | _OTHERS
    return "\n".join(f"   {called} {word:<{width}}  {about[word]}" for word in about)


def _more(tasks: Mapping[str, type[Options]]) -> str:
    return f""" All tasks, each with its own --help:
{listing(tasks)}
 Tab completion of {program.script()}, in bash:
   source <({program.command()} {COMPLETION} bash)"""


def _choose_onednn() -> None:
    """Turn oneDNN on, unless the environment decides; `benchmarks/LOG.md` tells why."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
