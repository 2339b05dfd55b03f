"""Which slices a network looks at."""

from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from custom_lstm.tasks.showers.generator import KINDS
from custom_lstm.tasks.showers.records import TARGETS, Shard
from custom_lstm.tasks.showers.streams import evaluation_batches


def saliency(
    model: keras.Model, shards: Sequence[Shard], batches: int = 2
) -> dict[str, npt.NDArray[np.float64]]:
    """Return how much each answer hangs on each slice.

    For output a and counts I, the mean over showers of Σ_xy |∂a/∂I(x, y, slice)|.

    Args:
        model: made by `build_network`.
        shards: the showers.
        batches: how many batches of them are looked at.

    Returns:
        By name of the output, `(kinds, slices)`; and under `deposit` the mean counts
        in each slice.
    """
    names = [*TARGETS, "deposit"]
    found: dict[str, list] = {name: [] for name in names}
    kinds = []
    for images, truth in evaluation_batches(shards).take(batches):
        kinds.append(truth["kind"].numpy()[:, 0])
        found["deposit"].append(tf.reduce_sum(images, (1, 2)).numpy())
        for name, steep in steepness(model, images).items():
            found[name].append(tf.reduce_sum(steep, (1, 2)).numpy())
    of_kind = np.eye(len(KINDS))[np.concatenate(kinds).astype(int)].T
    counts = np.maximum(of_kind.sum(1, keepdims=True), 1)
    return {name: of_kind @ np.concatenate(found[name]) / counts for name in names}


@tf.function(reduce_retracing=True)
def steepness(model: keras.Model, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return |∂a/∂I| of each answer.

    Args:
        model: made by `build_network`.
        images: counts I, `(batch, x, y, layers)`.

    Returns:
        By name of the answer a, each shower's own, a tensor like `images`.
    """
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        said = model(images, training=False)
        sums = {name: tf.reduce_sum(said[name]) for name in TARGETS}
    return {name: tf.abs(tape.gradient(total, images)) for name, total in sums.items()}
