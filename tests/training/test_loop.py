"""Training what is left: no step twice, none left out, all that has a state; NaN."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small_training import EPOCHS, STEPS, X, Y, model, train, variables
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from custom_lstm.errors import NotFinite
from custom_lstm.training import callbacks
from custom_lstm.training.checkpoints import (
    TrainingState,
    restore,
    save_checkpoint,
)
from custom_lstm.training.loop import custom_fit
from custom_lstm.training.options import CheckpointOptions
from custom_lstm.training.run_folder import RunFolder
from custom_lstm.training.signals import Stopping, Terminated


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


def stop_at(step):
    def at_step(number):
        if number == step:
            signal.raise_signal(signal.SIGTERM)

    return at_step


@pytest.mark.parametrize("loop", ["fit", "custom"])
@pytest.mark.parametrize("step", [1, 3, 4, 5, 11, 12])
def test_stopped_and_resumed_is_as_if_left_alone(tmp_path, loop, step):
    """Weights, moving averages, seeds, optimizer, EMA and history, to the last bit."""
    whole = RunFolder.create(tmp_path, "whole")
    train(alone := model(), whole, TrainingState(), loop=loop)
    cut = RunFolder.create(tmp_path, "cut")
    with pytest.raises(Terminated, match=f"after step {step}, which is saved"):
        train(model(), cut, TrainingState(), loop=loop, at_step=stop_at(step))
    state = restore(cut, resumed := model())
    assert int(resumed.optimizer.iterations) == step
    train(resumed, cut, state, loop=loop)
    for ours, expected in zip(variables(resumed), variables(alone), strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert cut.checkpoints()[0].read_bytes() == whole.checkpoints()[0].read_bytes()
    assert cut.history.read_text() == whole.history.read_text()


@pytest.mark.parametrize("loop", ["fit", "custom"])
def test_a_signal_ends_the_validation_too(tmp_path, loop, monkeypatch):
    """Saved without it, and done on resuming; TensorBoard gets it too."""
    whole = RunFolder.create(tmp_path, "whole")
    train(model(), whole, TrainingState(), loop=loop)
    cut = RunFolder.create(tmp_path, "cut")
    reached = []

    def told():
        return [callbacks.TensorBoard(cut.tensorboard)]

    def in_validation(recorder, batch, logs=None):
        if not reached:
            reached.append(int(recorder.model.optimizer.iterations))
            signal.raise_signal(signal.SIGTERM)
        end(recorder, batch, logs)

    end = callbacks.RunCallback.on_test_batch_end
    monkeypatch.setattr(callbacks.RunCallback, "on_test_batch_end", in_validation)
    with pytest.raises(Terminated):
        train(model(), cut, TrainingState(), loop=loop, callbacks=told())
    assert reached == [STEPS]
    state = restore(cut, resumed := model())
    assert state.history == []
    train(resumed, cut, state, loop=loop, callbacks=told())
    assert cut.checkpoints()[0].read_bytes() == whole.checkpoints()[0].read_bytes()
    validated = EventAccumulator(str(cut.tensorboard / "validation")).Reload()
    assert len(validated.Tensors("epoch_loss")) == EPOCHS


class AskedAtAnUnluckyLine(CheckpointOptions):
    """SIGTERM comes while the recorder makes up its mind whether to save."""

    calls = 0

    def due(self, steps, seconds):
        type(self).calls += 1
        if self.calls == self.at_call:
            signal.raise_signal(signal.SIGTERM)
        return False


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5, 6])
def test_a_signal_while_it_is_decided_whether_to_save_loses_nothing(tmp_path, call):
    whole = RunFolder.create(tmp_path, "whole")
    train(model(), whole, TrainingState())
    cut = RunFolder.create(tmp_path, "cut")
    unlucky = type("", (AskedAtAnUnluckyLine,), {"at_call": call})()
    with pytest.raises(Terminated, match="which is saved") as caught:
        train(trained := model(), cut, TrainingState(), save=unlucky)
    assert f"after step {trained.optimizer.iterations.numpy()}," in str(caught.value)
    state = restore(cut, resumed := model())
    assert int(resumed.optimizer.iterations) == int(trained.optimizer.iterations)
    train(resumed, cut, state)
    assert cut.checkpoints()[0].read_bytes() == whole.checkpoints()[0].read_bytes()
    assert cut.history.read_text() == whole.history.read_text()


@pytest.mark.parametrize(
    ("checkpoints", "saved"),
    [
        (CheckpointOptions(), 1),
        (CheckpointOptions(save_minutes=0), EPOCHS * STEPS + 1),
        (CheckpointOptions(save_steps=5), 3),
    ],
)
def test_checkpoints_are_as_frequent_as_asked(folder, monkeypatch, checkpoints, saved):
    saves = []

    def counted(*content):
        saves.append(save_checkpoint(*content))

    monkeypatch.setattr(callbacks, "save_checkpoint", counted)
    trained = model()
    train(trained, folder, TrainingState(), save=checkpoints)
    assert len(saves) == saved
    assert len(folder.history.read_text().splitlines()) == 1 + EPOCHS
    assert folder.checkpoints()[0] == saves[-1] == folder.checkpoint(EPOCHS * STEPS)
    assert len(folder.checkpoints()) == min(2, len(set(saves)))


def test_a_run_out_of_patience_stays_ended(folder):
    best_ever = TrainingState(best=-1.0)
    train(trained := model(), folder, best_ever, patience=2)
    assert int(trained.optimizer.iterations) == 2 * STEPS
    calls, state = [], restore(folder, trained)
    train(trained, folder, state, calls, patience=2)
    assert calls == []


def test_the_second_ctrl_c_drops_everything():
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:  # a process in the background of a script begins with SIGINT ignored
        with pytest.raises(KeyboardInterrupt), Stopping():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)


EVERY_STEP = CheckpointOptions(save_minutes=0)


@pytest.mark.parametrize("loop", ["fit", "custom"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("step", [1, 4, 6, EPOCHS * STEPS])
def test_a_bad_batch_ends_it(folder, loop, value, step):
    x = X.copy()
    x[step - 1, 0, 0] = value
    with pytest.raises(NotFinite, match=f"^step {step}: the loss is"):
        train(model(), folder, TrainingState(), loop=loop, save=EVERY_STEP, x=x)
    if step == 1:
        assert folder.checkpoints() == []
        return
    restore(folder, kept := model())
    assert int(kept.optimizer.iterations) == step - 1
    assert all(np.isfinite(v).all() for v in variables(kept))
    if step > STEPS:
        assert len(folder.history.read_text().splitlines()) > 1


@pytest.mark.parametrize("loop", ["fit", "custom"])
def test_a_gradient_alone_is_noticed(folder, loop):
    """√|x| is finite at 0, its derivative is not; the loss of that step is."""
    inputs = keras.Input((3,))
    first = keras.layers.Dense(1, kernel_initializer="zeros", name="first")
    root = keras.ops.sqrt(keras.ops.abs(first(inputs)))
    bad = keras.Model(inputs, keras.layers.Dense(1)(root))
    bad.compile("adam", keras.losses.MeanSquaredError(), weighted_metrics=["mae"])
    said = "^step 1: a gradient was not finite: it spoiled .*first/kernel"
    with pytest.raises(NotFinite, match=said):
        train(bad, folder, TrainingState(), loop=loop, save=EVERY_STEP)
    assert folder.checkpoints() == []


def test_metrics_must_begin_with_the_mean_of_the_loss():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.MeanSquaredError())
    batches = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1))))
    metrics = [keras.metrics.MeanAbsoluteError()]
    with pytest.raises(ValueError, match=r"keras.metrics.Mean.*\['MeanAbsoluteError"):
        custom_fit(model, batches, epochs=1, steps_per_epoch=1, metrics=metrics)


class Heard(keras.callbacks.Callback):
    """Write down what a loop tells a callback of the validation."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_test_begin(self, logs=None):
        self.calls.append(("begin", None, sorted(logs or {})))

    def on_test_batch_begin(self, batch, logs=None):
        self.calls.append(("batch begin", batch, sorted(logs or {})))

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append(("batch end", batch, sorted(logs or {})))

    def on_test_end(self, logs=None):
        self.calls.append(("end", None, sorted(logs or {})))


def test_the_custom_loop_tells_callbacks_of_the_validation_what_fit_does():
    data = tf.data.Dataset.from_tensors((X[0], Y[0])).repeat(2)
    validation = tf.data.Dataset.from_tensors((X[1], Y[1], np.ones((5, 1), "float32")))
    validation = validation.repeat(3)
    metrics = [keras.metrics.Mean(name="loss"), keras.metrics.MeanAbsoluteError("mae")]
    by_fit, by_loop = Heard(), Heard()
    options = {"epochs": 1, "steps_per_epoch": 2, "verbose": 0}
    options["validation_data"] = validation
    model().fit(data, callbacks=[by_fit], shuffle=False, **options)
    custom_fit(model(), data, callbacks=[by_loop], metrics=metrics, **options)
    assert by_loop.calls == by_fit.calls
    assert ("batch end", 2, ["loss", "mae"]) in by_loop.calls


def test_ctrl_c_is_answered_at_once(capfd):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Stopping() as stopping:
            signal.raise_signal(signal.SIGINT)
            said = capfd.readouterr().err
            assert stopping.requested is signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, former)
    assert "stopping after this step; a second Ctrl-C stops without saving" in said
