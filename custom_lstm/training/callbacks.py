"""Callbacks of every training: recording, checkpoints, stopping, progress."""

import math
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat

import keras
import numpy as np

from custom_lstm.errors import NotFinite
from custom_lstm.training.checkpoints import (
    TrainingState,
    save_best,
    save_checkpoint,
    steps_done,
    sync_variables,
)
from custom_lstm.training.options import CheckpointOptions
from custom_lstm.training.run_folder import RunFolder
from custom_lstm.training.signals import Stopped, Stopping

Logs = Mapping[str, SupportsFloat] | None
MONITOR = "val_loss"
_TIME, _VALUE, _SLACK = len(" 12:34 999ms/step"), len(" - : 12.3456"), 5
_INDENT, _SHORTEST_BAR = "    ", 5
_NARROWEST = 50


class TensorBoard(keras.callbacks.TensorBoard):
    """`keras.callbacks.TensorBoard`, writing once an epoch, in constant memory.

    TensorFlow never frees a `float` that it makes a tensor of, 760 bytes each, but does
    free a `numpy.float32`. Keras passes every step's metrics, which are not written,
    and every epoch's, as floats.

    Args:
        log_dir: folder of the logs.
    """

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Do what Keras does after a step, without its metrics."""
        super().on_train_batch_end(batch)

    def on_test_end(self, logs: Logs = None) -> None:
        """Write a validation's metrics."""
        super().on_test_end(_float32(logs))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write an epoch's metrics."""
        super().on_epoch_end(epoch, _float32(logs))


def _float32(logs: Logs) -> dict[str, np.float32]:
    return {name: np.float32(value) for name, value in (logs or {}).items()}


class RunCallback(keras.callbacks.Callback):
    """Record history, checkpoints and the best model; stop without improvement.

    A checkpoint is written at the end of a step, as often as `checkpoints` says, when a
    signal asks to stop, and when the training ends; the best weights when `val_loss`
    is the lowest so far (`val_exact` moves in jumps). The history, in memory, in the
    checkpoint and in `history.csv`, gets a row for every whole epoch.

    Args:
        folder: the run folder.
        state: of a new run, or of the one that is resumed.
        steps_per_epoch: steps in a whole epoch.
        metrics: returns the metrics that the loop keeps over an epoch.
        stopping: says whether a signal came.
        checkpoints: when to write a checkpoint.
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
        checkpoints: CheckpointOptions,
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
        self._checkpoints = checkpoints
        self._saved_at = time.monotonic()
        self._unsaved_steps = 0
        self._changed = False
        self._in_epoch = False
        self._previous_batch = -1

    @property
    def exhausted(self) -> bool:
        """Whether there was no lower loss for `patience` epochs."""
        waited = len(self.state.history) - self.state.best_epoch
        return bool(self.patience) and waited >= self.patience

    def on_epoch_begin(self, epoch, logs=None):
        """Restore the metrics that the checkpoint holds."""
        if self.state.metrics:
            variables = [v for metric in self._metrics() for v in metric.variables]
            for variable, value in zip(variables, self.state.metrics, strict=True):
                variable.assign(value)
            self.state.metrics = []
        self._previous_batch = -1

    def on_train_batch_end(self, batch, logs=None):
        """Write a checkpoint if one is due, and stop if requested."""
        self._stopping.agree()
        self._changed = True
        self._unsaved_steps += batch - self._previous_batch
        self._previous_batch = batch
        self._in_epoch = batch + 1 < self.params["steps"]
        if not self._in_epoch:
            self.state.unfinished = {k: float(v) for k, v in (logs or {}).items()}
        self._save_or_stop()

    def on_test_batch_end(self, batch, logs=None):
        """Stop if requested, during a validation too."""
        if self._stopping.requested:
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
        """Write the last checkpoint, if anything changed since."""
        if self._changed:
            self._save()

    def _due(self) -> bool:
        return self._checkpoints.due(
            self._unsaved_steps, time.monotonic() - self._saved_at
        )

    def _save_or_stop(self):
        stop = self._stopping.requested is not None  # read once: it may change
        if stop or self._due():
            self._save()
        if stop:
            raise Stopped

    def _save(self):
        began = time.monotonic()
        if self._in_epoch:
            sync_variables(self.model)
            self.state.metrics = [
                keras.ops.convert_to_numpy(variable)
                for metric in self._metrics()
                for variable in metric.variables
            ]
        save_checkpoint(self.folder, self.model, self.state)
        self.state.metrics = []
        self.folder.write_history(self.state.history)
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


class Progress(keras.callbacks.Callback):
    """Show Keras's progress bar as wide as the terminal, and the time left of the run.

    On a terminal the bar moves, with as many metrics as fit its line; the others come
    at the epoch's end, below it. Elsewhere every epoch gets one line.

    Args:
        epochs: of the whole run.
        steps_per_epoch: of a whole epoch.
        verbose: 0 quiet, 1 a bar that moves, 2 a line an epoch.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, verbose: int) -> None:
        super().__init__()
        self.verbose = verbose
        self._epochs, self._steps_per_epoch = epochs, steps_per_epoch
        self._bar: Any = None
        self._shown: list[str] = []
        self._began: float | None = None
        self._done = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Say which epoch begins, and how long the rest of the run will take."""
        self._bar, self._seen = None, 0
        if self.verbose:
            left = (self._epochs - epoch) * self._steps_per_epoch
            about = self._time_left(left)
            print(f"Epoch {epoch + 1}/{self._epochs}{about}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        if self._began is None:  # the first step compiles
            self._began, self._done = time.monotonic(), -(batch + 1)
        self._done += batch + 1 - self._seen
        self._seen = batch + 1
        logs = logs or {}
        if self._bar is None:
            self._make_bar(logs)
        if self.verbose == 1:
            shown = [(name, logs[name]) for name in self._shown if name in logs]
            self._bar.update(self._seen, shown, finalize=False)

    def on_epoch_end(self, epoch, logs=None):
        """Show the epoch's metrics."""
        if self._bar is None or not self.verbose:
            return
        logs = {name: float(value) for name, value in (logs or {}).items()}
        first = self._shown if self.verbose == 1 else list(logs)
        shown = [(name, logs[name]) for name in first if name in logs]
        self._bar.update(self.params["steps"], shown, finalize=True)
        rest = [f"{name}: {logs[name]:.4g}" for name in logs if name not in first]
        if rest:
            columns = shutil.get_terminal_size().columns
            text = textwrap.fill(" - ".join(rest), columns - len(_INDENT))
            print(textwrap.indent(text, _INDENT), flush=True)

    def _make_bar(self, logs: Mapping[str, SupportsFloat]) -> None:
        """Make a bar with the metrics that fit its line, the loss first."""
        room = shutil.get_terminal_size().columns
        room -= 2 * len(str(self.params["steps"])) + _TIME + _SLACK
        names = sorted(logs, key=lambda name: name != "loss")
        self._shown = []
        for name in names:
            if room - len(name) - _VALUE < _SHORTEST_BAR:
                break
            self._shown.append(name)
            room -= len(name) + _VALUE
        self._bar = keras.utils.Progbar(
            self.params["steps"],
            width=max(_SHORTEST_BAR, min(20, room)),
            verbose=self.verbose,
            stateless_metrics=(),
        )

    def _time_left(self, steps: int) -> str:
        if self._began is None or self._done < 1:
            return ""
        seconds = steps * (time.monotonic() - self._began) / self._done
        minutes = round(seconds / 60)
        if minutes < 2:
            return f", about {max(1, round(seconds))} s left"
        if minutes < 120:
            return f", about {minutes} min left"
        return f", about {minutes // 60} h {minutes % 60} min left"


def verbosity() -> int:
    """Return 1 where a bar can move, a terminal, and otherwise 2, for a line an epoch.

    The bar rewrites its line with colours and backspaces, which NO_COLOR and a dumb
    terminal forbid, and which make a file unreadable.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    wide = shutil.get_terminal_size().columns >= _NARROWEST
    return 1 if sys.stdout.isatty() and wide and not plain else 2
