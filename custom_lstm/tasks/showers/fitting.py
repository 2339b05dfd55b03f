"""The training of one network, from wherever it stands."""

import contextlib
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
from custom_lstm.training.callbacks import Recorder, StopOnInterrupt
from custom_lstm.training.checkpoints import TrainingState
from custom_lstm.training.runs import RunFolder

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

    Where it begins follows from the optimizer's step count alone, so a resumed run
    repeats no batch and leaves none out.

    Args:
        options: all options.
        folder: gets history and checkpoints.
        sets: `train` and `validation`.
        model: compiled; new or from a checkpoint.
        state: new or from the same checkpoint.

    Raises:
        UserError: the folder cannot be written, or a file of showers changed.
    """
    wanted = options.optimisation
    steps = steps_per_epoch(options.data.showers, wanted.batch_size)
    interrupt = StopOnInterrupt()
    callbacks = [interrupt, Recorder(folder, state, steps, wanted.patience)]
    epoch, step = divmod(int(model.optimizer.iterations), steps)
    spans = [(epoch, step, epoch + 1), (epoch + 1, 0, wanted.epochs)]
    for first, skipped, last in spans if step else [(epoch, 0, wanted.epochs)]:
        if first >= last or model.stop_training:
            break
        batches = training_batches(
            sets["train"],
            batch_size=wanted.batch_size,
            epochs=last,
            seed=options.run.seed,
            mirror=options.data.mirror,
            first_epoch=first,
            first_step=skipped,
        )
        with reading():
            model.fit(
                batches,
                epochs=last,
                initial_epoch=first,
                steps_per_epoch=steps - skipped,
                validation_data=evaluation_batches(sets["validation"]),
                callbacks=callbacks,
                shuffle=False,
            )
    return interrupt.interrupted


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
