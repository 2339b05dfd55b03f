"""What the layers return, and the function that their gates are made of."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class Gradients(NamedTuple):
    """dL/da for every array a that a loss L depends on, each in the shape of its a.

    `cell_backward` gives those of one step (`inputs` and `states` are then the step's
    own), `backward` those of the whole sequence (`states` are the initial ones).
    """

    inputs: Array
    states: list[Array]
    kernel: Array
    recurrent_kernel: Array
    bias: Array


class Run(NamedTuple):
    """What `forward` returns.

    Attributes:
        outputs: y: h of every step, `(batch, time, units)`, or of the last,
            `(batch, units)`.
        states: those after the last step, `(batch, units)` each.
        notes: what each step wrote down for the way back.
        mask: which steps counted, `(batch, time)`.
    """

    outputs: Array
    states: list[Array]
    notes: list[Any]
    mask: Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), without overflow at either end.

    Its derivative is σ(x)·(1 − σ(x)).

    Example:

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)
