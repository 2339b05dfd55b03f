"""Going on with a training, from wherever it stands."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from custom_lstm.errors import NotFinite
from custom_lstm.training.callbacks import FiniteCheck, Recorder
from custom_lstm.training.checkpoints import TrainingState, steps_done
from custom_lstm.training.history import timed
from custom_lstm.training.keeping import Keeping
from custom_lstm.training.kept_models import digest
from custom_lstm.training.runs import RunFolder, resume_command
from custom_lstm.training.signals import Stopped, Stopping, Terminated


def train_rest(
    model: keras.Model,
    folder: RunFolder,
    state: TrainingState,
    fit: Callable[..., object],
    *,
    epochs: int,
    steps: int,
    keeping: Keeping,
    patience: int = 0,
    metrics: Callable[[], Sequence[keras.metrics.Metric]] | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    from_all: Callable[[int], int] | None = None,
) -> bool:
    """Train what is left of the epochs; return whether Ctrl-C ended it.

    Where it begins follows from the optimizer's step count alone, so a resumed
    run repeats no batch and leaves none out; all else that has a state was in the
    checkpoint, so it comes out as if it had never stopped.

    Args:
        model: compiled; new, or restored from a checkpoint.
        folder: gets history, checkpoints and the time it took.
        state: new, or from the same checkpoint.
        fit: called as `fit(callbacks, (epoch, step), last_epoch, steps)`: trains from
            that step of that epoch up to `last_epoch`, `steps` steps an epoch; with
            0 steps it does what comes after an epoch's last one. See `keras_fit`.
        epochs: of the whole run.
        steps: in an epoch.
        keeping: when to write a checkpoint.
        patience: see `Recorder`.
        metrics: returns those that the loop keeps over an epoch; by default the
            model's own.
        callbacks: besides those that record and stop.
        from_all: see `Stopping`.

    Raises:
        Terminated: SIGTERM came; the checkpoint is written.
        NotFinite: a step spoiled the numbers; the last checkpoint is from before it.
        UserError: the folder cannot be written.
    """
    if keeping.deterministic:
        _be_deterministic()
    callbacks = list(callbacks)
    began = time.monotonic()
    with timed(folder), Stopping(from_all) as stopping:
        recorder = Recorder(
            folder,
            state,
            steps,
            metrics or (lambda: model.metrics),
            stopping,
            keeping,
            patience,
        )
        try:
            _go(fit, model, recorder, [FiniteCheck(), recorder, *callbacks], epochs)
        except Stopped:
            for callback in callbacks:
                callback.on_train_end()
        except NotFinite:
            recorder.write_history()
            raise
    _tell(model, recorder, time.monotonic() - began)
    if stopping.asked is not None and stopping.asked.name == "SIGTERM":
        raise Terminated(
            f"terminated after step {steps_done(model)}, which is saved; "
            f"go on with\n  {resume_command(folder)}"
        )
    return stopping.asked is not None


def keras_fit(
    model: keras.Model,
    batches: Any,
    callbacks: Sequence[keras.callbacks.Callback],
    first: tuple[int, int],
    last_epoch: int,
    steps: int,
    *,
    validation_data: Any = None,
    verbose: int = 1,
) -> None:
    """Train with `model.fit`, as `train_rest` asks for it.

    Args:
        model: compiled.
        batches: what `fit` takes, from step `first` on.
        callbacks, first, last_epoch, steps: see `train_rest`.
        validation_data: what `evaluate` takes, if there is any.
        verbose: as in `fit`.
    """
    if steps:
        if first[1]:  # its metrics must exist to be brought to where they were
            model.evaluate(batches, steps=1, verbose=0)
        model.fit(
            batches,
            shuffle=False,
            epochs=last_epoch,
            initial_epoch=first[0],
            steps_per_epoch=steps,
            validation_data=validation_data,
            callbacks=list(callbacks),
            verbose=verbose,
        )
        return
    logs = {}
    calls = keras.callbacks.CallbackList(list(callbacks), model=model)
    if validation_data is not None:
        logs = model.evaluate(
            validation_data, callbacks=calls, return_dict=True, verbose=0
        )
    calls.on_epoch_end(first[0], {f"val_{name}": v for name, v in logs.items()})
    model.optimizer.finalize_variable_values(model.trainable_variables)


def _go(fit, model, recorder, callbacks, epochs):
    """Call `fit` for the rest of an epoch that was cut short, and for the others."""
    model.stop_training = False
    steps = recorder.steps_per_epoch
    epoch, step = divmod(steps_done(model), steps)
    weights = _Weights()
    if recorder.state.unfinished is not None:
        fit([weights, *callbacks], (epoch - 1, steps), epoch, 0)
    elif step:
        fit([weights, *callbacks], (epoch, step), epoch + 1, steps - step)
        epoch += 1
    if epoch < epochs and not recorder.exhausted:
        weights.bring_back()
        fit(callbacks, (epoch, 0), epochs, steps)
    recorder.finish()


class _Weights(keras.callbacks.Callback):
    """Remember the weights of an epoch's end.

    When a loop ends, the optimizer puts its moving averages, if it keeps any, in the
    weights' place; where there are epochs to come, that is too early.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: list = []

    def on_epoch_end(self, epoch, logs=None):
        """Copy them."""
        variables = self.model.trainable_variables
        self._values = [(v, keras.ops.convert_to_numpy(v)) for v in variables]

    def bring_back(self):
        """Undo what came after."""
        for variable, value in self._values:
            variable.assign(value)


def _tell(model, recorder, seconds):
    """Say what the checkpoints cost, and which weights came out."""
    if recorder.saves:
        share = recorder.seconds / seconds
        print(
            f"\nCheckpoints: {recorder.saves}, which took {recorder.seconds:.1f} s, "
            f"{share:.1%} of the training; weights (SHA-256) {digest(model)}"
        )


def _be_deterministic():
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
