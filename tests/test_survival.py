"""Runs in real processes, killed, terminated and started twice: the short form.

The full forms are `kills.py`, `stops.py` and `soak.py` in benchmarks/reliability.
"""

import resource
import signal

import kills
import numpy as np
import processes
import pytest
import soak
import stops

from custom_lstm.files import ChecksumError, verify_checksum


@pytest.fixture(scope="module", autouse=True)
def imported():
    """Let the server of forked processes import what runs need, once."""
    processes.ready()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return a run that nothing disturbed."""
    work = tmp_path_factory.mktemp("alone")
    return processes.run_to_the_end(work / "runs", work / "log")


def test_killed_at_any_moment_it_comes_out_the_same(tmp_path):
    counts = kills.survive(tmp_path, runs=2, kills=8, seed=1, epochs=12)
    assert counts["runs that came out identical"] == 2
    assert counts["kills inside a save"] >= 4


def test_two_deterministic_processes_say_the_same_weights(tmp_path):
    first, second = stops.weights_of_two(tmp_path)
    assert first == second


def test_at_any_moment_sigterm_saves_and_leaves_within_a_step(tmp_path):
    assert stops.terminated(tmp_path, 2) == 2


def test_a_nan_in_a_batch_stops_at_it(tmp_path):
    assert stops.poisoned(tmp_path, 2) == 2


def test_terminated_thrice_it_comes_out_the_same(tmp_path, alone):
    log, steps = tmp_path / "log", []
    for _ in range(3):
        process = processes.Process(processes.words_for(tmp_path / "runs"), log)
        process.saving.acquire(timeout=120)
        process.signal(signal.SIGTERM)
        assert process.wait(seconds=60) == 143
        run = processes.only_run(tmp_path / "runs")
        steps.append(int(run.checkpoints()[0].stem.removeprefix("step-")))
    assert steps == sorted(set(steps))
    assert steps[0] <= 3 + 1
    assert "saved; resume with" in log.read_text()
    run = processes.run_to_the_end(tmp_path / "runs", log)
    assert processes.last_checkpoint(run) == processes.last_checkpoint(alone)


def test_a_file_size_limit_is_said_and_costs_no_checkpoint(tmp_path):
    """The operating system refuses to write more, as it does on a full disk."""
    log = tmp_path / "log"
    process = processes.Process(processes.words_for(tmp_path / "runs"), log)
    for _ in range(3):
        process.saving.acquire(timeout=120)
    process.signal(signal.SIGTERM)
    process.wait()
    run = processes.only_run(tmp_path / "runs")
    before = processes.last_checkpoint(run)

    process = processes.Process(
        processes.words_for(tmp_path / "runs"), tmp_path / "out", before=_limit_files
    )
    assert process.wait() == 1
    assert "cannot write" in (tmp_path / "out").read_text()
    assert processes.last_checkpoint(run) == before


def _limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_every_damage_to_a_checkpoint_is_noticed(tmp_path, alone, damage):
    content = alone.checkpoints()[0].read_bytes()
    path, rng = tmp_path / "step-1.npz", np.random.default_rng(0)
    for place in rng.integers(len(content), size=100):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed if damage == "flip" else content[:place])
        with pytest.raises(ChecksumError, match="is damaged"):
            verify_checksum(path)


def test_memory_and_open_files_stay_constant(tmp_path):
    grown = soak.soak(tmp_path, first=50, last=250)
    assert grown["steps"] == 250
    assert grown["open files"] <= 0
    assert grown["memory"] <= 0.10  # the first steps still warm up
