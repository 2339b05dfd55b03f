"""Tab completion: a script for the shell that knows every task and option."""

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro

from custom_lstm.described import described
from custom_lstm.errors import UsageError

FLAG = "--tyro-print-completion"
_SHELLS = ("bash", "zsh", "fish")


def print_completion(
    words: Sequence[str], main: Any, tasks: Mapping[str, Any], prog: str
) -> None:
    """Print the completion script of a program with tasks.

    Args:
        words: `FLAG` and a shell's name.
        main: options where no task is named.
        tasks: options of each task, by its name.
        prog: the program's name.

    Raises:
        UsageError: no shell that is known is named.
    """
    if len(words) != 2 or words[1] not in _SHELLS:
        raise UsageError(f"{FLAG} needs one of {', '.join(_SHELLS)}, nothing else")
    names = [
        Annotated[type(described(options)), tyro.conf.subcommand(name)]
        for name, options in tasks.items()
    ]
    groups = vars(described(main)).items()
    everything = dataclasses.make_dataclass(
        "Everything",
        [
            *((name, type(group), group) for name, group in groups),
            ("task", functools.reduce(operator.or_, names)),
        ],
        kw_only=True,
    )
    try:
        tyro.cli(
            everything,
            args=list(words),
            prog=prog,
            description="",
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        )
    except SystemExit as stop:
        if stop.code:
            raise
