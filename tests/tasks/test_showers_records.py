"""Files of showers: whole or not at all, checked, and streamed in a known order."""

import os
import zlib

import numpy as np
import pytest
import tensorflow as tf

from custom_lstm.data import DataError
from custom_lstm.files import append_checksum
from custom_lstm.tasks.showers import records, streams
from custom_lstm.tasks.showers.generator import generate

COUNT = 60


@pytest.fixture
def small(monkeypatch):
    """Shards of 20 showers."""
    monkeypatch.setattr(records, "SHARD", 20)


@pytest.fixture
def shards(tmp_path, small):
    shards = records.shards_of("train", COUNT, 5, tmp_path)
    records.ensure(shards, say=lambda line: None)
    return shards


def read(batches):
    """All images, and all values by name."""
    images, truths = zip(*batches.as_numpy_iterator(), strict=True)
    names = truths[0]
    return np.concatenate(images), {
        name: np.concatenate([truth[name] for truth in truths])[:, 0] for name in names
    }


def test_what_is_written_is_read(shards):
    images, truth = read(streams.evaluation_batches(shards))
    made = [generate(20, (5, 0, number)) for number in range(3)]
    np.testing.assert_array_equal(images, np.concatenate([m.images for m in made]))
    for name, values in truth.items():
        expected = np.concatenate([getattr(m, name) for m in made])
        np.testing.assert_array_equal(values, expected.astype("float32"))


def test_files_are_zlib_of_plain_examples(shards):
    content = zlib.decompress(shards[0].path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    example = tf.train.Example.FromString(content[12 : 12 + length]).features.feature
    assert set(example) == {"image", "energy", "x", "y", "z", "kind"}
    image = np.frombuffer(example["image"].bytes_list.value[0], "<u2")
    np.testing.assert_array_equal(
        image.reshape(16, 16, 40), generate(20, (5, 0, 0)).images[0]
    )


def test_only_what_is_missing_is_made_anew(shards):
    before = [shard.path.stat().st_mtime_ns for shard in shards]
    content = shards[1].path.read_bytes()
    shards[1].path.unlink()
    said = []
    records.ensure(shards, say=said.append)
    after = [shard.path.stat().st_mtime_ns for shard in shards]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert shards[1].path.read_bytes() == content
    assert said == [f"Making 20 showers in {shards[0].path.parent}"]
    records.ensure(shards, say=said.append)
    assert len(said) == 1


def test_larger_sets_share_the_files_of_smaller_ones(tmp_path, small):
    less, more = (records.shards_of("test", n, 0, tmp_path) for n in (45, 70))
    assert [shard.showers for shard in less] == [20, 20, 5]
    assert less[:2] == more[:2]
    paths = {
        shard.path
        for name in records.SETS
        for seed in (0, 1)
        for shard in records.shards_of(name, 40, seed, tmp_path)
    }
    assert len(paths) == 2 * 3 * 2


def test_an_interrupted_write_leaves_nothing(tmp_path, small, monkeypatch):
    """The third of 20 records fails: no file, no part of one."""
    shards = records.shards_of("train", COUNT, 5, tmp_path)
    whole, written = records._example, []

    def example(showers, k):
        written.append(k)
        if len(written) == 23:
            raise KeyboardInterrupt
        return whole(showers, k)

    monkeypatch.setattr(records, "_example", example)
    with pytest.raises(KeyboardInterrupt):
        records.ensure(shards, say=lambda line: None)
    assert [path.name for path in shards[0].path.parent.iterdir()] == [
        shards[0].path.name
    ]
    monkeypatch.setattr(records, "_example", whole)
    records.ensure(shards, say=lambda line: None)
    assert len(read(streams.evaluation_batches(shards))[0]) == COUNT


def _rewrite(path, compression="ZLIB", count=20, **features):
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    values = {
        "image": bytes(2 * 16 * 16 * 40),
        **dict.fromkeys(("energy", "x", "y", "z"), 1.0),
        "kind": 0,
        **features,
    }
    made = {name: feature(v) for name, v in values.items() if v is not None}
    example = tf.train.Example(features=tf.train.Features(feature=made))
    with tf.io.TFRecordWriter(str(path), compression) as file:
        for _ in range(count):
            file.write(example.SerializeToString())
    append_checksum(path)


DAMAGES = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "its end is cut": lambda p: p.write_bytes(p.read_bytes()[:-100]),
    "flipped": lambda p: p.write_bytes(
        p.read_bytes()[:5000] + b"\xff\x00\xff" + p.read_bytes()[5003:]
    ),
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("no showers here"),
    "zlib of something else": lambda p: p.write_bytes(zlib.compress(b"x" * 99)),
    "not compressed": lambda p: _rewrite(p, ""),
    "other features": lambda p: _rewrite(p, energy=None),
    "another type": lambda p: _rewrite(p, energy=1),
    "another shape": lambda p: _rewrite(p, image=bytes(2 * 8 * 8 * 40)),
    "half a count": lambda p: _rewrite(p, image=bytes(2 * 16 * 16 * 40 + 1)),
    "too few": lambda p: _rewrite(p, count=19),
    "too many": lambda p: _rewrite(p, count=21),
    "not a number": lambda p: _rewrite(p, x=float("nan")),
    "unknown kind": lambda p: _rewrite(p, kind=2),
    "no energy": lambda p: _rewrite(p, energy=0.0),
    "a folder": lambda p: (p.unlink(), p.mkdir()),
    "a pipe that nobody writes to": lambda p: (p.unlink(), os.mkfifo(p)),
    "a device without an end": lambda p: (p.unlink(), p.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_bad_files_are_refused_and_left_alone(shards, damage):
    path = shards[1].path
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DataError) as caught:
        records.ensure(shards)
    said = str(caught.value)
    assert str(path) in said
    assert "damaged or no file of showers (" in said
    assert "move it away" in said
    assert "\n" not in said
    assert before is None or path.read_bytes() == before


def test_good_files_of_ones_own_pass_the_check(shards):
    _rewrite(shards[0].path)
    records.check(shards[0])


def test_a_folder_that_cannot_be_written_is_said(tmp_path, small):
    (tmp_path / "file").write_text("")
    shards = records.shards_of("train", COUNT, 5, tmp_path / "file")
    with pytest.raises(DataError, match="cannot write .* --data-dir"):
        records.ensure(shards, say=lambda line: None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(tmp_path, small):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot write .* --data-dir"):
        records.ensure(records.shards_of("train", COUNT, 5, tmp_path))


def stream(shards, **options):
    defaults = {"batch_size": 8, "epochs": 3, "seed": 4, "mirror": False}
    return streams.training_batches(shards, **{**defaults, **options})


def test_an_epoch_shows_every_shower_once_in_an_order_of_its_own(shards):
    energies = np.unique(read(streams.evaluation_batches(shards))[1]["energy"])
    said = read(stream(shards, batch_size=20))[1]["energy"].reshape(3, COUNT)
    for epoch in said:
        np.testing.assert_array_equal(np.sort(epoch), energies)
    assert len({tuple(epoch) for epoch in said}) == 3
    again = read(stream(shards, batch_size=20))[1]["energy"].reshape(3, COUNT)
    np.testing.assert_array_equal(said, again)
    other = read(stream(shards, batch_size=20, seed=5))[1]["energy"]
    assert not np.array_equal(said.ravel(), other)


def test_images_stay_with_their_truth(shards):
    whole = read(streams.evaluation_batches(shards))
    known = dict(zip(whole[1]["energy"], whole[0], strict=True))
    images, truth = read(stream(shards, epochs=1))
    for image, energy in zip(images, truth["energy"], strict=True):
        np.testing.assert_array_equal(image, known[energy])


@pytest.mark.parametrize(
    ("epoch", "step", "mirror"), [(0, 3, True), (1, 6, False), (2, 7, False)]
)
def test_a_run_that_goes_on_repeats_and_skips_nothing(shards, epoch, step, mirror):
    whole = [batch[1] for batch in stream(shards, mirror=mirror).as_numpy_iterator()]
    rest = [
        batch[1]
        for batch in stream(
            shards, mirror=mirror, first_epoch=epoch, first_step=step
        ).as_numpy_iterator()
    ]
    assert len(whole) == 3 * 7
    assert len(rest) == len(whole) - 7 * epoch - step
    for ours, theirs in zip(rest, whole[7 * epoch + step :], strict=True):
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])


def turned(image, x, y):
    """The eight ways in which a shower may be turned over: image, x, y."""
    for swap in (False, True):
        for flips in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            new = image[:: flips[0], :: flips[1]]
            place = flips[0] * x, flips[1] * y
            yield (new.swapaxes(0, 1), *place[::-1]) if swap else (new, *place)


def test_mirror_images_are_those_of_a_square():
    showers = generate(40, 9)
    truth = {
        name: tf.constant(getattr(showers, name)[:, None]) for name in records.TARGETS
    }
    images = showers.images.astype("float32")
    seen, there = streams.mirrored(tf.constant(images), truth, tf.constant([1, 2]))
    ways = []
    for k in range(len(showers)):
        new = seen[k].numpy(), float(there["x"][k, 0]), float(there["y"][k, 0])
        ways += [
            number
            for number, (image, x, y) in enumerate(
                turned(images[k], showers.x[k], showers.y[k])
            )
            if np.array_equal(image, new[0]) and (x, y) == pytest.approx(new[1:])
        ]
    assert len(ways) == len(showers)
    assert set(ways) == set(range(8))
    for name in ("energy", "z", "kind"):
        np.testing.assert_array_equal(there[name], truth[name])
