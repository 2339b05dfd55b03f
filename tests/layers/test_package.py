"""What `import custom_lstm` brings with it, what it does not, and what `help` shows."""

import inspect
import pydoc
import re
import subprocess
import sys

import pytest

import custom_lstm
from custom_lstm import cells, layers

LOOK = """
import sys
import keras
before = set(sys.modules)
import custom_lstm
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(names - set(sys.stdlib_module_names)))
"""
CLASSES = [
    *(getattr(layers, name) for name in layers.__all__),
    *(getattr(cells, name) for name in cells.__all__),
]


def test_import_brings_nothing_but_itself_beyond_keras():
    run = [sys.executable, "-c", LOOK]
    found = subprocess.run(run, check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["custom_lstm"]


def test_all_that_is_promised_is_there():
    for name in custom_lstm.__all__:
        assert getattr(custom_lstm, name) is not None
    assert {"convert", "data", "models", "plots", "training"} <= set(dir(custom_lstm))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_help_shows_no_machinery(cls):
    text = pydoc.render_doc(cls, renderer=pydoc.plaintext)
    assert "attrgetter" not in text
    assert "functools.partial" not in text


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_argument_is_in_the_docstring_of_its_class(cls):
    _, _, section = inspect.getdoc(cls).partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", section)[0]
    named = re.findall(r"^    ([\w, ]+):", section, re.MULTILINE)
    named = {name for names in named for name in names.split(", ")}
    parameters = inspect.signature(cls).parameters.values()
    variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    assert {p.name for p in parameters if p.kind not in variadic} <= named


def test_arguments_of_the_cell_are_attributes_of_the_layer_with_help():
    assert custom_lstm.LSTM(4, dropout=0.5).dropout == 0.5
    assert inspect.getdoc(custom_lstm.LSTM.dropout) == "The cell's `dropout`."
