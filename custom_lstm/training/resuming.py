"""Going on with a training, from wherever it stands."""

from collections.abc import Callable, Iterable

import keras

from custom_lstm.training.callbacks import Recorder, StopOnInterrupt
from custom_lstm.training.checkpoints import TrainingState
from custom_lstm.training.runs import RunFolder


def train_rest(
    model: keras.Model,
    folder: RunFolder,
    state: TrainingState,
    fit: Callable[..., object],
    *,
    epochs: int,
    steps: int,
    patience: int = 0,
    save_every: float = 0,
    callbacks: Iterable[keras.callbacks.Callback] = (),
) -> bool:
    """Train what is left of the epochs; return whether Ctrl-C ended it.

    Where it begins follows from the optimizer's step count alone, so a resumed
    run repeats no batch and leaves none out.

    Args:
        model: compiled; new or from a checkpoint.
        folder: gets history and checkpoints.
        state: new or from the same checkpoint.
        fit: called as `fit(callbacks, (epoch, step), last_epoch, steps)`: trains from
            that step of that epoch up to `last_epoch`, `steps` steps an epoch.
        epochs: of the whole run.
        steps: in an epoch.
        patience, save_every: see `Recorder`.
        callbacks: besides those that record and stop.
    """
    interrupt = StopOnInterrupt()
    recorder = Recorder(folder, state, steps, patience, save_every)
    callbacks = [interrupt, recorder, *callbacks]
    epoch, step = divmod(int(model.optimizer.iterations), steps)
    if step:  # an epoch that was cut short
        fit(callbacks, (epoch, step), epoch + 1, steps - step)
        epoch += 1
    if epoch < epochs and not model.stop_training:
        fit(callbacks, (epoch, 0), epochs, steps)
    return interrupt.interrupted
