"""The pages that the site makes of the package are complete and true."""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import keras
import pytest

import custom_lstm
from custom_lstm import cells
from custom_lstm.cli import TASKS
from custom_lstm.config import flat, spelled

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the site is built on TensorFlow"
)


@pytest.fixture(scope="module")
def made():
    """The modules beside the site's conf.py."""
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("generate")
    sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def pages(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "diagram", lambda cell: f"(drawing of {cell.__name__})")
        yield made.pages()


def test_every_public_name_has_its_entry(made, pages):
    text = "\n".join(pages.values())
    for name in made.public():
        if name != "custom_lstm.__version__":
            assert text.count(f"}} {name}(") + text.count(f"}} {name}\n") == 1, name


def test_what_pages_and_notebooks_import_has_an_entry(made):
    public = set(made.public())
    things = [id(thing) for thing in made.public().values()]
    texts = [path.read_text("utf-8") for path in DOCS.rglob("*.md")]
    texts.append((DOCS.parent / "README.md").read_text("utf-8"))
    for path in (DOCS.parent / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells]
    imports = re.findall(
        r"^from (custom_lstm[\w.]*) import ([\w, ]+)$", "\n".join(texts), re.MULTILINE
    )
    assert len(imports) > 20
    for module, names in imports:
        for name in names.split(", "):
            thing = getattr(importlib.import_module(module), name, None)
            known = thing is None or inspect.ismodule(thing) or id(thing) in things
            assert known or f"{module}.{name}" in public, f"{module}.{name}"


def test_what_public_functions_take_return_and_raise_has_an_entry(made):
    """Classes of this package, by the names in signatures and docstrings."""
    classes = {thing for thing in made.public().values() if inspect.isclass(thing)}
    documented = {thing.__name__ for thing in classes}
    for full, thing in made.public().items():
        if not inspect.isfunction(thing):
            continue
        raised = re.findall(r"^    (\w+Error|\w+Finite): ", inspect.getdoc(thing), re.M)
        hints = " ".join(map(str, inspect.get_annotations(thing).values()))
        home = vars(importlib.import_module(thing.__module__))
        for name in {*raised, *re.findall(r"\w+", hints.replace(".", " "))}:
            found = home.get(name)
            own = inspect.isclass(found) and found.__module__.startswith("custom_lstm.")
            assert not own or name in documented, f"{full} speaks of {name}"


def test_every_argument_has_its_row(pages):
    entry = pages["api/custom_lstm"].split("{py:class} custom_lstm.RNN(")[1]
    for name in list(inspect.signature(custom_lstm.RNN.__init__).parameters)[1:-1]:
        assert f"\n| `{name}` | " in entry
    assert "\n| `return_sequences` | `False` | whether to return" in entry


def test_every_cell_has_equations_and_a_drawing(made, pages):
    text = "\n".join(page for name, page in pages.items() if "cells/" in name)
    for cell in made.cell_classes():
        section = text.split(f"\n## {cell.__name__}\n")[1].split("\n## ")[0]
        assert f"(drawing of {cell.__name__})" in section
        assert "```text\n" in section
        assert " = " in section.split("```text\n")[1]
    assert len(made.cell_classes()) == len(set(made.cell_classes())) > 50


def test_every_option_of_every_task_is_listed(pages):
    for name, options in TASKS.items():
        section = pages["cli"].split(f"\n## `{name}`\n")[1].split("\n## ")[0]
        for option in flat(options):
            words = spelled(option), option.upper()  # by position
            assert [f"\n| `{word}` |" in section for word in words].count(True) == 1
    assert "\n| `FOLDERS` |" in pages["cli"]


def test_every_check_is_explained(pages):
    for check in custom_lstm.cell_checks(reference=keras.layers.LSTMCell):
        section = pages["checks"].split(f"\n## `{check.name}`\n")[1].split("\n## ")[0]
        assert section.strip().endswith((".", "```"))
        assert len(section) >= len(check.clause)


def test_a_drawing_shows_what_is_computed_from_what(made):
    diagrams = importlib.import_module("diagrams")
    edges, states = diagrams.dependencies(cells.PeepholeLSTMCell)
    assert states == ["h", "c"]
    assert edges["input"] == {"x", "h", "c"}
    assert edges["candidate"] == {"x", "h"}
    assert edges["c'"] == {"c", "input", "forget", "candidate"}
    assert edges["output"] == {"x", "h", "c'"}
    assert edges["h'"] == {"output", "c'"}
    assert "y" not in edges  # the output is h'
    of_rhn, _ = diagrams.dependencies(cells.RHNCell)
    assert of_rhn["s_1"] == {"h", "candidate_1", "transform_1"}
    assert of_rhn["transform_2"] == {"s_1"}
    assert of_rhn["h'"] == {"s_1", "candidate_2", "transform_2"}
    of_sru, _ = diagrams.dependencies(cells.SRUCell)
    assert of_sru["y"] == {"x", "c'", "reset"}
    assert diagrams.diagram(cells.SRUCell).count("<rect") == len(of_sru)


def test_boxes_are_as_wide_as_their_names(made):
    diagrams = importlib.import_module("diagrams")
    boxes = re.findall(
        r'<rect [^>]*width="(\d+)"[^>]*/><text x="([\d.]+)"[^>]*>([^<]+)<',
        diagrams.diagram(cells.LEMCell),
    )
    widths = {name: int(width) for width, _, name in boxes}
    assert widths["slow_candidate"] >= 13 * 0.61 * len("slow_candidate")
    assert widths["h"] == diagrams.WIDTH


def test_notebooks_need_no_other_host(made):
    shown = made.notebooks()
    assert set(shown) == {path.name for path in (DOCS / "../notebooks").glob("*.ipynb")}
    for text in shown.values():
        assert "![" not in text.split('"source"')[1]
        for link in re.findall(r"\]\((\.\./[^)]*)\)", text):
            assert (DOCS / "generated/notebooks" / link).resolve().is_file(), link
