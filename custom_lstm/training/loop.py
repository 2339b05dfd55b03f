"""The custom training loop: what `fit` does, written out."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


def custom_fit(
    model: keras.Model,
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    *,
    epochs: int,
    steps_per_epoch: int,
    metrics: Iterable[keras.metrics.Metric] | None = None,
    validation_data: Iterable[tuple[tf.Tensor, tf.Tensor, tf.Tensor]] | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
    verbose: int = 1,
) -> keras.callbacks.History:
    """Train as `model.fit` would, step by step in the open.

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
        metrics: updated at every step with the mask as weights, begun anew every
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
    metrics = list(metrics or [keras.metrics.Mean(name="loss")])
    if type(metrics[0]) is not keras.metrics.Mean:
        raise ValueError(
            "custom_fit: `metrics` must begin with a `keras.metrics.Mean`, for the "
            f"loss. Received: {[type(metric).__name__ for metric in metrics]}"
        )
    steps = _Steps(model, metrics)
    calls = keras.callbacks.CallbackList(
        list(callbacks),
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps_per_epoch,
        model=model,
    )
    strategy = tf.distribute.get_strategy()
    stream = iter(strategy.experimental_distribute_dataset(batches))
    if validation_data is not None:
        validation_data = strategy.experimental_distribute_dataset(validation_data)
    model.stop_training = False
    calls.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in range(initial_epoch, epochs):
        steps.reset()
        calls.on_epoch_begin(epoch)
        for step in range(steps_per_epoch):
            calls.on_train_batch_begin(step)
            steps.train(*next(stream))
            calls.on_train_batch_end(step, steps.logs())
            if model.stop_training:
                break
        logs = steps.logs()
        if validation_data is not None:
            steps.reset()
            for batch in validation_data:
                steps.evaluate(*batch)
                calls.on_test_batch_end(0)
            logs |= {f"val_{name}": value for name, value in steps.logs().items()}
        calls.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)
    calls.on_train_end(logs)
    return model.history


def _on_every_replica(step):
    """Compile a step; without a strategy it runs once, as it stands."""
    strategy = tf.distribute.get_strategy()
    return tf.function(
        lambda *batch: strategy.run(step, args=batch), reduce_retracing=True
    )


class _Steps:
    """The two compiled steps of one model, and the means they keep."""

    def __init__(self, model: keras.Model, metrics: Iterable[keras.metrics.Metric]):
        self._model = model
        self._mean_loss, *self._metrics = metrics
        model.optimizer.build(model.trainable_variables)
        self._replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.train = _on_every_replica(self._train)
        self.evaluate = _on_every_replica(self._evaluate)

    def _train(self, images, totals):
        model = self._model
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            penalties = [penalty / self._replicas for penalty in model.losses]
            loss = tf.add_n([model.loss(totals, outputs), *penalties])
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        self._record(loss, totals, outputs)

    def _evaluate(self, images, totals, mask):
        outputs = self._model(images, training=False)
        loss = self._model.loss(totals, outputs, sample_weight=mask)
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
        """Begin the means anew."""
        for metric in [self._mean_loss, *self._metrics]:
            metric.reset_state()
