"""A small training with everything that has a state, by either loop."""

import keras
import numpy as np
import tensorflow as tf

from custom_lstm.data.sequences import prefetched
from custom_lstm.training.loop import custom_fit, fit_remaining, keras_fit
from custom_lstm.training.options import CheckpointOptions

STEPS, EPOCHS = 4, 3
RNG = np.random.default_rng(0)
SELDOM = CheckpointOptions()
X = RNG.normal(size=(EPOCHS * STEPS, 5, 3)).astype("float32")
Y = RNG.normal(size=(EPOCHS * STEPS, 5, 1)).astype("float32")


def model(**optimizer):
    """Return a model with everything that has a state: dropout, normalisation, EMA."""
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
    """Return what `fit_remaining` calls; `at_step` gets the number of every step."""
    metrics = [keras.metrics.Mean(name="loss"), keras.metrics.MeanAbsoluteError("mae")]
    weight = np.ones((5, 1), "float32")

    def fit(callbacks, first, last_epoch, steps):
        calls.append((first, last_epoch, steps))
        begin = first[0] * STEPS + first[1]
        data = prefetched(tf.data.Dataset.from_tensor_slices((x[begin:], Y[begin:])))
        validation = [(X[0], Y[0], weight)]
        watched = [keras.callbacks.LambdaCallback(), *callbacks]
        if at_step is not None:
            watched[0].on_train_batch_end = lambda batch, logs=None: at_step(
                int(model.optimizer.iterations)
            )
        if loop == "fit":
            validation = prefetched(tf.data.Dataset.from_tensors(validation[0]))
            keras_fit(
                model,
                data,
                watched,
                first,
                last_epoch,
                steps,
                validation_data=validation,
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
    return fit_remaining(
        model,
        folder,
        state,
        fit,
        epochs=EPOCHS,
        steps=STEPS,
        checkpoints=save,
        verbose=0,
        metrics=None if metrics is None else lambda: metrics,
        **options,
    )


def variables(model):
    return [
        keras.ops.convert_to_numpy(v)
        for v in [*model.variables, *model.optimizer.variables]
    ]
