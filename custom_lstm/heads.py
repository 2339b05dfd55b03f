"""What the model says at each step, and how that is scored.

`value` is the course's head: one number, squared error, rounded. `totals` is a
softmax over every total that the training length allows, cross-entropy.

Several networks, members, may answer side by side: the last axis then holds their
outputs one after the other. Each has a loss of its own; their answer is one, that of
the mean of their log-shares (totals) or of their numbers (value).
"""

import dataclasses
from typing import Any

import keras
from keras import ops

HEADS = ("totals", "value")
_register = keras.saving.register_keras_serializable(package="custom_lstm")


def _apart(outputs, members):
    """Outputs `(…, members·units)` as `(…, members, units)`."""
    units = outputs.shape[-1] // members
    return ops.reshape(outputs, (*ops.shape(outputs)[:-1], members, units))


def _answers(outputs, lowest, members):
    """Turn head outputs into totals `(…, 1)`: real for value, whole for totals."""
    outputs = _apart(ops.cast(outputs, "float32"), members)
    if lowest is None:
        return ops.mean(outputs, axis=-2)
    votes = ops.mean(ops.log_softmax(outputs), axis=-2)
    return ops.cast(ops.argmax(votes, axis=-1, keepdims=True) + lowest, "float32")


@_register
class TotalsCrossentropy(keras.losses.Loss):
    """Cross-entropy of a softmax over the totals lowest, lowest + 1, ….

    ℓ = −log softmax(outputs)[total − lowest], the mean of it over the members.

    Args:
        lowest: the total that output 0 stands for.
        members: networks whose outputs lie side by side.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Example:

    >>> loss = TotalsCrossentropy(lowest=-1)
    >>> y, logits = ops.zeros((1, 1, 1)), ops.zeros((1, 1, 3))
    >>> round(float(loss(y, logits)), 4)
    1.0986
    """

    def __init__(
        self,
        lowest,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
        members=1,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.lowest = lowest
        self.members = members

    def call(self, y_true, y_pred):
        """Return the loss of each step, `(batch, time)`."""
        y_pred = _apart(y_pred, self.members)
        labels = ops.cast(y_true, "int32") - self.lowest
        labels = ops.broadcast_to(labels, ops.shape(y_pred)[:-1])
        losses = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        return ops.mean(losses, axis=-1)

    def get_config(self):
        """Return the arguments that rebuild this loss."""
        own = {"lowest": self.lowest, "members": self.members}
        return {**super().get_config(), **own}


def _exact(y_true, y_pred, **head):
    right = ops.equal(ops.round(_answers(y_pred, **head)), y_true)
    return ops.squeeze(ops.cast(right, "float32"), -1)


def _absolute_error(y_true, y_pred, **head):
    error = ops.subtract(_answers(y_pred, **head), y_true)
    return ops.squeeze(ops.abs(error), -1)


class _TotalsMetric(keras.metrics.MeanMetricWrapper):
    """A mean over steps of a function of true totals and head outputs."""

    def __init__(self, fn, lowest, name, dtype, members):
        super().__init__(fn, name=name, dtype=dtype, lowest=lowest, members=members)
        self._head = {"lowest": lowest, "members": members}

    def get_config(self):
        """Return the arguments that rebuild this metric."""
        return {**self._head, "name": self.name, "dtype": self.dtype}


@_register
class ExactMatch(_TotalsMetric):
    """Share of steps whose rounded answer is the true total.

    Args:
        lowest: the total that output 0 stands for; None for a value head.
        name, dtype: as in `keras.metrics.Metric`.
        members: networks whose outputs lie side by side.

    Example:

    >>> metric = ExactMatch()
    >>> float(metric(ops.array([[[3.0], [4.0]]]), ops.array([[[3.4], [4.6]]])))
    0.5
    """

    def __init__(self, lowest=None, name="exact", dtype=None, members=1):
        super().__init__(_exact, lowest, name, dtype, members)


@_register
class AbsoluteError(_TotalsMetric):
    """Mean absolute distance of the answer from the true total.

    Args:
        lowest: the total that output 0 stands for; None for a value head.
        name, dtype: as in `keras.metrics.Metric`.
        members: networks whose outputs lie side by side.

    Example:

    >>> metric = AbsoluteError()
    >>> float(metric(ops.array([[[3.0], [4.0]]]), ops.array([[[3.5], [4.0]]])))
    0.25
    """

    def __init__(self, lowest=None, name="mae", dtype=None, members=1):
        super().__init__(_absolute_error, lowest, name, dtype, members)


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a model and everything that depends on its kind.

    Args:
        kind: `"totals"` or `"value"`.
        lowest: the lowest total possible at the training length.
        highest: the highest.
        members: networks that answer side by side, each through such a head.

    Raises:
        ValueError: `kind` is unknown, the range is empty or there is no member.

    Example:

    >>> Head("totals", -18, 18).units
    37
    """

    kind: str
    lowest: int
    highest: int
    members: int = 1

    def __post_init__(self):
        """Check the fields."""
        if self.kind not in HEADS:
            raise ValueError(f"`kind` must be one of {HEADS}. Received: {self.kind!r}")
        if self.lowest > self.highest:
            raise ValueError(
                f"`lowest` must not exceed `highest`. Received: lowest={self.lowest}, "
                f"highest={self.highest}"
            )
        if self.members < 1:
            raise ValueError(f"`members` must be positive. Received: {self.members}")

    @property
    def units(self) -> int:
        """Width of each member's dense layer."""
        return self.highest - self.lowest + 1 if self.kind == "totals" else 1

    @property
    def _reading(self) -> dict[str, Any]:
        lowest = self.lowest if self.kind == "totals" else None
        return {"lowest": lowest, "members": self.members}

    def layer(self, **arguments) -> keras.layers.Dense:
        """Return a member's dense layer, float32 under any dtype policy.

        Args:
            **arguments: others of `keras.layers.Dense`; its name is `kind` by default.
        """
        own = {"dtype": "float32", "name": self.kind}
        return keras.layers.Dense(self.units, **{**own, **arguments})

    def loss(self) -> keras.losses.Loss:
        """Return the loss that trains it."""
        if self.kind == "totals":
            return TotalsCrossentropy(self.lowest, members=self.members)
        return keras.losses.MeanSquaredError()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return exact match and absolute error."""
        return [ExactMatch(**self._reading), AbsoluteError(**self._reading)]

    def answers(self, outputs):
        """Turn outputs into totals, float32.

        Args:
            outputs: `(batch, time, members·units)`.

        Returns:
            `(batch, time)`.
        """
        return ops.squeeze(_answers(outputs, **self._reading), -1)
