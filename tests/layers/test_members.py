"""Members: which examples each learns from, and how they vote."""

import keras
import numpy as np
import pytest

from custom_lstm.layers import MemberShare, MemberVote

RNG = np.random.default_rng(0)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_shares_are_disjoint_and_together_the_batch():
    x = np.arange(12, dtype="float32").reshape(6, 2)
    parts = [numpy(MemberShare(k, 3)(x, training=True)) for k in range(3)]
    np.testing.assert_array_equal(numpy(MemberVote(True)(parts, training=True)), x)
    for part in parts:
        assert part.shape == (2, 2)


def test_halves_of_a_batch_give_each_member_what_the_whole_does():
    """Two devices with half a batch each train as one with all of it."""
    x = np.arange(12, dtype="float32")
    share = MemberShare(1, 3)
    halves = [numpy(share(half, training=True)) for half in np.split(x, 2)]
    np.testing.assert_array_equal(
        np.concatenate(halves), numpy(share(x, training=True))
    )


def test_outside_training_all_see_all():
    x = RNG.normal(size=(5, 2)).astype("float32")
    np.testing.assert_array_equal(numpy(MemberShare(1, 3)(x)), x)


def test_a_share_keeps_its_dtype():
    images = keras.Input((2,), dtype="uint8")
    model = keras.Model(images, MemberShare(1, 2)(images))
    assert model.output.dtype == "uint8"
    found = model(np.array([[1, 2], [3, 4]], np.uint8), training=True)
    assert numpy(found).tolist() == [[3, 4]]
    assert keras.backend.standardize_dtype(found.dtype) == "uint8"


@pytest.mark.parametrize("logits", [True, False])
def test_the_vote_is_a_mean(logits):
    answers = RNG.normal(size=(3, 5, 4, 7))
    each = answers
    if logits:
        each = np.log(np.exp(answers) / np.exp(answers).sum(-1, keepdims=True))
    vote = MemberVote(logits)(list(answers.astype("float32")))
    np.testing.assert_allclose(numpy(vote), each.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [MemberShare(2, 4), MemberVote(logits=True)])
def test_settings_survive_serialisation(layer):
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: MemberShare(0, 0), "members.*positive.*0"),
        (lambda: MemberShare(3, 3), "member=3, members=3"),
        (lambda: MemberShare(-1, 3), "member=-1"),
        (lambda: MemberShare(0, 3)(np.zeros((4, 2)), training=True), r"3.*\(4, 2\)"),
        (lambda: MemberVote(True)([np.zeros((1, 2)), np.zeros((1, 3))]), "one shape"),
        (lambda: MemberVote(True)(np.zeros((1, 2))), "needs a list"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
