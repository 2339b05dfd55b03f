"""Atomic writing."""

import subprocess
import sys
import textwrap

import pytest

from custom_lstm.files import replacing


def test_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_success_replaces_with_ordinary_permissions(tmp_path):
    path, plain = tmp_path / "a.txt", tmp_path / "b.txt"
    plain.write_text("")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert path.stat().st_mode == plain.stat().st_mode


def test_kill_in_the_midst_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    script = """
        import os, signal, sys
        from custom_lstm.files import replacing
        with replacing(sys.argv[1]) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), path], check=False)
    assert path.read_text() == "old"


def test_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"), replacing(tmp_path / "nowhere" / "a"):
        pass
