import hashlib
import http.server
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from helpers.light_import import light_program
from helpers.tfds_folders import (
    SHARDS,
    synthetic_labels,
    write_synthetic,
    write_unreadable,
)
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from custom_lstm.data import DataError, load_pools, mnist
from custom_lstm.data.mnist import read_cache, write_cache
from custom_lstm.files import PARTIAL

SHAPES = [(3, 4), (5,)]
ARRAYS = [np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(5, dtype=np.uint8)]

WRITER = light_program("""
    import itertools
    import numpy as np
    from custom_lstm.data.mnist import write_cache
    values = itertools.cycle(range(int(sys.argv[2]), 256))
    for value in itertools.islice(values, int(sys.argv[3])):
        write_cache(Path(sys.argv[1]), [np.full(2_000_000, value, np.uint8)])
""")

START = """
import logging, sys
logging.basicConfig(format="LOG %(message)s")
from custom_lstm.data import load_pools
pools = load_pools("mnist", data_dir=sys.argv[1], cache_dir=sys.argv[2])
labels = [pool.labels for pool in (pools.train, pools.validation, pools.test)]
images = [pool.images for pool in (pools.train, pools.validation, pools.test)]
assert all((x == 20 * y[:, None, None]).all() for x, y in zip(images, labels))
print([len(x) for x in labels], labels[0][:5], labels[1][-5:], labels[2][:5])
print("imported", "tensorflow_datasets" in sys.modules)
"""


def writing(path, first, times):
    """Start a process that stores ever new arrays in one place."""
    command = [sys.executable, "-c", WRITER, path, first, times]
    return subprocess.Popen([str(part) for part in command])


def start(root, cache_dir):
    """Load MNIST in a process of its own, for which no host answers."""
    environment = os.environ | {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PYTHONPATH": str(Path(mnist.__file__).parents[2]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return subprocess.Popen(
        [sys.executable, "-c", START, str(root), str(cache_dir)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    write_synthetic(root)
    return root


@pytest.fixture(scope="module")
def first_starts(root):
    """Start twice at once without a cache."""
    processes = [start(root, root / "cache") for _ in range(2)]
    return [(*process.communicate(), process.returncode) for process in processes]


def expected(imported):
    train, test = synthetic_labels("train"), synthetic_labels("test")
    return (
        f"[55000, 5000, 10000] {train[:5]} {train[-5:]} {test[:5]}\n"
        f"imported {imported}\n"
    )


def test_concurrent_first_starts_both_decode(root, first_starts):
    for out, err, code in first_starts:
        assert code == 0, err
        assert out == expected(imported=True)
        assert "LOG" not in err
    assert len(list((root / "cache").iterdir())) == 1


def test_second_start_needs_no_tensorflow_datasets(root, first_starts):
    out, err = start(root, root / "cache").communicate()
    assert out == expected(imported=False), err


@pytest.fixture
def arrays():
    sizes = mnist.SIZES
    rng = np.random.default_rng(0)
    made = []
    for split, size in sizes.items():
        made += [np.zeros((size, 28, 28), np.uint8), synthetic_labels(split)]
        made[-2][:, 9, 9] = rng.integers(0, 256, size)
    return made


@pytest.fixture
def decoded(arrays, monkeypatch):
    """Stand in for TensorFlow Datasets; hold the folders it was asked for."""
    asked = []

    def decode(root):
        asked.append(root)
        return arrays

    monkeypatch.setattr(mnist, "_decode", decode)
    return asked


def test_damaged_cache_is_made_anew_and_said(tmp_path, decoded, arrays, caplog):
    write_unreadable(tmp_path)
    folder = tmp_path / "cache"
    mnist.load_mnist(tmp_path, folder)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1000])
    found = mnist.load_mnist(tmp_path, folder)
    assert len(decoded) == 2
    assert "damaged" in caplog.text
    assert file.read_bytes() == whole
    for mine, theirs in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_changed_folder_is_decoded_anew(tmp_path, decoded):
    place = write_unreadable(tmp_path)
    folder = tmp_path / "cache"
    mnist.load_mnist(tmp_path, folder)
    (place / SHARDS["test"]).write_bytes(b"another preparation")
    mnist.load_mnist(tmp_path, folder)
    assert len(decoded) == 2
    assert len(list(folder.iterdir())) == 1


def test_cached_mnist_outlives_its_folder(tmp_path, decoded, monkeypatch):
    place = write_unreadable(tmp_path)
    mnist.load_mnist(tmp_path, tmp_path / "cache")
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    monkeypatch.setattr(mnist, "host_answers", lambda _: pytest.fail("asked its host"))
    assert mnist.load_mnist(tmp_path, tmp_path / "cache")
    assert len(decoded) == 1


def test_two_folders_do_not_share_a_cache(tmp_path, decoded):
    for name in "ab":
        write_unreadable(tmp_path / name)
        mnist.load_mnist(tmp_path / name, tmp_path / "cache")
    assert decoded == [tmp_path / "a", tmp_path / "b"]


def test_unwritable_cache_is_said_and_survived(tmp_path, decoded, caplog):
    write_unreadable(tmp_path)
    (tmp_path / "file").touch()
    pools = load_pools("mnist", data_dir=tmp_path, cache_dir=tmp_path / "file")
    assert len(pools.test) == 10_000
    assert "Cannot keep decoded data" in caplog.text


def remove(name):
    return lambda place: (place / name).unlink()


def rewrite_info(change):
    def damage(place):
        info = json.loads((place / "dataset_info.json").read_text())
        change(info)
        (place / "dataset_info.json").write_text(json.dumps(info))

    return damage


DAMAGES = {
    "dataset_info.json is missing": remove("dataset_info.json"),
    "features.json is missing": remove("features.json"),
    "split 'train' are missing": remove(SHARDS["train"]),
    "split 'test' are missing or empty": lambda x: (x / SHARDS["test"]).write_text(""),
    "unreadable": lambda place: (place / "dataset_info.json").write_text("{"),
    "KeyError": rewrite_info(lambda info: info.pop("splits")),
    "'train' has 0 digits": rewrite_info(lambda info: info["splits"].pop(0)),
    "'test' has 9 digits": rewrite_info(
        lambda info: info["splits"][1].update(shardLengths=["9"])
    ),
}


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("why", DAMAGES)
def test_half_prepared_folder_is_an_error(tmp_path, why, name):
    DAMAGES[why](write_unreadable(tmp_path))
    with pytest.raises(DataError, match="half prepared.*start again") as caught:
        load_pools(name, data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert why in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_corrupt_records_are_an_error_that_leaves_nothing(tmp_path):
    write_unreadable(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(DataError, match="damaged: DataLossError.*start again"):
        load_pools("mnist", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert after == before


@pytest.fixture
def tfds(monkeypatch):
    import tensorflow_datasets

    monkeypatch.setattr(mnist, "host_answers", lambda _: True)
    return tensorflow_datasets


@pytest.mark.parametrize(
    "error", [OSError("disk full"), "DownloadError", AssertionError("two\nlines")]
)
def test_failed_download_is_an_error_of_one_line(tmp_path, monkeypatch, tfds, error):
    def load(*_, **__):
        raise tfds.download.DownloadError("404") if error == "DownloadError" else error

    monkeypatch.setattr(tfds, "load", load)
    said = "cannot be downloaded.*--data digits"
    with pytest.raises(DataError, match=said) as caught:
        load_pools("mnist", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_loser_of_two_downloads_reads_what_the_other_prepared(
    tmp_path, monkeypatch, tfds, arrays
):
    import tensorflow as tf

    calls = []

    def load(name, **_):
        calls.append(name)
        if len(calls) == 1:
            write_unreadable(tmp_path)
            raise OSError(39, "Directory not empty")
        pairs = zip(arrays[::2], arrays[1::2], strict=True)
        return [
            {"image": tf.constant(x[..., None]), "label": tf.constant(y)}
            for x, y in pairs
        ]

    monkeypatch.setattr(tfds, "load", load)
    found = mnist.load_mnist(tmp_path, tmp_path / "cache")
    np.testing.assert_array_equal(found[3], arrays[3])
    assert calls == ["mnist:3.0.1"] * 2


def test_probes_what_tensorflow_datasets_downloads():
    import tensorflow_datasets

    builder = tensorflow_datasets.builder_cls("mnist")
    assert mnist.URL in builder.url_infos
    assert str(builder.VERSION) == mnist.VERSION


@pytest.mark.parametrize(("status", "verdict"), [(200, True), (404, False)])
def test_host_answers_if_it_has_the_file(status, verdict):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert mnist.host_answers(f"http://127.0.0.1:{server.server_port}/") is verdict
        thread.join()


def test_silent_host_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert not mnist.host_answers(url, seconds=0.2)


def test_stuck_name_resolution_is_not_waited_for(monkeypatch):
    done = threading.Event()

    def stuck(*_, **__):
        done.wait()
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    try:
        assert not mnist.host_answers("http://a.host/", seconds=0.05)
    finally:
        done.set()


def test_data_folder_is_found_as_tensorflow_datasets_does(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert mnist.data_root() == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", "~/elsewhere")
    assert mnist.data_root() == tmp_path / "elsewhere"
    assert mnist.data_root("/given") == Path("/given")


@pytest.mark.parametrize(
    ("where", "message"), [("gs://bucket/data", "local"), (__file__, "is a file")]
)
def test_data_folder_must_be_a_local_folder(where, message):
    with pytest.raises(DataError, match=message):
        load_pools("auto", data_dir=where)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "cache.u8"


def test_fetches_what_was_stored(path):
    write_cache(path, ARRAYS)
    for stored, fetched in zip(ARRAYS, read_cache(path, SHAPES), strict=True):
        np.testing.assert_array_equal(fetched, stored)
        assert fetched.dtype == np.uint8
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_absent_file_is_no_damage(path, caplog):
    assert read_cache(path, SHAPES) is None
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
    write_cache(path, ARRAYS)
    path.write_bytes(damage(path.read_bytes()))
    assert read_cache(path, SHAPES) is None
    assert "damaged" in caplog.text


def test_other_shapes_are_damage(path):
    write_cache(path, ARRAYS)
    assert read_cache(path, [(3, 4), (6,)]) is None


def test_unreadable_place_is_said(tmp_path, caplog):
    assert read_cache(tmp_path, SHAPES) is None
    assert "Cannot read" in caplog.text


def test_unwritable_place_is_said_and_survived(tmp_path, caplog):
    file = tmp_path / "file"
    file.write_text("in the way")
    write_cache(file / "cache.u8", ARRAYS)
    assert "Cannot keep" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_failed_write_leaves_nothing(path, monkeypatch, caplog):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    write_cache(path, ARRAYS)
    assert "No space left" in caplog.text
    assert not list(path.parent.iterdir())


def test_only_uint8_is_cached(path):
    with pytest.raises(TypeError, match="uint8"):
        write_cache(path, [np.arange(3.0)])


def test_superseded_and_abandoned_files_are_swept(path):
    path.parent.mkdir()
    young, aged, mine = f"{PARTIAL}cache-1.u8", f"{PARTIAL}cache-old-2.u8", "my.u8"
    for name in ("cache-old.u8", young, aged, mine):
        (path.parent / name).touch()
    long_ago = time.time() - 86_400
    for name in (aged, mine):
        os.utime(path.parent / name, (long_ago, long_ago))
    write_cache(path, ARRAYS, replaces="cache*.u8")
    left = {file.name for file in path.parent.iterdir()}
    assert left == {path.name, young, mine}


def test_survives_a_kill_half_way(path):
    shape = [(2_000_000,)]
    write_cache(path, [np.full(*shape, 255, np.uint8)])
    writer = writing(path, first=0, times=1_000_000)
    while not list(path.parent.glob(f"{PARTIAL}*")):
        assert writer.poll() is None
    writer.kill()
    assert writer.wait() != 0
    (found,) = read_cache(path, shape)
    assert found.min() == found.max()


def test_survives_concurrent_starts(path, caplog):
    shape = [(2_000_000,)]
    writers = [writing(path, first=100 * k, times=20) for k in range(2)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if arrays := read_cache(path, shape):
            assert arrays[0].min() == arrays[0].max()
            seen.add(int(arrays[0][0]))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen
    assert not caplog.records
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        (Unix, {"XDG_CACHE_HOME": "/x"}, "/x/custom_lstm"),
        (Unix, {"HOME": "/home/me"}, "/home/me/.cache/custom_lstm"),
        (MacOS, {"HOME": "/Users/me"}, "/Users/me/Library/Caches/custom_lstm"),
        (Windows, {}, "/local/custom_lstm"),
    ],
)
def test_lives_in_the_users_cache(platform, environment, folder, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(platformdirs, "PlatformDirs", platform)
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda name: "/local")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert mnist.cache_folder() == Path(folder)


def test_given_folder_is_used():
    assert mnist.cache_folder("/given") == Path("/given")


def test_stored_files_have_ordinary_permissions(path, tmp_path):
    (tmp_path / "plain").touch()
    write_cache(path, ARRAYS)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_stored_file_and_then_its_folder_are_flushed(path, monkeypatch):
    flushed, fsync = [], os.fsync

    def recorded(handle):
        flushed.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    write_cache(path, ARRAYS)
    assert flushed == [path.stat().st_ino, path.parent.stat().st_ino]


real_mnist = pytest.mark.skipif(
    "TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR names no prepared MNIST"
)


@pytest.fixture(scope="module")
def real_pools(tmp_path_factory):
    return load_pools("mnist", cache_dir=tmp_path_factory.mktemp("cache"))


@real_mnist
def test_has_the_known_labels(real_pools):
    train = np.concatenate([real_pools.train.labels, real_pools.validation.labels])
    known = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train).tolist() == known
    known = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(real_pools.test.labels).tolist() == known


@real_mnist
def test_has_the_known_brightness(real_pools):
    train = np.concatenate([real_pools.train.images, real_pools.validation.images])
    assert train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert train.std() / 255 == pytest.approx(0.3081, abs=5e-5)


@real_mnist
def test_pools_share_no_digit(real_pools):
    parts = [real_pools.train, real_pools.validation, real_pools.test]
    digests = [{hashlib.md5(image).digest() for image in pool.images} for pool in parts]
    assert [len(pool) for pool in parts] == [55_000, 5_000, 10_000]
    assert len(set.union(*digests)) == sum(map(len, digests)) == 70_000
