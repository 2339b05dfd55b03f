"""Losses of the digits' network, and the metrics of its answers."""

import keras
from keras import ops

from custom_lstm.cells.validation import check_positive
from custom_lstm.tasks.digits.symbols import whole_totals

_register = keras.saving.register_keras_serializable(package="custom_lstm")


@_register
class TotalsCrossentropy(keras.losses.Loss):
    """Cross-entropy of a softmax over the totals lowest, lowest + 1, ….

    ℓ = −log softmax(outputs)[total − lowest]

    Args:
        lowest: the total of output 0.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Example:
        >>> loss = TotalsCrossentropy(lowest=-1)
        >>> y, logits = ops.zeros((1, 1, 1)), ops.zeros((1, 1, 3))
        >>> round(float(loss(y, logits)), 4)
        1.0986
    """

    def __init__(self, lowest, reduction="sum_over_batch_size", name=None, dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.lowest = lowest

    def call(self, y_true, y_pred):
        """Return the loss of each step, `(batch, time)`."""
        labels = ops.cast(ops.squeeze(y_true, -1), "int32") - self.lowest
        return ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)

    def get_config(self):
        """Return the arguments that rebuild this loss."""
        return {**super().get_config(), "lowest": self.lowest}


@_register
class Cauchy(keras.losses.Loss):
    """The negative logarithm of a Cauchy distribution around the number:

        ℓ = log(1 + (error/scale)²)

    Like the squared error where the error is below `scale`, and ever flatter above: a
    digit that is misread pulls less at all others than it would by its square.

    Args:
        scale: of the distribution, in the targets' unit; positive.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: `scale` is not a positive number.

    Example:
        >>> loss = Cauchy(scale=2.0)
        >>> round(float(loss(ops.zeros((1, 1, 1)), ops.full((1, 1, 1), 2.0))), 4)
        0.6931
    """

    def __init__(
        self, scale=0.5, reduction="sum_over_batch_size", name=None, dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.scale = check_positive("Cauchy", "scale", scale)

    def call(self, y_true, y_pred):
        """Return the loss of each step, `(batch, time)`."""
        error = (y_pred - y_true) / self.scale
        return ops.mean(ops.log1p(ops.square(error)), axis=-1)

    def get_config(self):
        """Return the arguments that rebuild this loss."""
        return {**super().get_config(), "scale": self.scale}


class _TotalsMetric(keras.metrics.MeanMetricWrapper):
    """A mean over steps of a function of true totals and head outputs."""

    def __init__(self, fn, lowest, name, dtype):
        super().__init__(fn, name=name, dtype=dtype, lowest=lowest)
        self.lowest = lowest

    def get_config(self):
        """Return the arguments that rebuild this metric."""
        return {"lowest": self.lowest, "name": self.name, "dtype": self.dtype}


@_register
class ExactMatch(_TotalsMetric):
    """Share of steps whose rounded answer is the true total.

    Args:
        lowest: the total of output 0; None for a value head.
        name, dtype: as in `keras.metrics.Metric`.

    Example:
        >>> metric = ExactMatch()
        >>> float(metric(ops.array([[[3.0], [4.0]]]), ops.array([[[3.4], [4.6]]])))
        0.5
    """

    def __init__(self, lowest=None, name="exact", dtype=None):
        super().__init__(_exact, lowest, name, dtype)


@_register
class AbsoluteError(_TotalsMetric):
    """Mean absolute distance of the answer from the true total.

    Args:
        lowest: the total of output 0; None for a value head.
        name, dtype: as in `keras.metrics.Metric`.

    Example:
        >>> metric = AbsoluteError()
        >>> float(metric(ops.array([[[3.0], [4.0]]]), ops.array([[[3.5], [4.0]]])))
        0.25
    """

    def __init__(self, lowest=None, name="mae", dtype=None):
        super().__init__(_absolute_error, lowest, name, dtype)


def answers_of(outputs, lowest):
    """Turn head outputs into totals `(…, 1)`: real for value, whole for all others.

    Those of a network with symbols in training are what the finished model would say.
    """
    if lowest is None and outputs.shape[-1] > 1:
        outputs = whole_totals(outputs)
    if lowest is None:
        return ops.cast(outputs, "float32")
    return ops.cast(ops.argmax(outputs, axis=-1, keepdims=True) + lowest, "float32")


def _exact(y_true, y_pred, lowest):
    right = ops.equal(ops.round(answers_of(y_pred, lowest)), y_true)
    return ops.squeeze(ops.cast(right, "float32"), -1)


def _absolute_error(y_true, y_pred, lowest):
    error = ops.subtract(answers_of(y_pred, lowest), y_true)
    return ops.squeeze(ops.abs(error), -1)
