"""EnsembleSplit and EnsembleMean: who learns from which examples, and the answer."""

import json
import zipfile

import keras
import numpy as np
import pytest

from custom_lstm import layers
from custom_lstm.layers import EnsembleMean, EnsembleSplit

RNG = np.random.default_rng(0)
FORMER_NAMES = {
    "custom_lstm.layers.ensemble": "custom_lstm.layers.members",
    "EnsembleSplit": "MemberShare",
    "EnsembleMean": "MemberVote",
    "ensemble_size": "members",
}
ONLY_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends know every size"
)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def ensemble(size=3):
    x = keras.Input((2,))
    answers = [keras.layers.Dense(2)(EnsembleSplit(k, size)(x)) for k in range(size)]
    return keras.Model(x, EnsembleMean(logits=True)(answers))


def test_parts_are_disjoint_and_together_the_batch():
    x = np.arange(12, dtype="float32").reshape(6, 2)
    parts = [numpy(EnsembleSplit(k, 3)(x, training=True)) for k in range(3)]
    np.testing.assert_array_equal(numpy(EnsembleMean(True)(parts, training=True)), x)
    for part in parts:
        assert part.shape == (2, 2)


def test_halves_of_a_batch_give_each_member_what_the_whole_does():
    """Two devices with half a batch each train as one with all of it."""
    x = np.arange(12, dtype="float32")
    split = EnsembleSplit(1, 3)
    halves = [numpy(split(half, training=True)) for half in np.split(x, 2)]
    np.testing.assert_array_equal(
        np.concatenate(halves), numpy(split(x, training=True))
    )


def test_outside_training_all_see_all():
    x = RNG.normal(size=(5, 2)).astype("float32")
    np.testing.assert_array_equal(numpy(EnsembleSplit(1, 3)(x)), x)


def test_a_part_keeps_its_dtype():
    images = keras.Input((2,), dtype="uint8")
    model = keras.Model(images, EnsembleSplit(1, 2)(images))
    assert model.output.dtype == "uint8"
    found = model(np.array([[1, 2], [3, 4]], np.uint8), training=True)
    assert numpy(found).tolist() == [[3, 4]]
    assert keras.backend.standardize_dtype(found.dtype) == "uint8"


@pytest.mark.parametrize("logits", [True, False])
def test_the_answer_is_a_mean(logits):
    answers = RNG.normal(size=(3, 5, 4, 7))
    each = answers
    if logits:
        each = np.log(np.exp(answers) / np.exp(answers).sum(-1, keepdims=True))
    mean = EnsembleMean(logits)(list(answers.astype("float32")))
    np.testing.assert_allclose(numpy(mean), each.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [EnsembleSplit(2, 4), EnsembleMean(logits=True)])
def test_settings_survive_serialisation(layer):
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()


def test_former_names_are_aliases():
    assert layers.MemberShare is EnsembleSplit
    assert layers.MemberVote is EnsembleMean
    split = layers.MemberShare(member=1, members=3)
    assert (split.member, split.ensemble_size) == (1, 3)


def test_a_file_with_the_former_names_still_loads(tmp_path):
    model, x = ensemble(), RNG.normal(size=(4, 2)).astype("float32")
    model.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                text = content.decode()
                for current, former in FORMER_NAMES.items():
                    text = text.replace(current, former)
                content = json.dumps(json.loads(text)).encode()
            old.writestr(name, content)
    assert "Ensemble" not in text
    assert text.count("custom_lstm>MemberShare") == 3
    again = keras.saving.load_model(tmp_path / "old.keras", safe_mode=True)
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EnsembleSplit(0, 0), "`ensemble_size`.*positive.*0"),
        (lambda: EnsembleSplit(0), "`ensemble_size`.*positive.*None"),
        (lambda: EnsembleSplit(3, 3), "member=3, ensemble_size=3"),
        (lambda: EnsembleSplit(-1, 3), "member=-1"),
        (lambda: EnsembleSplit(0, 3)(np.zeros((4, 2)), training=True), r"3.*\(4, 2\)"),
        (lambda: EnsembleMean(True)([np.zeros((1, 2)), np.zeros((1, 3))]), "one shape"),
        (lambda: EnsembleMean(True)(np.zeros((1, 2))), "needs a list"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@ONLY_TENSORFLOW
def test_a_batch_of_unknown_size_that_does_not_divide_is_named():
    import tensorflow as tf

    split = EnsembleSplit(1, 3, name="split")
    call = tf.function(
        lambda x: split(x, training=True), input_signature=[tf.TensorSpec((None, 2))]
    )
    assert call(np.ones((6, 2), "float32")).shape == (2, 2)
    message = (
        r"(?s)EnsembleSplit .*split.*multiple of the 3 members\. Received a batch of:"
        r".*4"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(np.ones((4, 2), "float32"))


@ONLY_TENSORFLOW
def test_fit_names_a_last_batch_that_does_not_divide():
    import tensorflow as tf

    model = ensemble()
    model.compile("sgd", "mse")
    rows = np.ones((10, 2), "float32")
    message = r"(?s)multiple of the 3 members\. Received a batch of:.*4"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model.fit(rows, rows, batch_size=6, verbose=0)
