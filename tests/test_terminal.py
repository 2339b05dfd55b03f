"""A person at a terminal: help, tab completion, bars, colours, narrow windows."""

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from custom_lstm.cli import TASKS, main
from custom_lstm.config import COMPLETION, flat, spelled
from custom_lstm.tasks.digits.options import Config

TRAIN = Path(__file__).parents[1] / "train.py"


def _printed(capsys, *words):
    """Return what the command prints before it ends."""
    try:
        code = main(list(words))
    except SystemExit as stop:
        code = stop.code or 0
    assert code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("task", [[], *([name] for name in TASKS)])
@pytest.mark.parametrize("columns", [50, 80])
def test_help_fits_the_terminal(capsys, monkeypatch, task, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    text = _printed(capsys, *task, "--help")
    _, *lines = text.splitlines()  # tyro breaks no usage line
    listed = [
        line for line in lines if line.startswith(("   custom-lstm", "   source"))
    ]
    assert max(map(len, [line for line in lines if line not in listed])) <= columns
    assert "\x1b" not in text
    assert "default: None" not in text


def _on_a_terminal(*words, **environment):
    """Return the exit code, and what the command shows on a terminal with colours."""
    terminal, end = pty.openpty()
    aside = {"NO_COLOR", "TF_CPP_MIN_LOG_LEVEL"}  # who sets this wants to see more
    plain = {k: v for k, v in os.environ.items() if k not in aside}
    process = subprocess.Popen(
        [sys.executable, TRAIN, *words],
        stdout=end,
        stderr=end,
        env=plain | {"TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux's end of file
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    return process.wait(), shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("task", [[], ["showers"]])
def test_no_color_is_respected_on_a_terminal(task):
    code, coloured = _on_a_terminal(*task, "--help")
    assert code == 0
    assert "\x1b" in coloured
    code, text = _on_a_terminal(*task, "--help", NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in text
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data digit", "one of auto, mnist, digits, not digit; did you mean digits?"),
        ("--length x", "--length"),
        ("--length", "--length needs a value"),
        ("showers --output vectr", "did you mean vector?"),
    ],
)
def test_a_mistake_is_one_plain_line_on_a_terminal_too(words, said):
    code, error = _on_a_terminal(*words.split())
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not set(error) & set("\x1b│╭╰")


def test_a_run_on_80_columns_has_a_bar_and_an_estimate(tmp_path):
    words = "count-ones --length 6 --strings 40 --batch-size 2 --units 3 --epochs 3"
    code, text = _on_a_terminal(*words.split(), "--runs", str(tmp_path))
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    bars = [line for line in re.split(r"[\b\r\n]+", plain) if "━━" in line]
    bars = [line for line in bars if "step - loss" in line]
    assert len(bars) >= 3
    assert max(map(len, bars)) <= 80
    assert re.search(r"^Epoch 3/3, about \d+ s left$", plain, re.MULTILINE)


def test_help_names_every_task_and_the_completion(capsys):
    text = _printed(capsys, "--help")
    for name in TASKS:
        assert re.search(f"custom-lstm {name} +[a-z]", text)
    assert f"source <(custom-lstm {COMPLETION} bash)" in text


@pytest.mark.parametrize("words", [[], ["sh"], ["bash", "-v"]])
def test_completion_needs_a_shell(capsys, words):
    assert main([COMPLETION, *words]) == 2
    assert "needs one of bash, zsh, fish" in capsys.readouterr().err


def test_completion_of_one_task_is_refused(capsys):
    assert main(["showers", COMPLETION, "bash"]) == 2
    assert "must be the first word" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_prints_a_completion_script(capsys, shell):
    script = _printed(capsys, COMPLETION, shell)
    assert "custom-lstm" in script
    assert "learning-rate" in script
    assert "count-ones" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_tasks_options_and_choices(capsys, tmp_path):
    (tmp_path / "script").write_text(_printed(capsys, COMPLETION, "bash"))
    press_tab = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tyro_custom_lstm; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )

    def offered(*words):
        done = subprocess.run(
            ["bash", "-c", press_tab, tmp_path / "script", "custom-lstm", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split("\n")) - {""}

    options = set(map(spelled, flat(Config)))
    assert offered("") >= options | set(TASKS)
    assert all(word.startswith("-") for word in offered("") - set(TASKS))
    assert offered("--le") == {"--length", "--lengths", "--learning-rate"}
    assert offered("--loop", "") == {"fit", "custom"}
    assert offered("count-ones", "--pre") == {"--preset", "--predict"}


def test_train_py_can_be_called_by_its_name():
    assert os.access(TRAIN, os.X_OK)
    assert TRAIN.read_text().startswith("#!/usr/bin/env python\n")


def test_a_log_file_holds_lines_and_no_control_characters(tmp_path):
    """Also where there is no display and no terminal; the last line says what next."""
    words = ["count-ones", "--length", "6", "--strings", "40", "--batch-size", "20"]
    words += ["--epochs", "2", "--units", "3", "--lengths", "7"]
    aside = {"DISPLAY", "TF_CPP_MIN_LOG_LEVEL"}  # whoever sets that wants to see more
    environment = {k: v for k, v in os.environ.items() if k not in aside}
    done = subprocess.run(
        [sys.executable, TRAIN, *words, "--runs", tmp_path / "runs"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout) & set("\b\r\x1b")
    assert done.stdout.count("Epoch ") == 2
    (run,) = (tmp_path / "runs").iterdir()
    assert f"is in {run}. Try next:" in done.stdout
    *_, last = done.stdout.splitlines()
    assert last.startswith(f"  python {TRAIN} count-ones --resume {run} ")
    assert done.stderr == ""
