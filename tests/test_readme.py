"""README and the site's pages: commands are the ones that work, and examples run."""

import contextlib
import doctest
import importlib.util
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import keras
import pytest

import custom_lstm
from custom_lstm.cli import TASKS
from custom_lstm.config import COMPLETION
from custom_lstm.tasks.digits.options import Config

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
MOST_WORDS = 900
MADE = ("_build", "generated", "node_modules")
PAGES = {
    path.relative_to(ROOT).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in [README, *sorted((ROOT / "docs").rglob("*.md"))]
    if not set(MADE) & set(path.parts)
}
BLOCK = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
SHELLS = {"sh", "bash"}
LANGUAGES = {"python", "text", "bibtex", *SHELLS}
SHELL = {
    name: [
        line
        for _, language, block in BLOCK.findall(text)
        if language in SHELLS
        for line in block.splitlines()
        if line
    ]
    for name, text in PAGES.items()
}
COMMANDS = [line for lines in SHELL.values() for line in lines]


def _runnable(text):
    """Yield a page's Python blocks, but for those that need what is not installed."""
    for _, language, code in BLOCK.findall(text):
        needed = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
        if language == "python" and all(map(importlib.util.find_spec, needed)):
            yield code


def _pages_with_code():
    for name, text in PAGES.items():
        if "```python\n" in text:
            torch = "-torch" * ("import torch" in text)
            yield pytest.param(text, id=name.removeprefix("docs/") + torch)


def _in_this_process(script):
    """Run a script as a user would, but for the imports that are done already."""
    keras.backend.clear_session()  # layers are named as in a fresh process
    with contextlib.redirect_stdout(io.StringIO()) as shown, warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("error", UserWarning)
        runpy.run_path(str(script), run_name="__main__")
    return shown.getvalue()


def _in_a_fresh_process(script):
    """Run a script for which the order of imports matters."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", list(_pages_with_code()))
def test_examples_run(text, tmp_path, monkeypatch):
    """All blocks of a page, one after the other, print what they say they print."""
    blocks = list(_runnable(text))
    if not blocks:
        pytest.skip("its libraries are not installed")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks)
    torch = re.search(r"^import torch", code, re.MULTILINE)
    script = tmp_path / "page.py"
    script.write_text("import torch\n" * bool(torch) + code, encoding="utf-8")
    printed = (_in_a_fresh_process if torch else _in_this_process)(script)
    expected = re.findall(r"^# prints: (.*)$", code, re.MULTILINE)
    want = "".join(f"{line}\n" for line in expected)
    same = doctest.OutputChecker().check_output(want, printed, doctest.ELLIPSIS)
    assert same, f"expected:\n{want}\nprinted:\n{printed}"


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_what_it_is(name):
    text = PAGES[name]
    blocks = BLOCK.findall(text)
    assert not {kind for _, kind, _ in blocks if "{" not in kind} - LANGUAGES
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(blocks)
    assert not re.search(r"^    (pip|python) ", text, re.MULTILINE)


def test_the_readme_is_short():
    assert len(PAGES["README"].split()) <= MOST_WORDS


def _runs_of_train_py():
    """Yield the words behind train.py of each command."""
    for line in dict.fromkeys(COMMANDS):
        for command in re.findall(r"python (train\.py[^&)]*)", line):
            yield shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("words", list(_runs_of_train_py()), ids=" ".join)
def test_commands_are_read_by_the_real_parser(words):
    named = bool(words) and words[0] in TASKS
    parse = (TASKS[words[0]] if named else Config).parse
    words = words[named:]
    if words == ["--help"]:
        with pytest.raises(SystemExit) as stop:
            parse(words)
        assert not stop.value.code
    elif words[:1] != [COMPLETION]:  # tests/test_terminal.py runs that
        parse(words)


def test_commands_are_those_of_an_installed_checkout():
    known = (
        "pip install ",
        "python train.py",
        "KERAS_BACKEND=jax python train.py",
        "source <(python train.py ",
        "custom-lstm ",
        "export KERAS_BACKEND=",
        "npm ci --prefix docs/live",
        "git clone https://github.com/custom-lstm/",
        "mkdir -p source/",
        "cp ../custom_lstm/notebooks/",
        "nbgrader ",
        "python -m custom_lstm ",
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = extras["project"]["optional-dependencies"]
    for line in COMMANDS:
        assert line.startswith(known), line
    for text in PAGES.values():
        for extra in re.findall(r'"\.\[(\w+)\]"', text):
            assert extra in extras


def test_the_readme_has_one_command_for_the_main_job_and_one_for_the_tests():
    assert 'pip install ".[train]" && python train.py --data digits' in SHELL["README"]
    assert 'pip install ".[test]" && python -m pytest' in SHELL["README"]


def test_tasks_and_their_options_in_the_prose_exist():
    found = [
        words
        for text in PAGES.values()
        for words in re.findall(r"`(?:python train\.py )?([a-z-]+) (--[^`]*)`", text)
    ]
    assert found
    for name, words in found:
        TASKS[name].parse(shlex.split(words))


def test_programs_in_the_prose_exist():
    for name, text in PAGES.items():
        for path in re.findall(r"python ((?:benchmarks|tests)/[\w/.]*\w)", text):
            assert (ROOT / path).exists(), (name, path)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    """What is made when the site is built, its build checks."""
    folder = (ROOT / name).parent
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", PAGES[name]))
    for link in re.findall(r"\]\(((?!https?:)[^)#]+)(?:#[^)]*)?\)", prose):
        target = ROOT / link[5:] if link.startswith("repo:") else folder / link
        made = (ROOT / "docs/generated") in target.resolve().parents
        assert made or target.exists(), link


def test_one_version_everywhere():
    version = custom_lstm.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == version
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {version}\n" in citation
    assert f"version = {{{version}}}" in PAGES["README"]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    (latest, date), *others = re.findall(r"^## (\S+)(.*)$", changes, re.MULTILINE)
    assert latest == version
    assert f"\ndate-released: {date.strip(' ()')}\n" in citation
    assert all(re.fullmatch(r" \(\d{4}-\d\d-\d\d\)", date) for _, date in others)
