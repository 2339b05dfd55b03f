"""What the model says at each step, and how that is scored.

`value` is the course's head: one number, squared error, rounded. `totals` is a
softmax over every total that the training length allows, cross-entropy.
"""

import dataclasses

import keras
from keras import ops

HEADS = ("totals", "value")
_register = keras.saving.register_keras_serializable(package="custom_lstm")


def _answers(outputs, lowest):
    """Turn head outputs into totals `(…, 1)`: real for value, whole for totals."""
    if lowest is None:
        return ops.cast(outputs, "float32")
    return ops.cast(ops.argmax(outputs, axis=-1, keepdims=True) + lowest, "float32")


@_register
class TotalsCrossentropy(keras.losses.Loss):
    """Cross-entropy of a softmax over the totals lowest, lowest + 1, ….

    ℓ = −log softmax(outputs)[total − lowest]

    Args:
        lowest: the total that output 0 stands for.
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


def _exact(y_true, y_pred, lowest):
    right = ops.equal(ops.round(_answers(y_pred, lowest)), y_true)
    return ops.squeeze(ops.cast(right, "float32"), -1)


def _absolute_error(y_true, y_pred, lowest):
    error = ops.subtract(_answers(y_pred, lowest), y_true)
    return ops.squeeze(ops.abs(error), -1)


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
        lowest: the total that output 0 stands for; None for a value head.
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
        lowest: the total that output 0 stands for; None for a value head.
        name, dtype: as in `keras.metrics.Metric`.

    Example:

    >>> metric = AbsoluteError()
    >>> float(metric(ops.array([[[3.0], [4.0]]]), ops.array([[[3.5], [4.0]]])))
    0.25
    """

    def __init__(self, lowest=None, name="mae", dtype=None):
        super().__init__(_absolute_error, lowest, name, dtype)


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a model and everything that depends on its kind.

    Args:
        kind: `"totals"` or `"value"`.
        lowest: the lowest total possible at the training length.
        highest: the highest.

    Raises:
        ValueError: `kind` is unknown or the range is empty.

    Example:

    >>> Head("totals", -18, 18).units
    37
    """

    kind: str
    lowest: int
    highest: int

    def __post_init__(self):
        """Check the fields."""
        if self.kind not in HEADS:
            raise ValueError(f"`kind` must be one of {HEADS}. Received: {self.kind!r}")
        if self.lowest > self.highest:
            raise ValueError(
                f"`lowest` must not exceed `highest`. Received: lowest={self.lowest}, "
                f"highest={self.highest}"
            )

    @property
    def units(self) -> int:
        """Width of the dense layer."""
        return self.highest - self.lowest + 1 if self.kind == "totals" else 1

    @property
    def _lowest(self) -> int | None:
        """The total that output 0 stands for, if outputs stand for totals."""
        return self.lowest if self.kind == "totals" else None

    def layer(self, **arguments) -> keras.layers.Dense:
        """Return the dense layer, float32 under any dtype policy.

        Args:
            **arguments: others of `keras.layers.Dense`; its name is `kind` by default.
        """
        own = {"dtype": "float32", "name": self.kind}
        return keras.layers.Dense(self.units, **{**own, **arguments})

    def loss(self) -> keras.losses.Loss:
        """Return the loss that trains it."""
        if self.kind == "totals":
            return TotalsCrossentropy(self.lowest)
        return keras.losses.MeanSquaredError()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return exact match and absolute error."""
        return [ExactMatch(self._lowest), AbsoluteError(self._lowest)]

    def answers(self, outputs):
        """Turn outputs into totals, float32.

        Args:
            outputs: `(batch, time, units)`.

        Returns:
            `(batch, time)`.
        """
        return ops.squeeze(_answers(outputs, self._lowest), -1)
