import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from custom_lstm.data import cache

SHAPES = [(3, 4), (5,)]
ARRAYS = [np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(5, dtype=np.uint8)]

WRITER = """
import importlib.util, itertools, sys
from pathlib import Path
import numpy as np
spec = importlib.util.spec_from_file_location("cache", sys.argv[1])
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
values = itertools.cycle(range(int(sys.argv[3]), 256))
for value in itertools.islice(values, int(sys.argv[4])):
    cache.store(Path(sys.argv[2]), [np.full(2_000_000, value, np.uint8)])
"""


def writing(path, first, times):
    """Start a process that stores ever new arrays in one place."""
    command = [sys.executable, "-c", WRITER, cache.__file__, path, first, times]
    return subprocess.Popen([str(part) for part in command])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "cache.u8"


def test_fetches_what_was_stored(path):
    cache.store(path, ARRAYS)
    for stored, fetched in zip(ARRAYS, cache.fetch(path, SHAPES), strict=True):
        np.testing.assert_array_equal(fetched, stored)
        assert fetched.dtype == np.uint8
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_absent_file_is_no_damage(path, caplog):
    assert cache.fetch(path, SHAPES) is None
    assert not caplog.records


def flip(data):
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0",
        flip,
        lambda data: flip(data[::-1])[::-1],
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "short", "half", "long", "body bit", "digest bit", "zeros"],
)
def test_damage_is_noticed_and_said(path, damage, caplog):
    cache.store(path, ARRAYS)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.fetch(path, SHAPES) is None
    assert "damaged" in caplog.text


def test_other_shapes_are_damage(path):
    cache.store(path, ARRAYS)
    assert cache.fetch(path, [(3, 4), (6,)]) is None


def test_unreadable_place_is_said(tmp_path, caplog):
    assert cache.fetch(tmp_path, SHAPES) is None
    assert "Cannot read" in caplog.text


def test_unwritable_place_is_said_and_survived(tmp_path, caplog):
    file = tmp_path / "file"
    file.write_text("in the way")
    cache.store(file / "cache.u8", ARRAYS)
    assert "Cannot keep" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_failed_write_leaves_nothing(path, monkeypatch, caplog):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    cache.store(path, ARRAYS)
    assert "No space left" in caplog.text
    assert not list(path.parent.iterdir())


def test_only_uint8_is_cached(path):
    with pytest.raises(TypeError, match="uint8"):
        cache.store(path, [np.arange(3.0)])


def test_superseded_and_abandoned_files_are_swept(path):
    path.parent.mkdir()
    for name in ("cache-old.u8", "cache.u8.young.tmp", "cache.u8.aged.tmp", "my.tmp"):
        (path.parent / name).touch()
    long_ago = time.time() - 86_400
    for name in ("cache.u8.aged.tmp", "my.tmp"):
        os.utime(path.parent / name, (long_ago, long_ago))
    cache.store(path, ARRAYS, replaces="cache*.u8")
    left = {file.name for file in path.parent.iterdir()}
    assert left == {path.name, "cache.u8.young.tmp", "my.tmp"}


def test_survives_a_kill_half_way(path):
    shape = [(2_000_000,)]
    cache.store(path, [np.full(*shape, 255, np.uint8)])
    writer = writing(path, first=0, times=1_000_000)
    while not list(path.parent.glob("*.tmp")):
        assert writer.poll() is None
    writer.kill()
    assert writer.wait() != 0
    (found,) = cache.fetch(path, shape)
    assert found.min() == found.max()


def test_survives_concurrent_starts(path, caplog):
    shape = [(2_000_000,)]
    writers = [writing(path, first=100 * k, times=20) for k in range(2)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if arrays := cache.fetch(path, shape):
            assert arrays[0].min() == arrays[0].max()
            seen.add(int(arrays[0][0]))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen
    assert not caplog.records
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/custom_lstm"),
        ("linux", {"HOME": "/home/me"}, "/home/me/.cache/custom_lstm"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/custom_lstm"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/custom_lstm"),
    ],
)
def test_lives_in_the_users_cache(platform, environment, folder, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.sys, "platform", platform)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folder() == Path(folder)


def test_given_folder_is_used():
    assert cache.cache_folder("/given") == Path("/given")


def test_stored_files_have_ordinary_permissions(path, tmp_path):
    (tmp_path / "plain").touch()
    cache.store(path, ARRAYS)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_stored_file_and_then_its_folder_are_flushed(path, monkeypatch):
    flushed, fsync = [], os.fsync

    def recorded(handle):
        flushed.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    cache.store(path, ARRAYS)
    assert flushed == [path.stat().st_ino, path.parent.stat().st_ino]
