"""The README's commands are the ones that work, and its examples run."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import custom_lstm
from custom_lstm.cli import TASKS
from custom_lstm.config import COMPLETION, groups, spelled
from custom_lstm.tasks.digits.options import Config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
EXAMPLES = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line
]


def _example(code):
    needs_torch = "import torch" in code
    lacking = needs_torch and importlib.util.find_spec("torch") is None
    marks = [pytest.mark.skipif(lacking, reason="torch is not installed")]
    name = "torch" if needs_torch else re.search(r"class (\w+)|\Z", code)[1]
    return pytest.param(code, marks=marks, id=name or "keras")


@pytest.mark.parametrize("code", [_example(code) for code in EXAMPLES])
def test_examples_run(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"^# prints: (.*)$", code, re.MULTILINE)
    assert shown
    assert done.stdout.splitlines() == shown


def test_every_block_says_what_it_is():
    assert {language for language, _ in BLOCKS} == {"python", "sh", "text"}
    assert README.count("```") == 2 * len(BLOCKS)
    assert not re.search(r"^    (pip|python) ", README, re.MULTILINE)
    assert len(EXAMPLES) >= 4


def _runs_of_train_py():
    """Yield the words behind train.py of each command in the README."""
    for line in COMMANDS:
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
        "python -m custom_lstm ",
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = extras["project"]["optional-dependencies"]
    for line in COMMANDS:
        assert line.startswith(known), line
    for extra in re.findall(r'"\.\[(\w+)\]"', README):
        assert extra in extras


def test_tasks_and_their_options_in_the_prose_exist():
    for name, words in re.findall(r"`([a-z-]+) (--[^`]*)`", README):
        TASKS[name].parse(shlex.split(words))


def _options_table():
    """Return the options of the main job, as `--help` has them."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for group, about, options in groups(Config):
        lines.append(f"| **{group}** | | {about} |")
        for name, value, meaning in options:
            value = " ".join(map(str, value)) if isinstance(value, tuple) else value
            shown = "" if value in (None, "") else f"`{value}`"
            lines.append(f"| `{spelled(name)}` | {shown} | {meaning} |")
    return "\n".join(lines)


def test_the_options_are_those_of_the_command_line():
    """If this fails, put what it expected into the README."""
    assert f"\n{_options_table()}\n" in README


LINKS = re.findall(r"\]\(((?!https?:)[^)]+)\)", README)
ANCHORS = [
    "#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    for title in re.findall(r"^## (.*)$", README, re.MULTILINE)
]


def test_links_lead_somewhere():
    for link in LINKS:
        assert link in ANCHORS or (ROOT / link).exists(), link


def test_the_contents_follow_the_sections():
    *sections, _cite = ANCHORS
    contents = [link for link in LINKS if link.startswith("#")][: len(sections)]
    assert contents == sections


def test_one_version_everywhere():
    version = custom_lstm.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == version
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {version}\n" in citation
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    (latest, date), *others = re.findall(r"^## (\S+)(.*)$", changes, re.MULTILINE)
    assert latest == version
    assert f"\ndate-released: {date.strip(' ()')}\n" in citation
    assert all(re.fullmatch(r" \(\d{4}-\d\d-\d\d\)", date) for _, date in others)
