"""Going on with a training: no step twice, none left out, and what is due is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from custom_lstm.training import callbacks
from custom_lstm.training.checkpoints import TrainingState, load_checkpoint
from custom_lstm.training.resuming import train_rest
from custom_lstm.training.runs import RunFolder

STEPS, EPOCHS = 4, 3


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "x")


def model():
    small = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    small.compile("sgd", "mse")
    return small


def train(model, folder, state, calls, **options):
    def fit(callbacks, first, last_epoch, steps):
        calls.append((first, last_epoch, steps))
        data = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1))))
        model.fit(
            data.repeat(),
            shuffle=False,
            initial_epoch=first[0],
            epochs=last_epoch,
            steps_per_epoch=steps,
            callbacks=callbacks,
            verbose=0,
        )

    return train_rest(model, folder, state, fit, epochs=EPOCHS, steps=STEPS, **options)


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (0, [((0, 0), 3, 4)]),
        (4, [((1, 0), 3, 4)]),
        (6, [((1, 2), 2, 2), ((2, 0), 3, 4)]),
        (9, [((2, 1), 3, 3)]),
        (12, []),
    ],
)
def test_only_what_is_left_is_trained(folder, done, expected):
    calls, begun = [], model()
    begun.optimizer.iterations.assign(done)
    assert not train(begun, folder, TrainingState(), calls)
    assert calls == expected
    assert int(begun.optimizer.iterations) == EPOCHS * STEPS


@pytest.mark.parametrize(("save_every", "saved"), [(0, 3), (1e6, 1)])
def test_short_epochs_spare_the_disk_and_lose_nothing(
    folder, monkeypatch, save_every, saved
):
    saves, save = [], callbacks.save_checkpoint

    def counted(path, *content):
        saves.append(path)
        save(path, *content)

    monkeypatch.setattr(callbacks, "save_checkpoint", counted)
    trained = model()
    train(trained, folder, TrainingState(), [], save_every=save_every)
    assert saves == saved * [folder.last]
    assert len(folder.history.read_text().splitlines()) == 1 + EPOCHS
    restored, state = load_checkpoint(folder.last)
    assert len(state.history) == EPOCHS
    for ours, expected in zip(
        restored.get_weights(), trained.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, expected)
