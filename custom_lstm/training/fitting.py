"""The training of a run, by either loop, from wherever it stands."""

import dataclasses
import functools

import keras

from custom_lstm import data as datasets
from custom_lstm.errors import UsageError
from custom_lstm.training.build import head_of
from custom_lstm.training.callbacks import TensorBoard
from custom_lstm.training.checkpoints import TrainingState
from custom_lstm.training.config import Config
from custom_lstm.training.loop import custom_fit
from custom_lstm.training.resuming import keras_fit, train_rest
from custom_lstm.training.runs import RunFolder
from custom_lstm.training.scoring import DIGITS_AT_ONCE
from custom_lstm.training.team import Team
from custom_lstm.training.terminal import verbosity


def steps_per_epoch(config: Config, pools: datasets.Pools) -> int:
    """Return the steps of an epoch; the remainder of the digits is dropped.

    Raises:
        UsageError: a sequence or a batch is larger than the training pool.
    """
    length, batch_size = config.data.length, config.optimisation.batch_size
    assert batch_size is not None
    try:
        return datasets.steps_per_epoch(
            len(pools.train), length, batch_size, config.model.members
        )
    except datasets.DataError as error:
        raise UsageError(
            f"--length {length} --batch-size {batch_size} cannot be: {error}"
        ) from error


def train(
    config: Config,
    team: Team,
    folder: RunFolder,
    pools: datasets.Pools,
    model: keras.Model,
    state: TrainingState,
) -> bool:
    """Train what is left of the epochs; return whether Ctrl-C ended it, in any process.

    Where it begins follows from the optimizer's step count alone, so a resumed
    run repeats no batch and leaves none out.

    Args:
        config: all options, settled for the data.
        team: the devices; its scope is entered.
        folder: gets history, times, checkpoints and TensorBoard logs.
        pools: the digits.
        model: compiled; new or from a checkpoint.
        state: new or from the same checkpoint.
    """
    epochs = config.optimisation.epochs
    assert epochs is not None
    callbacks = []
    if config.run.tensorboard:
        callbacks.append(TensorBoard(folder.tensorboard))
    metrics = None
    if config.optimisation.loop == "custom":
        metrics = [keras.metrics.Mean(name="loss"), *head_of(config).metrics()]
    return train_rest(
        model,
        folder,
        state,
        functools.partial(_fit, config, team, pools, model, metrics),
        epochs=epochs,
        steps=steps_per_epoch(config, pools),
        keeping=config.keeping,
        patience=config.optimisation.patience,
        metrics=None if metrics is None else lambda: metrics,
        callbacks=callbacks,
        from_all=team.largest if team.processes > 1 else None,
    )


def _fit(config, team, pools, model, metrics, callbacks, first, last_epoch, steps):
    """Run the loop asked for from `(epoch, step)` up to `last_epoch`."""
    data, options = config.data, config.optimisation
    epoch, step = first
    batches = datasets.training_sequences(
        pools.train,
        length=data.length,
        batch_size=options.batch_size,
        epochs=last_epoch,
        seed=config.run.seed,
        start=data.start,
        augment=augment_of(config),
        augment_decay=data.settle,
        ensemble_size=config.model.members,
        first_epoch=epoch,
        first_step=step,
        share=team.share,
    )
    validation = datasets.evaluation_sequences(
        pools.validation,
        length=data.length,
        batch_size=max(1, DIGITS_AT_ONCE // data.length),
        start=data.start,
        multiple=team.size,
        share=team.share,
    )
    common = {"validation_data": validation, "verbose": verbosity(metrics=3)}
    if metrics is None:
        keras_fit(model, batches, callbacks, first, last_epoch, steps, **common)
        return
    custom_fit(
        model,
        batches,
        metrics=metrics,
        epochs=last_epoch,
        initial_epoch=epoch,
        steps_per_epoch=steps,
        callbacks=callbacks,
        **common,
    )


def augment_of(config: Config) -> datasets.Augment | None:
    """Return the bounds of the warps that the options ask for."""
    data = config.data
    if not data.augment:
        return None
    names = [field.name for field in dataclasses.fields(datasets.Augment)]
    return datasets.Augment(**{name: getattr(data, name) for name in names})
