"""Runs on several devices end where a run on one does; real processes, embedded digits.

The tests of the JAX backend need jax; every process that they start is told which
backend to use.
"""

import csv
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from custom_lstm.errors import UsageError
from custom_lstm.tasks.digits.options import Config
from custom_lstm.training.distribution import DeviceGroup, assemble

ROOT = Path(__file__).parents[2]
STEPS = 20
SMALL = shlex.split(  # 20 steps
    "--data digits --epochs 2 --batch-size 28 --units 12 --filters 4 4 --features 8 "
    "--learning-rate 5e-4 --no-tensorboard --recurrent cell"
)
SYMBOLS = ["--recurrent", "carousel", "--symbols", "4", "--epochs", "1"]
"""Weights move by 5e-3 in all and may differ by 1e-6. At ten times that rate they part
by 1e-4 on some CPUs, from the step on in which rounding lets one ReLU or maximum fall
the other way."""
SAME_SUMS = {"TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONUNBUFFERED": "1"}
"""oneDNN sums half a batch in another order, and weights part by 1e-5."""
MIRRORED = ["--strategy", "mirrored", "--devices", "2"]


def _command(*words, script=ROOT / "train.py"):
    return [sys.executable, str(script), *map(str, words)]


def _start(backend, *words):
    return subprocess.Popen(
        _command(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | SAME_SUMS | {"KERAS_BACKEND": backend},
    )


def _one(tmp_path_factory, backend):
    runs = tmp_path_factory.mktemp(backend)
    with _start(backend, *SMALL, "--runs", runs) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    return runs


def _outcome(runs):
    """Return the epochs' rows and the model kept; there is one run."""
    (folder,) = runs.iterdir()
    with (folder / "history.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return rows, keras.saving.load_model(folder / "model.keras", compile=False)


def _assert_same(runs, others, trained=1e-6):
    (rows, model), (other_rows, other_model) = _outcome(runs), _outcome(others)
    assert min(rows, key=lambda row: row["val_loss"]) is rows[-1]  # so it was kept
    for mine, other in zip(model.weights, other_model.weights, strict=True):
        atol = trained if mine.trainable else 1e-5  # moments are sums over every pixel
        np.testing.assert_allclose(
            mine.numpy(), other.numpy(), rtol=0, atol=atol, err_msg=mine.path
        )
    for mine, other in zip(rows, other_rows, strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return _one(tmp_path_factory, "tensorflow")


@pytest.mark.parametrize("loop", ["fit", "custom"])
def test_two_mirrored_devices_end_with_the_weights_of_one(one_device, tmp_path, loop):
    words = [*SMALL, *MIRRORED, "--loop", loop, "--runs", tmp_path]
    with _start("tensorflow", *words) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    assert f"{STEPS // 2}/{STEPS // 2}" in said
    _assert_same(tmp_path, one_device)


def test_symbols_learn_on_two_mirrored_devices_as_on_one(tmp_path):
    """The loss weighs its parts by a mean over the whole batch."""
    for name, words in (("one", []), ("two", MIRRORED)):
        runs = ["--runs", tmp_path / name]
        with _start("tensorflow", *SMALL, *SYMBOLS, *words, *runs) as process:
            said = process.communicate()[0]
        assert process.returncode == 0, said
    _assert_same(tmp_path / "two", tmp_path / "one", trained=1e-5)


def _pair(*words, others=()):
    """Start the two processes of a run on this machine; `others` are the second's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [*words, "--strategy=data-parallel", "--processes=2"]
    words += ["--coordinator", address]
    mine = [*words, "--process-id=0"], [*words, "--process-id=1", *others]
    return [_start("jax", *own) for own in mine]


def _wait(processes):
    said = [process.communicate()[0] for process in processes]
    return [process.returncode for process in processes], said


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    pytest.importorskip("jax")
    return _one(tmp_path_factory, "jax")


def test_two_processes_stop_go_on_and_end_with_the_weights_of_one(
    one_process, tmp_path
):
    """Ctrl-C in the process that keeps nothing; then --resume in both."""
    processes = _pair(*SMALL, "--runs", tmp_path)
    _read_until("Epoch 2/2", processes[1])
    processes[1].send_signal(signal.SIGINT)
    codes, said = _wait(processes)
    assert codes == [130, 130], said
    (folder,) = tmp_path.iterdir()
    assert len(_rows_of(folder)) == 1
    codes, said = _wait(_pair("--resume", folder))
    assert codes == [0, 0], said
    _assert_same(tmp_path, one_process)


def test_one_ends_with_a_word_when_the_other_is_killed(tmp_path):
    pytest.importorskip("jax")
    words = [*SMALL, "--epochs", "5000", "--save-steps", "1", "--runs", tmp_path]
    keeps, killed = _pair(*words)
    _read_until("Epoch 2/5000", killed)
    killed.kill()
    codes, said = _wait([keeps, killed])
    assert codes == [1, -signal.SIGKILL], said
    *_, last = said[0].splitlines()
    assert last.startswith("train.py: another process of this run has ended"), said
    assert list(tmp_path.glob("*/checkpoints/step-*.npz"))


def _read_until(text, process):
    said = ""
    while text not in said:
        character = process.stdout.read(1)
        assert character, said
        said += character


def _rows_of(folder):
    return (folder / "history.csv").read_text().splitlines()[1:]


def test_processes_started_unlike_are_refused(tmp_path):
    pytest.importorskip("jax")
    codes, said = _wait(_pair(*SMALL, "--runs", tmp_path, others=["--seed", "1"]))
    assert codes == [1, 1], said
    assert all("the processes differ in options" in text for text in said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--strategy mirored", "did you mean mirrored?"),
        (
            "--strategy multi-worker-mirrored",
            "Keras 3 does not support tf.distribute.MultiWorkerMirroredStrategy",
        ),
        ("--strategy mirrored --devices 0", "--devices must be 1 or more, not 0"),
        ("--devices 2", "--devices needs --strategy mirrored"),
        ("--processes 2 --coordinator a:1", "needs --strategy data-parallel"),
        ("--strategy data-parallel --processes 0", "--processes must be 1 or more"),
        ("--strategy data-parallel --processes 2", "--coordinator and --processes"),
        ("--strategy data-parallel --coordinator a:1", "--coordinator and --processes"),
        (
            "--strategy data-parallel --processes 2 --process-id 2 --coordinator a:1",
            "--process-id must be less than --processes 2, not 2",
        ),
        *(
            (
                f"--strategy data-parallel --processes 2 --coordinator {address}",
                f"must be host:port, such as 10.0.0.1:12345, not {address}",
            )
            for address in ("ten", "ten:", ":1", "ten:x", "ten:0", "ten:65536", "a:b:1")
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(words, said):
    with pytest.raises(UsageError) as caught:
        Config.parse(words.split())
    assert said in str(caught.value)


@pytest.mark.parametrize("address", ["10.0.0.1:1", "node-3.local:65535", "[::1]:8000"])
def test_addresses_are_taken(address):
    words = ["--strategy", "data-parallel", "--processes", "2", "--coordinator"]
    assert Config.parse([*words, address]).parallel.coordinator == address


@pytest.mark.parametrize(
    ("backend", "words", "said"),
    [
        ("jax", "--strategy mirrored --devices 2", "set KERAS_BACKEND=tensorflow"),
        ("jax", "--loop custom", "--loop custom needs the tensorflow backend"),
        ("tensorflow", "--strategy data-parallel", "set KERAS_BACKEND=jax"),
        (
            "tensorflow",
            "--strategy mirrored --devices 2 --clip-norm 1",
            "Keras clips the gradients of each device before it sums them",
        ),
    ],
)
def test_what_the_backend_cannot_do_is_refused(monkeypatch, backend, words, said):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    config = Config.parse(words.split())
    loop, clip_norm = config.optimisation.loop, config.optimisation.clip_norm
    with pytest.raises(UsageError, match=said):
        assemble(config.parallel, loop=loop, clip_norm=clip_norm)


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores")
@pytest.mark.parametrize("computed_before", [False, True])
def test_operations_of_many_networks_take_one_core_each(computed_before):
    script = f"""
import keras, tensorflow as tf
from custom_lstm.training.distribution import assemble
from custom_lstm.training.options import Parallel
if {computed_before}:
    tf.ones(3)
for members in (1, {os.cpu_count()}):
    assemble(Parallel(), ensemble_size=members)
    threads = tf.config.threading
    print(threads.get_intra_op_parallelism_threads(), end=" ")
    print(threads.get_inter_op_parallelism_threads(), end=" ")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=True,
    )
    changed = [0, 0] if computed_before else [1, os.cpu_count() + 1]
    assert list(map(int, done.stdout.split())) == [0, 0, *changed]


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_written(tmp_path):
    words = [*SMALL, *MIRRORED, "--batch-size", "15", "--runs", tmp_path / "runs"]
    done = subprocess.run(
        _command(*words),
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "--batch-size 15 cannot be shared equally by 2 devices" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_one_device_takes_any_batch():
    DeviceGroup().check_batch(15, ensemble_size=1)


def test_networks_share_what_each_device_has():
    DeviceGroup(size=2).check_batch(12, ensemble_size=3)
    with pytest.raises(
        UsageError, match="2 devices with 3 networks: give a multiple of 6"
    ):
        DeviceGroup(size=2).check_batch(9, ensemble_size=3)
