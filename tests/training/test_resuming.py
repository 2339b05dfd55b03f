"""Going on with a training: no step twice, none left out, and all that has a state."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from custom_lstm.training import callbacks
from custom_lstm.training.checkpoints import (
    TrainingState,
    restore,
    save_checkpoint,
)
from custom_lstm.training.keeping import Keeping
from custom_lstm.training.loop import custom_fit
from custom_lstm.training.resuming import keras_fit, train_rest
from custom_lstm.training.runs import RunFolder
from custom_lstm.training.signals import Stopping, Terminated

STEPS, EPOCHS = 4, 3
RNG = np.random.default_rng(0)
SELDOM = Keeping()
X = RNG.normal(size=(EPOCHS * STEPS, 5, 3)).astype("float32")
Y = RNG.normal(size=(EPOCHS * STEPS, 5, 1)).astype("float32")


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "x")


def model(**optimizer):
    """A model with everything that has a state: dropout, normalisation, EMA."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    small = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=2),
            layers.Dense(1),
        ]
    )
    adam = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, **optimizer)
    small.compile(adam, keras.losses.MeanSquaredError(), weighted_metrics=["mae"])
    return small


def fitting(model, calls, loop="fit", x=X, at_step=None):
    """What `train_rest` calls; `at_step` is called with the number of every step."""
    metrics = [keras.metrics.Mean(name="loss"), keras.metrics.MeanAbsoluteError("mae")]
    weight = np.ones((5, 1), "float32")

    def fit(callbacks, first, last_epoch, steps):
        calls.append((first, last_epoch, steps))
        begin = first[0] * STEPS + first[1]
        data = tf.data.Dataset.from_tensor_slices((x[begin:], Y[begin:]))
        validation = [(X[0], Y[0], weight)]
        watched = [keras.callbacks.LambdaCallback(), *callbacks]
        if at_step is not None:
            watched[0].on_train_batch_end = lambda batch, logs=None: at_step(
                int(model.optimizer.iterations)
            )
        if loop == "fit":
            validation = tf.data.Dataset.from_tensors(validation[0])
            keras_fit(
                model,
                data,
                watched,
                first,
                last_epoch,
                steps,
                validation_data=validation,
                verbose=0,
            )
        else:
            custom_fit(
                model,
                data,
                metrics=metrics,
                epochs=last_epoch,
                initial_epoch=first[0],
                steps_per_epoch=steps,
                validation_data=validation,
                callbacks=watched,
                verbose=0,
            )

    return fit, (metrics if loop == "custom" else None)


def train(model, folder, state, calls=(), loop="fit", save=SELDOM, **options):
    more = {k: options.pop(k) for k in ("x", "at_step") if k in options}
    fit, metrics = fitting(model, [] if calls == () else calls, loop, **more)
    return train_rest(
        model,
        folder,
        state,
        fit,
        epochs=EPOCHS,
        steps=STEPS,
        keeping=save,
        metrics=None if metrics is None else lambda: metrics,
        **options,
    )


def variables(model):
    return [
        keras.ops.convert_to_numpy(v)
        for v in [*model.variables, *model.optimizer.variables]
    ]


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
    """Saved without it, and made good when the run goes on; TensorBoard is told too."""
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

    end = callbacks.Recorder.on_test_batch_end
    monkeypatch.setattr(callbacks.Recorder, "on_test_batch_end", in_validation)
    with pytest.raises(Terminated):
        train(model(), cut, TrainingState(), loop=loop, callbacks=told())
    assert reached == [STEPS]
    state = restore(cut, resumed := model())
    assert state.history == []
    train(resumed, cut, state, loop=loop, callbacks=told())
    assert cut.checkpoints()[0].read_bytes() == whole.checkpoints()[0].read_bytes()
    validated = EventAccumulator(str(cut.tensorboard / "validation")).Reload()
    assert len(validated.Tensors("epoch_loss")) == EPOCHS


class AskedAtAnUnluckyLine(Keeping):
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
    ("keeping", "saved"),
    [
        (Keeping(), 1),
        (Keeping(save_minutes=0), EPOCHS * STEPS + 1),
        (Keeping(save_steps=5), 3),
    ],
)
def test_checkpoints_are_as_frequent_as_asked(folder, monkeypatch, keeping, saved):
    saves = []

    def counted(*content):
        saves.append(save_checkpoint(*content))

    monkeypatch.setattr(callbacks, "save_checkpoint", counted)
    trained = model()
    train(trained, folder, TrainingState(), save=keeping)
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
