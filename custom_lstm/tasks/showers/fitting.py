"""The training of one network, from wherever it stands."""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from custom_lstm.errors import UserError
from custom_lstm.tasks.showers.options import Options
from custom_lstm.tasks.showers.records import Shard
from custom_lstm.tasks.showers.streams import (
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from custom_lstm.training.checkpoints import TrainingState
from custom_lstm.training.resuming import keras_fit, train_rest
from custom_lstm.training.runs import RunFolder
from custom_lstm.training.terminal import verbosity

Sets = dict[str, list[Shard]]
"""The files of each set of showers, by its name."""


def train(
    options: Options,
    folder: RunFolder,
    sets: Sets,
    model: keras.Model,
    state: TrainingState,
) -> bool:
    """Train what is left of the epochs; return whether Ctrl-C ended it.

    Args:
        options: all options.
        folder: gets history and checkpoints.
        sets: `train` and `validation`.
        model: compiled; new or from a checkpoint.
        state: new or from the same checkpoint.

    Raises:
        UserError: the folder cannot be written, or a file of showers changed.
    """
    return train_rest(
        model,
        folder,
        state,
        functools.partial(_fit, options, sets, model),
        epochs=options.optimisation.epochs,
        steps=steps_per_epoch(options.data.showers, options.optimisation.batch_size),
        keeping=options.keeping,
        patience=options.optimisation.patience,
    )


def _fit(options, sets, model, callbacks, first, last_epoch, steps):
    """Train from `(epoch, step)` up to `last_epoch`."""
    epoch, step = first
    batches = training_batches(
        sets["train"],
        batch_size=options.optimisation.batch_size,
        epochs=last_epoch,
        seed=options.run.seed,
        mirror=options.data.mirror,
        first_epoch=epoch,
        first_step=step,
    )
    with reading():
        keras_fit(
            model,
            batches,
            callbacks,
            first,
            last_epoch,
            steps,
            validation_data=evaluation_batches(sets["validation"]),
            verbose=verbosity(metrics=8),
        )


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Say in one line if a file, checked at the start, is not what it was then.

    Raises:
        UserError: it is gone or damaged.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
        raise UserError(
            f"a file of showers changed while it was read: {error.message}"
        ) from error
