"""Cells of a user's own, imported from the files or modules that an option names.

What a run's config.json names is never imported: a run folder may come from a stranger.
"""

import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import keras

from custom_lstm import cells
from custom_lstm.errors import UsageError, UserError, in_a_line

OPTION = "--own-cells"


def import_cells(modules: Sequence[str]) -> list[str]:
    """Import cells, and register those that are not.

    Args:
        modules: paths of Python files, or names of modules, which are looked for in the
            working folder, too.

    Returns:
        A name for each of their cells that `custom_lstm.cells.get` takes: the short
        one, or the registered one if the short one is another cell's.

    Raises:
        UsageError: there is no such file, or its name is that of another module.
        UserError: a module cannot be imported, says where and why; or has no cell.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "doctest_cells.py"
        >>> _ = path.write_text('''
        ... from custom_lstm import AbstractRNNCell
        ... class KeepingCell(AbstractRNNCell):
        ...     def __init__(self, units, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.state_size = units
        ... ''')
        >>> import_cells([str(path)])
        ['keeping']
        >>> cells.get("keeping").__name__
        'KeepingCell'
    """
    found: dict[type, None] = {}
    for name in modules:
        module = _imported(name)
        own = list(_cells_of(module))
        if not own:
            raise UserError(
                f"{OPTION} {name} holds no cell: no class that derives from "
                "custom_lstm.AbstractRNNCell"
            )
        for cell in own:
            if keras.saving.get_registered_name(cell) == cell.__name__:
                package = re.sub(r"\W", "_", module.__name__)
                keras.saving.register_keras_serializable(package)(cell)
        found |= dict.fromkeys(own)
    return [_name(cell) for cell in found]


def _cells_of(module: ModuleType) -> Iterator[type[cells.AbstractRNNCell]]:
    """Yield the cells that a module makes or imports, but for this package's."""
    for thing in vars(module).values():
        if (
            isinstance(thing, type)
            and issubclass(thing, cells.AbstractRNNCell)
            and not inspect.isabstract(thing)
            and not thing.__module__.startswith("custom_lstm.")
        ):
            yield thing


def _name(cell: type[cells.AbstractRNNCell]) -> str:
    short = cells.short_name(cell)
    with contextlib.suppress(cells.AmbiguousName):
        if cells.get(short) is cell:
            return short
    return keras.saving.get_registered_name(cell)


def _imported(name: str) -> ModuleType:
    """Return a module; what its code raises becomes one line."""
    path = Path(name).resolve()
    of_file = name.endswith(".py")
    if of_file and not path.is_file():
        raise UsageError(f"{OPTION} {name}: there is no such file")
    try:
        return _from_file(path) if of_file else _by_name(name)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's file raises
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if of_file and frame.filename == str(path)
        ]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = f"line {lines[-1]}: " if lines else ""
        raise UserError(
            f"{OPTION} {name} cannot be imported: {where}{in_a_line(error)}"
        ) from error


def _by_name(name: str) -> ModuleType:
    _look_in(Path.cwd())
    return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    """Import a file as a module of its name; it may import those beside it."""
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None or name in sys.stdlib_module_names:
        raise UsageError(
            f"{OPTION} {path.name}: another module is called {name}; rename the file"
        )
    _look_in(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as classes look for their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _look_in(folder: Path) -> None:
    """Let modules of a folder be imported, those with an installed one's name aside."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
