"""Checkpoints and best weights: whole or refused, finite, the last two."""

import zipfile

import keras
import numpy as np
import pytest
from helpers.small_training import X, Y, model, train

from custom_lstm.errors import NotFinite, UserError
from custom_lstm.files import add_checksum, verify_checksum
from custom_lstm.loading import load_model
from custom_lstm.training.checkpoints import (
    TrainingState,
    keep_model,
    restore,
    save_best,
    save_checkpoint,
)
from custom_lstm.training.options import CheckpointOptions


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied"])
def test_of_a_damaged_checkpoint_the_one_before_is_used(folder, capsys, damage):
    train(model(), folder, TrainingState(), save=CheckpointOptions(save_steps=5))
    last, before = folder.checkpoints()
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    size = {"flipped": None, "truncated": -1, "emptied": 0}[damage]
    last.write_bytes(bytes(content)[:size])
    capsys.readouterr()
    restore(folder, resumed := model())
    assert folder.checkpoint(int(resumed.optimizer.iterations)) == before
    assert f"{last} is damaged" in capsys.readouterr().out
    before.write_bytes(b"")
    with pytest.raises(UserError, match="all checkpoints .* are damaged"):
        restore(folder, model())


def test_going_on_from_the_one_before_leaves_two_that_are_whole(folder):
    train(model(), folder, TrainingState(), save=CheckpointOptions(save_steps=5))
    last, before = folder.checkpoints()
    last.write_bytes(last.read_bytes()[:-1])
    state = restore(folder, resumed := model())
    resumed.optimizer.iterations.assign_add(1)
    save_checkpoint(folder, resumed, state)
    assert folder.checkpoints()[1] == before
    assert len(folder.checkpoints()) == 2
    for path in folder.checkpoints():
        verify_checksum(path)


def test_a_validation_that_came_to_infinity_is_saved(folder):
    train(trained := model(), folder, TrainingState())
    trained.metrics_variables[0].assign(np.inf)
    trained.optimizer.iterations.assign(99)
    assert save_checkpoint(folder, trained, TrainingState()).is_file()


@pytest.mark.parametrize("spoilt", ["weights", "optimizer", "moving variance"])
def test_no_checkpoint_holds_what_is_not_finite(folder, spoilt):
    """Whatever the loop saw: on JAX it does not see the weights."""
    train(trained := model(), folder, TrainingState())
    before = [path.read_bytes() for path in folder.checkpoints()]
    variable = {
        "weights": trained.weights[0],
        "optimizer": trained.optimizer.variables[-1],
        "moving variance": trained.layers[1].moving_variance,
    }[spoilt]
    variable.assign(np.inf * np.ones(variable.shape))
    trained.optimizer.iterations.assign(99)
    said = f"^step 99: not finite and not saved: {variable.path}"
    with pytest.raises(NotFinite, match=said):
        save_checkpoint(folder, trained, TrainingState())
    assert [path.read_bytes() for path in folder.checkpoints()] == before


def test_the_best_weights_become_the_model(folder):
    train(trained := model(), folder, TrainingState())
    best = model()
    best.set_weights([w + 1 for w in best.get_weights()])
    save_best(folder, best)
    kept, saved = keep_model(folder, trained), load_model(folder.model)
    for one in (kept, saved):
        for ours, expected in zip(one.get_weights(), best.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, expected)
        assert one.evaluate(X[0], Y[0], verbose=0)  # compiled
    folder.best.unlink()
    assert keep_model(folder, trained) is trained


@pytest.mark.parametrize("damage", ["flipped", "of another model"])
def test_damaged_best_weights_are_said(folder, damage):
    train(trained := model(), folder, TrainingState())
    content = bytearray(folder.best.read_bytes())
    content[len(content) // 2] ^= 1
    folder.best.write_bytes(content)
    if damage == "of another model":
        save_best(folder, keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)]))
    with pytest.raises(UserError, match="best.npz cannot be used: .* last weights"):
        keep_model(folder, trained)
    assert not folder.model.exists()


def test_saving_the_best_makes_no_variables(folder, monkeypatch):
    """Each would cost TensorFlow some 35 KB for ever; `model.save` makes some."""
    save_best(folder, trained := model())
    made, make = [], keras.Variable.__init__

    def counted(self, *args, **options):
        made.append(self)
        make(self, *args, **options)

    monkeypatch.setattr(keras.Variable, "__init__", counted)
    save_best(folder, trained)
    assert made == []


def test_a_checkpoint_of_another_model_is_refused(folder):
    train(model(), folder, TrainingState())
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    other.compile("sgd", "mse")
    with pytest.raises(UserError, match="of another model: it holds .* this model has"):
        restore(folder, other)


def _zip(path, method, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    add_checksum(path)


HUGE = b"\x93NUMPY\x01\x00\x76\x00" + (
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }".ljust(117)
    + b"\n"
)
PICKLED = HUGE.replace(b"'<f8'", b"'|O' ").replace(b"999999999999,", b"1,           ")


@pytest.mark.parametrize(
    ("method", "members"),
    [
        (zipfile.ZIP_STORED, {}),
        (zipfile.ZIP_STORED, {"state.json": "[]"}),
        (zipfile.ZIP_STORED, {"state.json": "{"}),
        (zipfile.ZIP_STORED, {"state.json": '{"no_such": 1}'}),
        (zipfile.ZIP_STORED, {"state.json": "{}", "model/0000.npy": HUGE}),
        (zipfile.ZIP_STORED, {"state.json": "{}", "model/0000.npy": PICKLED}),
        (zipfile.ZIP_STORED, {"state.json": "{}", "model/0001.npy": b""}),
        (zipfile.ZIP_DEFLATED, {"state.json": "{}"}),
    ],
)
def test_what_is_no_checkpoint_is_refused(folder, method, members):
    """With a checksum, but not of this program: bombs, pickles, random bytes."""
    _zip(folder.checkpoint(1), method, **members)
    with pytest.raises(UserError, match="is not a checkpoint of custom_lstm"):
        restore(folder, model())


def test_a_full_disk_keeps_the_old_checkpoint(folder, monkeypatch):
    train(trained := model(), folder, TrainingState())
    before = [path.read_bytes() for path in folder.checkpoints()]

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("custom_lstm.training.checkpoints.add_checksum", full)
    trained.optimizer.iterations.assign(99)
    with pytest.raises(UserError, match="cannot write .*: No space left on device"):
        save_checkpoint(folder, trained, TrainingState())
    assert [path.read_bytes() for path in folder.checkpoints()] == before
    assert sorted(p.name for p in folder.checkpoints()[0].parent.iterdir()) == sorted(
        ["best.npz", *[p.name for p in folder.checkpoints()]]
    )
