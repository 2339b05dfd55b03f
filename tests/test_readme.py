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
    from custom_lstm.options import flat
    from custom_lstm.training.config import Config

    known = {f"--{name.replace('_', '-')}" for name in flat(Config())}
    lines = [line for line in README.splitlines() if "python train.py" in line]
    assert lines
    for line in lines:
        assert set(re.findall(r"--[a-z][a-z-]*", line)) <= known | {"--help"}, line
