"""What the command decides for TensorFlow before it is imported."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import custom_lstm.__main__
from custom_lstm.cli import TASKS, main

TRAIN = Path(__file__).parents[1] / "train.py"
RUN = f"""
import contextlib, runpy
with contextlib.suppress(SystemExit):
    runpy.run_path({str(TRAIN)!r}, run_name="__main__")
from tensorflow.python.util import _pywrap_util_port as port
print(port.IsMklEnabled())
"""


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is for x86"
)
@pytest.mark.parametrize(("given", "used"), [(None, "True"), ("0", "False")])
def test_convolutions_run_on_onednn_unless_the_user_decided(tmp_path, given, used):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if given is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = given
    words = "count-ones --length 6 --strings 40 --batch-size 20 --epochs 1 --units 3"
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words.split(), "--runs", tmp_path / "runs"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == used


def test_the_version_is_that_of_the_package(capsys):
    assert custom_lstm.__main__.main(["--version"]) == 0
    assert capsys.readouterr().out == f"custom_lstm {custom_lstm.__version__}\n"


@pytest.mark.parametrize("words", [["help"], ["helpp"]])
def test_help_and_unknown_tasks_list_the_tasks(capsys, words):
    code = main(words)
    shown = capsys.readouterr()
    said = shown.err if code else shown.out
    assert code == (2 if words == ["helpp"] else 0)
    for name in TASKS:
        assert name in said


@pytest.mark.parametrize(
    ("word", "meant"),
    [("hlep", "help"), ("version", "--version"), ("count-one", "count-ones")],
)
def test_the_nearest_first_word_is_named(capsys, word, meant):
    assert main([word]) == 2
    assert f"did you mean {meant}? (" in capsys.readouterr().err


def test_the_first_task_may_be_named(capsys):
    assert main(["digits", "--length", "0"]) == main(["--length", "0"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second


def test_every_exit_code_is_documented():
    page = (TRAIN.parent / "docs/how-to/resume.md").read_text("utf-8")
    for code in (0, 1, 2, 130, 143):
        assert re.search(rf"\b{code}\b", main.__doc__)
        assert not code or re.search(rf"\| {code} \|", page), code
