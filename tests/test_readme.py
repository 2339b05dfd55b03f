"""The README's commands are the ones that work, and its examples run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.splitlines()[0][:40])
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
    assert done.stdout.splitlines()[: len(shown)] == shown


def test_there_are_examples():
    assert EXAMPLES


def test_options_in_the_readme_exist():
    from custom_lstm.command import TASKS
    from custom_lstm.options import flat, spelled
    from custom_lstm.training import command_line

    parsers = {"": command_line.parse, **{name: t.parse for name, t in TASKS.items()}}
    known = {
        name: {"--help", *map(spelled, flat(parse([])))}
        for name, parse in parsers.items()
    }
    lines = [line for line in README.splitlines() if "python train.py" in line]
    assert lines
    for line in lines:
        name = re.search(r"python train.py ?([a-z][a-z-]*)?", line)[1] or ""
        assert set(re.findall(r"--[a-z][a-z-]*", line)) <= known[name], line
