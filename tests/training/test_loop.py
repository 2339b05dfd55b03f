"""The custom loop's own refusals; what it trains is compared in test_session."""

import keras
import pytest
import tensorflow as tf

from custom_lstm.training.loop import custom_fit


def test_metrics_must_begin_with_the_mean_of_the_loss():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.MeanSquaredError())
    batches = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1))))
    metrics = [keras.metrics.MeanAbsoluteError()]
    with pytest.raises(ValueError, match=r"keras.metrics.Mean.*\['MeanAbsoluteError"):
        custom_fit(model, batches, epochs=1, steps_per_epoch=1, metrics=metrics)
