"""The pages that are made of the package itself, so that none can go stale.

`pages()` makes the reference of every public name, the catalogue of cells, the
command line's options and the checks of `check_cell`; `notebooks()` the tutorials.
"""

import importlib
import inspect
import json
import re
import tomllib
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docstrings
import keras
import tyro
from diagrams import NOTES, diagram

import custom_lstm
from custom_lstm import cells, layers
from custom_lstm.cli import TASKS
from custom_lstm.config import groups, spelled

ROOT = Path(__file__).parents[1]
MODULES = (
    "custom_lstm",
    "custom_lstm.layers",
    "custom_lstm.cells",
    "custom_lstm.cells.lstm",
    "custom_lstm.checking",
    "custom_lstm.convert",
    "custom_lstm.exporting",
    "custom_lstm.plots",
    "custom_lstm.data",
    "custom_lstm.models",
    "custom_lstm.heads",
    "custom_lstm.loading",
    "custom_lstm.files",
    "custom_lstm.errors",
    "custom_lstm.numpy_reference",
    "custom_lstm.tasks.showers.simulation",
)
"""The modules whose `__all__` is public. A name is documented in the first of them."""
FAMILIES = {
    "The base": ("lstm", "gru", "simple_rnn", "convolutional"),
    "Kin of the LSTM": ("lstm_variants", "lstm_kin", "xlstm"),
    "Kin of the GRU": ("gru_kin",),
    "Minimal": ("minimal",),
    "Layer normalisation": ("layer_norm",),
    "Continuous time, orthogonal": ("continuous", "timed"),
    "All steps at once": ("parallel",),
    "Mass and memory": ("memory", "attentive"),
}
"""Modules of `custom_lstm.cells` by family."""


def pages() -> dict[str, str]:
    """Return the text of each page by its name, without the suffix."""
    made = {f"api/{name}": page for name, page in _api()}
    made |= {f"cells/{_slug(title)}": page for title, page in _families()}
    made["cells/index"] = _catalogue()
    made["cli"] = _command_line()
    made["checks"] = _checks()
    return made


def public() -> dict[str, Any]:
    """Return every public object by the full name that it is documented under."""
    named: dict[str, Any] = {}
    seen: set[int] = set()
    for module in MODULES:
        home = importlib.import_module(module)
        more = ["AmbiguousName", "get", "names"] if home is cells else []
        for name in [*home.__all__, *more]:
            thing = getattr(home, name)
            if id(thing) not in seen or not callable(thing):
                named[f"{module}.{name}"] = thing
            seen.add(id(thing))
    return named


def linker(names: dict[str, Any]) -> Callable[[str], str]:
    """Return a function that makes a role of a code span that is a public name."""
    by_short = {name.rpartition(".")[2]: name for name in reversed(names)}

    def link(code: str) -> str:
        short = code.removesuffix("()")
        full = short if short in names else by_short.get(short)
        kept = code.startswith("`") or full is None or not code[0].isalpha()
        return f"`{code}`" if kept else f"{{py:obj}}`{code} <{full}>`"

    return link


def cell_classes() -> list[type]:
    """Return every cell of the catalogue, in the order of the families."""
    found = [getattr(cells, name) for name in cells.__all__]
    classes = [
        item
        for item in found
        if inspect.isclass(item)
        and issubclass(item, cells.AbstractRNNCell)
        and item is not cells.AbstractRNNCell
    ]
    order = [module for modules in FAMILIES.values() for module in modules]
    return sorted(classes, key=lambda cell: order.index(_module(cell)))


def layer_of(cell: type) -> type | None:
    """Return the layer made for a cell, if it has one."""
    return getattr(layers, cell.__name__.removesuffix("Cell"), None)


def _module(cell: type) -> str:
    return cell.__module__.rpartition(".")[2]


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _api() -> Iterator[tuple[str, str]]:
    names = public()
    link = linker(names)
    catalogue = [f"custom_lstm.{cell.__name__}" for cell in cell_classes()]
    for module in MODULES:
        own = {n: t for n, t in names.items() if n.rpartition(".")[0] == module}
        entries = [
            docstrings.entry(name, thing, link, members=True)
            for name, thing in own.items()
            if name not in [*catalogue, "custom_lstm.__version__"]
        ]
        text = inspect.getdoc(importlib.import_module(module)) or ""
        cells_elsewhere = "The cells are in the [catalogue](../cells/index.md)."
        head = [f"# `{module}`", docstrings.prose(text, link)]
        head += [cells_elsewhere] * (module in ("custom_lstm", "custom_lstm.cells"))
        yield module, "\n\n".join([*head, *entries]) + "\n"


def _families() -> Iterator[tuple[str, str]]:
    link = linker(public())
    for title, modules in FAMILIES.items():
        mine = [cell for cell in cell_classes() if _module(cell) in modules]
        sections = [_cell(cell, link) for cell in mine]
        yield title, "\n\n".join([f"# {title}", *sections]) + "\n"


def _cell(cell: type, link: Callable[[str], str]) -> str:
    name = cell.__name__
    layer = layer_of(cell)
    drawn = "\n\n".join([diagram(cell), *filter(None, [NOTES.get(cell)])])
    other = f"Layer: {link(layer.__name__)}." if layer else ""
    entry = docstrings.entry(f"custom_lstm.{name}", cell, link, members=False)
    return "\n\n".join(filter(None, [f"## {name}", drawn, other, entry, _step(cell)]))


def _step(cell: type) -> str:
    """Return the equations that a cell's docstring leaves to its step function."""
    found = re.search(r"; see `(\w+_step)`", inspect.getdoc(cell) or "")
    if found is None:
        return ""
    step = getattr(importlib.import_module(cell.__module__), found[1])
    about = (inspect.getdoc(step) or "").partition("\nArgs:")[0]
    return docstrings.prose(f"`{found[1]}`: {about}", linker(public()))


def _catalogue() -> str:
    link = linker(public())
    rows = []
    for title, modules in FAMILIES.items():
        head = "| cell | what it is | states | layer |"
        rows += ["", f"## {title}", "", head, "|---" * 4 + "|"]
        for cell in cell_classes():
            if _module(cell) in modules:
                layer = layer_of(cell)
                about = (inspect.getdoc(cell) or "").partition("\n")[0]
                about = re.sub(r"^One time step of |, with.*$|:$|\.$", "", about)
                states = _states(cell)
                about = docstrings.prose(re.sub(r",? (states )?`\[.*", "", about), link)
                shown = link(layer.__name__) if layer else "`RNN` around it"
                rows.append(f"| {link(cell.__name__)} | {about} | {states} | {shown} |")
    files = "\n".join(_slug(title) for title in FAMILIES)
    toctree = f"```{{toctree}}\n:hidden:\n\n{files}\n```"
    intro = (
        f"{len(cell_classes())} cells, each with its equations, its paper and an "
        "example. [Which cell for what](../../reference/which-cell.md) helps to "
        "choose, and [how they were checked](../../explanation/catalogue.md) says "
        "what each was compared with."
    )
    return "\n".join(["# The catalogue of cells", "", intro, "", toctree, *rows]) + "\n"


def _states(cell: type) -> str:
    """Return the states that a cell's docstring names first."""
    found = re.search(r"`(\[[\w, ]+\])`", inspect.getdoc(cell) or "")
    return f"`{found[1]}`" if found else ""


def _command_line() -> str:
    parts = [
        "# The command line",
        "`python train.py TASK` runs a task; without a name it runs `digits`. A "
        "mistaken option is answered with the nearest valid word. `--help` shows what "
        "is here, and [checkpoints and resuming](../how-to/resume.md) has the exit "
        "codes.",
    ]
    for name, options in TASKS.items():
        parts += [f"## `{name}`", options.summary, *_presets(options)]
        rows = ["| option | default | meaning |", "|---|---|---|"]
        for group, about, entries in groups(options):
            rows += [f"| **{group}** | | {_cell_text(about)} |"] * bool(group)
            rows += [_option(options, *entry) for entry in entries]
        parts.append("\n".join(rows))
    return "\n\n".join(filter(None, parts)) + "\n"


def _presets(options: Any) -> Iterator[str]:
    for preset, changes in options.presets.items():
        changed = {name: value for name, value in changes.items() if name != "preset"}
        given = " ".join(f"{spelled(n)} {_words(v)}" for n, v in changed.items())
        if given:
            yield f"`--preset {preset}` means `{given}`, unless told otherwise."


def _option(options: type, name: str, value: Any, about: str) -> str:
    shown = "" if value in (None, "", ()) else f"`{_words(value)}`"
    hint = typing.get_type_hints(options, include_extras=True).get(name)
    marks = getattr(hint, "__metadata__", ())
    positional = tyro.conf.Positional[int].__metadata__[0] in marks
    word = name.upper() if positional else spelled(name)
    return f"| `{word}` | {shown} | {_cell_text(about)} |"


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _cell_text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _checks() -> str:
    checks = custom_lstm.cell_checks(reference=keras.layers.LSTMCell)
    alone = {check.name for check in custom_lstm.cell_checks()}
    link = linker(public())
    parts = [
        "# The checks of `check_cell`",
        f"{len(alone)} checks of any cell, and {len(checks) - len(alone)} more that "
        "compare with a `reference`. Names are what `checks=` and `known_failures=` "
        "take.",
    ]
    for check in checks:
        more = "" if check.name in alone else "Runs with a `reference` only.\n\n"
        about = docstrings.prose(check.description, link)
        parts.append(f"## `{check.name}`\n\n{more}{about}")
    return "\n\n".join(parts) + "\n"


def notebooks() -> dict[str, str]:
    """Return the course's notebooks as the site shows them, by file name.

    Links into the repository become addresses, but for the site's own pictures, and the
    badge, a picture from another host, becomes words: the site needs no network.
    """
    made = {}
    repository = _repository()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        content = json.loads(path.read_text("utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                text = re.sub(r"!\[(Open in Colab)\]\([^)]*\)", r"\1", text)
                text = re.sub(r"\]\(\.\./docs/", "](../../", text)
                text = re.sub(r"\]\(\.\./(?!\.\./)", f"]({repository}/blob/main/", text)
                cell["source"] = text
        made[path.name] = json.dumps(content, ensure_ascii=False)
    return made


def _repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return project["project"]["urls"]["Repository"]


def write(folder: Path) -> None:
    """Write all of it into a folder; files that are the same are left as they are."""
    texts = {f"{name}.md": text for name, text in pages().items()}
    texts |= {f"notebooks/{name}": text for name, text in notebooks().items()}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    for path in folder.rglob("*.*"):
        if path.relative_to(folder).as_posix() not in texts:
            path.unlink()
