"""Run folders: made, refused, and never half written."""

import errno
import json
import os
import re

import pytest

from custom_lstm.errors import NotFinite, UserError
from custom_lstm.tasks.digits.options import Config
from custom_lstm.training.run_folder import RunFolder, read_json, write_json


def test_config_survives_the_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "runs", "a name/with slash")
    config = Config.parse(["--units", "5", "--lengths", "2", "3"])
    folder.write_config("digits", config.to_json(), data_used="digits")
    opened = RunFolder.open(folder.path)
    assert opened.read_options(Config) == config
    content = opened.read_config("digits")
    assert content["data_used"] == "digits"
    assert content["backend"]
    assert content["versions"]["keras"]
    assert folder.path.parent == tmp_path / "runs"


def test_two_runs_in_one_second_get_two_folders(tmp_path):
    assert len({RunFolder.create(tmp_path, "x").path for _ in range(5)}) == 5


def test_unwritable_place_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--runs"):
        RunFolder.create(tmp_path / "file" / "runs", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="--runs"):
        RunFolder.create(tmp_path, "x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no config.json"),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "no JSON object"),
        ("{}", "no options"),
        (
            json.dumps({"task": "showers", "options": {}}),
            "task 'showers', not 'digits'",
        ),
    ],
)
def test_foreign_folders_are_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=said):
        RunFolder.open(tmp_path).read_config("digits")


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        RunFolder.open(tmp_path / "nowhere")


def test_whatever_cannot_be_written_into_a_claimed_folder_is_said(tmp_path):
    folder = RunFolder.create(tmp_path, "x")
    full = OSError(errno.ENOSPC, "No space left on device")
    said = f"cannot write {folder.path}: No space left on device"
    with pytest.raises(UserError, match=re.escape(said)), folder.claimed():
        raise full
    with pytest.raises(BrokenPipeError), folder.claimed():
        raise BrokenPipeError


def test_a_file_in_a_claimed_folder_that_cannot_be_written_is_named(tmp_path):
    folder = RunFolder.create(tmp_path, "x")
    path = folder.path / "nowhere" / "a.txt"
    said = f"cannot write {path}: No such file or directory"
    with pytest.raises(UserError, match=re.escape(said)), folder.claimed():
        path.write_text("")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/fonts/a.ttf"),
    ],
)
def test_errors_that_are_not_of_writing_keep_their_cause(tmp_path, error):
    """They came out as "cannot write runs/x"."""
    folder = RunFolder.create(tmp_path, "x")
    with pytest.raises(type(error)) as caught, folder.claimed():
        raise error
    assert caught.value is error


def test_a_lock_that_cannot_be_made_is_said(tmp_path):
    """Where it should be lies a folder: root, too, cannot write it."""
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match="cannot write"), RunFolder(tmp_path).claimed():
        pass


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_resumed_run_adds_its_time(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_seconds() == []
    for sessions in (1, 2):
        with folder.timed():
            pass
        seconds = folder.read_seconds()
        assert len(seconds) == sessions
        assert all(0 <= s < 60 for s in seconds)


@pytest.mark.parametrize("content", ["[]", "{}", '{"training_seconds": [-1]}'])
def test_a_damaged_clock_is_said_before_the_training(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.times.write_text(content)
    with pytest.raises(UserError, match="times.json"), folder.timed():
        pytest.fail("the body ran")


def test_a_training_that_fails_leaves_its_time(tmp_path):
    """It was lost where a number was not finite."""
    folder = RunFolder(tmp_path)
    with pytest.raises(NotFinite), folder.timed():
        raise NotFinite(3, "the loss is nan")
    (seconds,) = folder.read_seconds()
    assert seconds >= 0
