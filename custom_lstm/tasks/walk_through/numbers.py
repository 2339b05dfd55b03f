"""The sequences, and what is to be said of them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TRAINING = np.array([[1, 2, 5, 6], [5, 7, 7, 8], [3, 4, 5, 7]], np.float32)
TEST = np.array([[1, 2, 3, 4], [4, 5, 6, 7]], np.float32)
CONSTANT = 2.0
"""The second feature of every step."""


def inputs(numbers: Floats, features: int) -> Floats:
    """Give the inputs of the LSTM.

    Args:
        numbers: `(sequences, time)`.
        features: 1, or 2 for the number and a constant beside it.

    Returns:
        `(sequences, time, features)`.

    Example:

    >>> inputs(TRAINING, 2)[0].tolist()
    [[1.0, 2.0], [2.0, 2.0], [5.0, 2.0], [6.0, 2.0]]
    """
    beside = np.full_like(numbers, CONSTANT)
    return np.stack([numbers, beside][:features], axis=-1)


def targets(numbers: Floats) -> Floats:
    """Give y_t = x_t + x_{t−1}, with x_0 = 0.

    Args:
        numbers: `(sequences, time)`.

    Example:

    >>> targets(TRAINING)[0].tolist()
    [1.0, 3.0, 7.0, 11.0]
    """
    return numbers + np.pad(numbers, ((0, 0), (1, 0)))[:, :-1]
