"""Files cut short or with a bit flipped, at a hundred places each: none goes unseen."""

import numpy as np
import pytest
from helpers import model_files as files

from custom_lstm.data import DataError
from custom_lstm.data.mnist import read_cache, write_cache
from custom_lstm.errors import UserError
from custom_lstm.files import add_checksum
from custom_lstm.loading import load_model
from custom_lstm.tasks.showers import data as records

TIMES, ENDS = 100, 20


def places(size, number):
    """Numbers below `size`: some at both ends, where formats keep their records."""
    ends = [*range(ENDS // 2), *range(size - ENDS // 2, size)]
    middle = np.arange(ENDS // 2, size - ENDS // 2)
    drawn = np.random.default_rng(number).choice(middle, TIMES - ENDS, replace=False)
    return [*ends, *map(int, drawn)]


def truncations(content):
    """Return the content cut after 100 lengths."""
    return [content[:length] for length in places(len(content), 0)]


def flips(content):
    """Return the content with one of 100 bits flipped."""
    spoilt = []
    for bit in places(8 * len(content), 1):
        copy = bytearray(content)
        copy[bit // 8] ^= 1 << bit % 8
        spoilt.append(bytes(copy))
    return spoilt


DAMAGES = pytest.mark.parametrize("damages", [truncations, flips])


@DAMAGES
def test_a_damaged_cache_is_not_used(tmp_path, damages, caplog):
    path, shapes = tmp_path / "cache.u8", [(30, 28, 28), (30,)]
    rng = np.random.default_rng(2)
    write_cache(path, [rng.integers(0, 256, shape, np.uint8) for shape in shapes])
    content = path.read_bytes()
    assert read_cache(path, shapes)
    for damaged in damages(content):
        path.write_bytes(damaged)
        assert read_cache(path, shapes) is None
    assert len(caplog.records) == TIMES
    assert {"damaged" in record.message for record in caplog.records} == {True}


@DAMAGES
def test_a_damaged_file_of_showers_is_not_used(tmp_path, damages):
    [shard] = records.shards_of("test", 10, 0, tmp_path)
    records.ensure([shard], report=lambda line: None)
    content = shard.path.read_bytes()
    records.check(shard)
    for damaged in damages(content):
        shard.path.write_bytes(damaged)
        with pytest.raises(DataError, match="is damaged or no file of showers"):
            records.ensure([shard])


@DAMAGES
def test_a_damaged_model_with_a_checksum_is_not_used(tmp_path, damages):
    path = files.write(tmp_path / "model.keras", files.good_members(tmp_path))
    add_checksum(path)
    content = path.read_bytes()
    assert load_model(path).count_params() == 8
    for damaged in damages(content):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be loaded as a model"):
            load_model(path)


@DAMAGES
def test_of_a_model_without_a_checksum_no_changed_content_is_used(tmp_path, damages):
    """A bit of an archive's own notes, a date say, may change: its content may not."""
    path = files.write(tmp_path / "model.keras", files.good_members(tmp_path))
    content, good = path.read_bytes(), load_model(path)
    seen = 0
    for damaged in damages(content):
        path.write_bytes(damaged)
        try:
            model = load_model(path)
        except UserError:
            seen += 1
            continue
        assert model.get_config() == good.get_config()
        for array, expected in zip(
            model.get_weights(), good.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(array, expected)
    assert seen > 0.9 * TIMES
    assert damages is flips or seen == TIMES
