"""Training: the custom loop, Keras's, and what is left of a run by either of them."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from custom_lstm.errors import NotFinite
from custom_lstm.extras import extra
from custom_lstm.training.callbacks import (
    FiniteCheck,
    Progress,
    RunCallback,
    verbosity,
)
from custom_lstm.training.checkpoints import TrainingState, digest, steps_done
from custom_lstm.training.options import CheckpointOptions
from custom_lstm.training.run_folder import RunFolder, resume_command
from custom_lstm.training.signals import Stopped, Stopping, Terminated

with extra("train"):
    import tensorflow as tf

_MANY_EPOCHS = 100
"""Epochs from which on each gets a line instead of a bar."""


def custom_fit(
    model: keras.Model,
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    *,
    epochs: int,
    steps_per_epoch: int,
    metrics: Sequence[keras.metrics.Metric] | None = None,
    validation_data: Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]] | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
    verbose: int = 1,
) -> keras.callbacks.History:
    """Train as `model.fit` would, with every step written out.

    Per step, with model f, weights w, loss ℓ and the optimizer's rule:
    g = ∂ℓ(y, f(x; w))/∂w, then w ← rule(w, g).

    In the scope of a `tf.distribute` strategy each replica takes a share of the batch
    and the optimizer sums their gradients; otherwise there is one replica.

    Args:
        model: compiled with an optimizer and a `keras.losses.Loss`; TensorFlow
            backend.
        batches: `(images, totals)` pairs, `steps_per_epoch` of them an epoch; a
            `tf.data.Dataset` if there are several replicas.
        epochs: epoch to stop after, counted from 0 as in `fit`.
        steps_per_epoch: steps in an epoch.
        metrics: updated at every step with the mask as weights, reset every
            epoch; the first is the mean of the loss.
        validation_data: `(images, totals, mask)` triples, run through after
            every epoch.
        callbacks: the same ones that `fit` takes.
        initial_epoch: epoch to begin with.
        verbose: 0 quiet, 1 progress bar, 2 a line an epoch.

    Returns:
        Keras's history, with the keys that `fit` gives.

    Raises:
        ValueError: the first of `metrics` is no mean.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", keras.losses.MeanSquaredError())
        >>> data = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1))))
        >>> history = custom_fit(model, data, epochs=1, steps_per_epoch=1, verbose=0)
        >>> list(history.history)
        ['loss']
    """
    strategy = tf.distribute.get_strategy()
    steps = _Steps(model, metrics or [keras.metrics.Mean(name="loss")])
    calls = keras.callbacks.CallbackList(
        list(callbacks),
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps_per_epoch,
        model=model,
    )
    stream = iter(strategy.experimental_distribute_dataset(batches))
    if validation_data is not None:
        validation_data = strategy.experimental_distribute_dataset(validation_data)
    model.stop_training = False
    calls.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in range(initial_epoch, epochs):
        steps.reset()
        calls.on_epoch_begin(epoch)  # may restore the means of a part of an epoch
        logs = _train_epoch(steps, stream, steps_per_epoch, calls)
        logs |= _evaluate(steps, validation_data, calls)
        calls.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)
    calls.on_train_end(logs)
    return model.history


def fit_remaining(
    model: keras.Model,
    folder: RunFolder,
    state: TrainingState,
    fit: Callable[..., object],
    *,
    epochs: int,
    steps: int,
    checkpoints: CheckpointOptions,
    patience: int = 0,
    metrics: Callable[[], Sequence[keras.metrics.Metric]] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    from_all: Callable[[int], int] | None = None,
    verbose: int | None = None,
) -> bool:
    """Train what is left of the epochs; return whether Ctrl-C ended it.

    Where it begins follows from the optimizer's step count alone, so a resumed
    run repeats no batch and skips none; every other state was in the checkpoint, so
    the result is that of a run that never stopped.

    Args:
        model: compiled; new, or restored from a checkpoint.
        folder: gets history, checkpoints and the time it took.
        state: new, or from the same checkpoint.
        fit: called as `fit(callbacks, (epoch, step), last_epoch, steps)`: trains from
            that step of that epoch up to `last_epoch`, `steps` steps an epoch; with
            0 steps it does what comes after an epoch's last one. See `keras_fit`.
        epochs: of the whole run.
        steps: in an epoch.
        checkpoints: when to write one.
        patience: see `RunCallback`.
        metrics: returns those that the loop keeps over an epoch; by default the
            model's own.
        callbacks: besides those that record and stop.
        from_all: see `Stopping`.
        verbose: see `Progress`; by default what suits the output and the epochs.

    Raises:
        Terminated: SIGTERM came; the checkpoint is written.
        NotFinite: a step spoiled the numbers; the last checkpoint is from before it.
        UserError: the folder cannot be written.
    """
    if checkpoints.deterministic:
        tf.config.experimental.enable_op_determinism()
    if verbose is None:
        verbose = verbosity() if epochs <= _MANY_EPOCHS else 2
    began = time.monotonic()
    with folder.timed(), Stopping(from_all) as stopping:
        kept = metrics or (lambda: model.metrics)
        own = (state, steps, kept, stopping, checkpoints, patience)
        recorder, progress = RunCallback(folder, *own), Progress(epochs, steps, verbose)
        every = [FiniteCheck(), recorder, *callbacks, progress]
        try:
            _run_epochs(fit, model, recorder, every, epochs)
        except Stopped:
            for callback in callbacks:
                callback.on_train_end()
        except NotFinite:
            folder.write_history(state.history)
            raise
    _report(model, recorder, time.monotonic() - began)
    if stopping.requested is signal.SIGTERM:
        raise Terminated(
            f"terminated after step {steps_done(model)}, which is saved; "
            f"resume with\n  {resume_command(folder)}"
        )
    return stopping.requested is not None


def keras_fit(
    model: keras.Model,
    batches: Any,
    callbacks: Sequence[keras.callbacks.Callback],
    first: tuple[int, int],
    last_epoch: int,
    steps: int,
    *,
    validation_data: Any = None,
) -> None:
    """Train with `model.fit`, as `fit_remaining` asks for it.

    Args:
        model: compiled.
        batches: what `fit` takes, from step `first` on.
        callbacks, first, last_epoch, steps: see `fit_remaining`.
        validation_data: what `evaluate` takes, if there is any.
    """
    if steps:
        if first[1]:  # metrics must exist before they can be restored
            model.evaluate(batches, steps=1, verbose=0)
        model.fit(
            batches,
            shuffle=False,
            epochs=last_epoch,
            initial_epoch=first[0],
            steps_per_epoch=steps,
            validation_data=validation_data,
            callbacks=list(callbacks),
            verbose=0,
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


def _train_epoch(steps, stream, count, calls) -> dict[str, float]:
    """Train for `count` steps; return the means since the last reset."""
    for step in range(count):
        calls.on_train_batch_begin(step)
        steps.train(*next(stream))
        calls.on_train_batch_end(step, steps.logs())
        if steps.model.stop_training:
            break
    return steps.logs()


def _evaluate(steps, batches, calls) -> dict[str, float]:
    """Run through the validation batches, as `model.evaluate` would; return `val_…`."""
    if batches is None:
        return {}
    steps.reset()
    calls.on_test_begin()
    for number, batch in enumerate(batches):
        calls.on_test_batch_begin(number)
        steps.evaluate(*batch)
        calls.on_test_batch_end(number, steps.logs())
    logs = steps.logs()
    calls.on_test_end(logs)
    return {f"val_{name}": value for name, value in logs.items()}


def _on_every_replica(step):
    """Compile a step; without a strategy it runs once."""
    strategy = tf.distribute.get_strategy()
    return tf.function(
        lambda *batch: strategy.run(step, args=batch), reduce_retracing=True
    )


class _Steps:
    """The two compiled steps of one model, and the means they keep."""

    def __init__(self, model: keras.Model, metrics: Sequence[keras.metrics.Metric]):
        self.model = model
        self._mean_loss, *self._metrics = metrics
        if type(self._mean_loss) is not keras.metrics.Mean:
            raise ValueError(
                "custom_fit: `metrics` must begin with a `keras.metrics.Mean`, for the "
                f"loss. Received: {[type(metric).__name__ for metric in metrics]}"
            )
        model.optimizer.build(model.trainable_variables)
        self._replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.train = _on_every_replica(self._train)
        self.evaluate = _on_every_replica(self._evaluate)

    def _train(self, images, totals):
        model = self.model
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            penalties = [penalty / self._replicas for penalty in model.losses]
            loss = tf.add_n([model.loss(totals, outputs), *penalties])
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        self._record(loss, totals, outputs)

    def _evaluate(self, images, totals, mask):
        outputs = self.model(images, training=False)
        loss = self.model.loss(totals, outputs, sample_weight=mask)
        self._record(loss, totals, outputs, mask)

    def _record(self, loss, totals, outputs, mask=None):
        self._mean_loss.update_state(
            loss * self._replicas, sample_weight=tf.shape(totals)[0]
        )
        for metric in self._metrics:
            metric.update_state(totals, outputs, sample_weight=mask)

    def logs(self) -> dict[str, float]:
        """Return the means since the last reset."""
        return {m.name: float(m.result()) for m in [self._mean_loss, *self._metrics]}

    def reset(self) -> None:
        """Reset the means."""
        for metric in [self._mean_loss, *self._metrics]:
            metric.reset_state()


def _run_epochs(fit, model, recorder, callbacks, epochs):
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
    """Remember an epoch's weights, which a loop's end replaces by their averages."""

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


def _report(model, recorder, seconds):
    """Print what the checkpoints cost, and the checksum of the weights."""
    if recorder.saves:
        share = recorder.seconds / seconds
        print(
            f"\nCheckpoints: {recorder.saves}, which took {recorder.seconds:.1f} s, "
            f"{share:.1%} of the training; weights (SHA-256) {digest(model)}"
        )
