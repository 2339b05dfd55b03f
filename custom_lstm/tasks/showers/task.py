"""A whole run: showers, networks, training, scores, pictures.

A run's folder holds config.json, scores.json, results.npz, showers.png, saliency.png,
and for each network a folder with history.csv, curves.png, model.keras, checkpoints/.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from custom_lstm import plots
from custom_lstm.errors import UserError
from custom_lstm.options import to_json
from custom_lstm.tasks.showers import data as records
from custom_lstm.tasks.showers.data import (
    Sets,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from custom_lstm.tasks.showers.evaluate import finish
from custom_lstm.tasks.showers.networks import build_compiled
from custom_lstm.tasks.showers.options import Options, from_json
from custom_lstm.training.checkpoints import TrainingState, restore
from custom_lstm.training.kept_models import keep_model
from custom_lstm.training.resuming import keras_fit, train_rest
from custom_lstm.training.runs import RunFolder, resume_command
from custom_lstm.training.terminal import verbosity

TASK = "showers"
"""This job's name in a run folder."""


def start(options: Options) -> int:
    """Train from the beginning, score and draw.

    Returns:
        The exit code: 0, or 130 if Ctrl-C cut the training short.

    Raises:
        UserError: files of showers are damaged, or a folder cannot be written.
    """
    sets = _sets(options)
    name = options.run.name or "-".join((TASK, *options.model.models))
    folder = RunFolder.create(options.run.runs, name, options.model.models)
    folder.write_config(TASK, to_json(options))
    return _go(options, folder, sets)


def go_on(asked: Options) -> int:
    """Go on with run `asked.run.resume`: train what is left, score and draw.

    Returns:
        The exit code, as `start`.

    Raises:
        UserError: the folder is missing, damaged or not this task's.
    """
    assert asked.run.resume is not None
    folder = RunFolder.open(asked.run.resume)
    options = folder.read_options(TASK, from_json)
    if asked.data.data_dir is not None:
        data = dataclasses.replace(options.data, data_dir=asked.data.data_dir)
        options = dataclasses.replace(options, data=data)
    return _go(options, folder, _sets(options))


def _sets(options: Options) -> Sets:
    """Have all showers in files."""
    data = options.data
    counts = data.showers, data.test_showers // 2, data.test_showers
    sets = {
        name: records.shards_of(name, count, options.run.seed, data.data_dir)
        for name, count in zip(records.SETS, counts, strict=True)
    }
    records.ensure([shard for shards in sets.values() for shard in shards])
    return sets


def _go(options: Options, folder: RunFolder, sets: Sets) -> int:
    """Train every network as far as it is not, then score those that are."""
    interrupted = False
    with folder.claimed():
        for name in options.model.models:
            interrupted = _train(name, options, folder.part(name), sets)
            if interrupted:
                break
        with reading():
            finish(options, folder, sets)
    if interrupted:
        print(f"\nStopped early; go on with\n  {resume_command(folder)}")
        return 130
    print(
        f"\nThe run, with its pictures, is in {folder.path}. Try next:\n"
        f"  python train.py compare {folder.path.parent}"
    )
    return 0


def _train(name: str, options: Options, part: RunFolder, sets: Sets) -> bool:
    """Train one network; put its best weights and its curves into its folder."""
    steps = steps_per_epoch(options.data.showers, options.optimisation.batch_size)
    model = build_compiled(name, options, steps)
    state = restore(part, model)
    if not state.history:
        model.summary()
    interrupted = _train_rest(options, part, sets, model, state)
    keep_model(part, model)
    if state.history:
        columns = state.history[0].keys() - {"epoch"}
        history = {key: [row[key] for row in state.history] for key in columns}
        plots.save(plots.curves(history), part.picture("curves"))
    return interrupted


def _train_rest(
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
