"""Atomic writing."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.light_import import light_program

from custom_lstm.files import atomic_write


def test_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_success_replaces_with_ordinary_permissions(tmp_path):
    path, plain = tmp_path / "a.txt", tmp_path / "b.txt"
    plain.write_text("")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert path.stat().st_mode == plain.stat().st_mode


def test_kill_in_the_midst_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = light_program("""
        import os, signal
        from custom_lstm.files import atomic_write
        with atomic_write(sys.argv[1]) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    killed = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_missing_folder_is_an_os_error(tmp_path):
    with (
        pytest.raises(OSError, match="nowhere"),
        atomic_write(tmp_path / "nowhere" / "a"),
    ):
        pass


def test_no_other_thread_ever_writes_without_a_umask(tmp_path, monkeypatch):
    others, plain = tmp_path / "others", tmp_path / "plain"
    others.mkdir()
    plain.touch()
    done, umask = threading.Event(), os.umask

    def slow(mask):
        before = umask(mask)
        time.sleep(0.001)  # other threads run between two calls
        return before

    def create():
        for number in itertools.count():
            (others / str(number)).touch()
            if done.is_set():
                return

    monkeypatch.setattr(os, "umask", slow)
    thread = threading.Thread(target=create)
    thread.start()
    for _ in range(20):
        with atomic_write(tmp_path / "a.txt"):
            pass
    done.set()
    thread.join()
    modes = {file.stat().st_mode for file in others.iterdir()}
    assert modes == {plain.stat().st_mode}
