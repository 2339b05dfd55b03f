"""What happens beside the steps: recording, checkpoints, stopping."""

import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import SupportsFloat

import keras
import numpy as np

from custom_lstm.errors import NotFinite
from custom_lstm.files import atomic_write, writing
from custom_lstm.training.checkpoints import (
    TrainingState,
    bring_home,
    save_checkpoint,
    steps_done,
)
from custom_lstm.training.keeping import Keeping
from custom_lstm.training.kept_models import save_best
from custom_lstm.training.runs import RunFolder
from custom_lstm.training.signals import Stopped, Stopping

Logs = Mapping[str, SupportsFloat] | None
MONITOR = "val_loss"


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's, which writes once an epoch, and holds its memory.

    TensorFlow remembers for ever each new `float` that it makes a tensor of, 760 bytes;
    a `numpy.float32` it forgets. Keras hands it every step's metrics, which are then
    not written, and every epoch's, as floats.

    Args:
        log_dir: folder of the logs.
    """

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """What Keras does after a step, but for the metrics."""
        super().on_train_batch_end(batch)

    def on_test_end(self, logs: Logs = None) -> None:
        """Write a validation's metrics."""
        super().on_test_end(_float32(logs))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write an epoch's metrics."""
        super().on_epoch_end(epoch, _float32(logs))


def _float32(logs: Logs) -> dict[str, np.float32]:
    return {name: np.float32(value) for name, value in (logs or {}).items()}


class Recorder(keras.callbacks.Callback):
    """Keep history, checkpoints and the best model; stop when nothing gets better.

    A checkpoint is written at the end of a step, as often as `keeping` says, when a
    signal asks to stop, and when the training ends; the best weights when `val_loss`
    is the lowest so far (`val_exact` moves in jumps). The history, in memory, in the
    checkpoint and in `history.csv`, gets a row for every whole epoch.

    Args:
        folder: the run folder.
        state: of a new run, or of the one that goes on.
        steps_per_epoch: steps in a whole epoch.
        metrics: returns the metrics that the loop keeps over an epoch.
        stopping: says whether a signal came.
        keeping: when to write a checkpoint.
        patience: epochs without a lower loss after which training stops; 0
            never stops.

    Attributes:
        saves: checkpoints written.
        seconds: spent on them.

    Raises:
        Stopped: (while training) a signal came; the checkpoint is written.
        UserError: (while training) the folder cannot be written.
    """

    def __init__(
        self,
        folder: RunFolder,
        state: TrainingState,
        steps_per_epoch: int,
        metrics: Callable[[], Sequence[keras.metrics.Metric]],
        stopping: Stopping,
        keeping: Keeping,
        patience: int = 0,
    ):
        super().__init__()
        self.folder = folder
        self.state = state
        self.steps_per_epoch = steps_per_epoch
        self.patience = patience
        self.saves, self.seconds = 0, 0.0
        self._metrics = metrics
        self._stopping = stopping
        self._keeping = keeping
        self._saved_at = time.monotonic()
        self._unsaved_steps = 0
        self._changed = False
        self._in_epoch = False
        self._previous_batch = -1

    @property
    def exhausted(self) -> bool:
        """Whether the patience is at its end."""
        waited = len(self.state.history) - self.state.best_epoch
        return bool(self.patience) and waited >= self.patience

    def on_epoch_begin(self, epoch, logs=None):
        """Bring the metrics to where they were when the checkpoint was made."""
        if self.state.metrics:
            variables = [v for metric in self._metrics() for v in metric.variables]
            for variable, value in zip(variables, self.state.metrics, strict=True):
                variable.assign(value)
            self.state.metrics = []
        self._previous_batch = -1

    def on_train_batch_end(self, batch, logs=None):
        """Write a checkpoint if one is due, and stop if asked to."""
        self._stopping.agree()
        self._changed = True
        self._unsaved_steps += batch - self._previous_batch
        self._previous_batch = batch
        self._in_epoch = batch + 1 < self.params["steps"]
        if not self._in_epoch:
            self.state.unfinished = {k: float(v) for k, v in (logs or {}).items()}
        self._save_or_stop()

    def on_test_batch_end(self, batch, logs=None):
        """Stop if asked to, in the midst of a validation too."""
        if self._stopping.asked:
            self._save_or_stop()

    def on_epoch_end(self, epoch, logs=None):
        """Record the epoch."""
        unfinished = self.state.unfinished or {}
        logs = unfinished | (logs or {}) | unfinished
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        self.state.unfinished = None
        self._changed = True
        self.state.history.append(row)
        if row.get(MONITOR, math.inf) < self.state.best:
            self.state.best, self.state.best_epoch = row[MONITOR], epoch + 1
            save_best(self.folder, self.model)
        if self.exhausted:
            self.model.stop_training = True
        self._save_or_stop()

    def finish(self):
        """Write the last checkpoint, if there is anything new."""
        if self._changed:
            self._save()

    def write_history(self):
        """Write one line for each epoch of the history."""
        rows = self.state.history
        if not rows:
            return
        with (
            writing(self.folder.history),
            atomic_write(self.folder.history) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def _due(self) -> bool:
        return self._keeping.due(self._unsaved_steps, time.monotonic() - self._saved_at)

    def _save_or_stop(self):
        stop = self._stopping.asked is not None  # once: a signal can come at any line
        if stop or self._due():
            self._save()
        if stop:
            raise Stopped

    def _save(self):
        began = time.monotonic()
        if self._in_epoch:
            bring_home(self.model)
            self.state.metrics = [
                keras.ops.convert_to_numpy(variable)
                for metric in self._metrics()
                for variable in metric.variables
            ]
        save_checkpoint(self.folder, self.model, self.state)
        self.state.metrics = []
        self.write_history()
        self._saved_at, self._unsaved_steps = time.monotonic(), 0
        self.saves += 1
        self.seconds += self._saved_at - began


class FiniteCheck(keras.callbacks.Callback):
    """Stop at the first step after which the loss or a weight is not finite.

    A gradient that is not finite makes its weights so in the same step, whichever
    the optimizer. The check costs a sum over all weights; on JAX, whose weights are
    out of reach within an epoch, it looks at the loss alone. `save_checkpoint` looks
    at every number.

    Raises:
        NotFinite: (while training) names the step and what is not finite. It comes
            before any checkpoint is written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sums: Callable[[], SupportsFloat] | None = None

    def on_train_begin(self, logs=None):
        """Compile the check."""
        if keras.backend.backend() == "tensorflow":
            self._sums = _compiled_sum(self.model.trainable_variables)

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss and at the weights."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            self._stop(f"the loss is {loss}")
        if self._sums is not None and not math.isfinite(float(self._sums())):
            bad = [
                variable.path
                for variable in self.model.trainable_variables
                if not bool(keras.ops.all(keras.ops.isfinite(variable)))
            ]
            if bad:
                self._stop(f"a gradient was not finite: it spoiled {', '.join(bad)}")

    def _stop(self, what: str) -> None:
        raise NotFinite(steps_done(self.model), what)


def _compiled_sum(variables):
    import tensorflow as tf

    @tf.function
    def total():
        return tf.add_n([tf.reduce_sum(tf.cast(v, tf.float32)) for v in variables])

    return total
