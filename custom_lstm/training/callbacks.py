"""What happens beside the steps: recording, checkpoints, stopping."""

import csv
import signal
import threading
import time
from types import FrameType

import keras

from custom_lstm.files import replacing
from custom_lstm.training.checkpoints import TrainingState, save_checkpoint
from custom_lstm.training.runs import RunFolder

MONITOR = "val_loss"


class Recorder(keras.callbacks.Callback):
    """Keep history, last and best checkpoint; stop when nothing gets better.

    After every epoch, and after an interrupted one, the last checkpoint is
    written; the best one when `val_loss` is the lowest so far (`val_exact` moves in
    jumps).
    The history, in memory, in the checkpoint and in `history.csv`, gets a row
    for every whole epoch. Where epochs are short, `save_every` spares the disk: a
    kill then costs that many seconds.

    Args:
        folder: the run folder.
        state: of a new run, or of the one that goes on.
        steps_per_epoch: steps in a whole epoch.
        patience: epochs without a lower loss after which training stops; 0
            never stops.
        save_every: least seconds between two checkpoints of the last epoch. What is
            due is written when the training ends.

    Raises:
        UserError: (while training) the folder cannot be written.
    """

    def __init__(
        self,
        folder: RunFolder,
        state: TrainingState,
        steps_per_epoch: int,
        patience: int = 0,
        save_every: float = 0,
    ):
        super().__init__()
        self.folder = folder
        self.state = state
        self.steps_per_epoch = steps_per_epoch
        self.patience = patience
        self.save_every = save_every
        self._saved = time.monotonic()
        self._due = False

    def on_epoch_end(self, epoch, logs=None):
        """Record the epoch that ended, whole or interrupted."""
        steps = int(self.model.optimizer.iterations)
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in (logs or {}).items()}}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        if steps % self.steps_per_epoch == 0:
            self.state.history.append(row)
        better = row.get(MONITOR, float("inf")) < self.state.best
        if better:
            self.state.best, self.state.best_epoch = row[MONITOR], epoch + 1
        self._due = True
        if time.monotonic() - self._saved >= self.save_every:
            self._save()
        if better:
            save_checkpoint(self.folder.best, self.model, self.state)
        if self.patience and epoch + 1 - self.state.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Write what is due."""
        if self._due:
            self._save()

    def _save(self):
        save_checkpoint(self.folder.last, self.model, self.state)
        self._write_history()
        self._saved, self._due = time.monotonic(), False

    def _write_history(self):
        rows = self.state.history
        if not rows:
            return
        with (
            replacing(self.folder.history) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


class StopOnInterrupt(keras.callbacks.Callback):
    """Let Ctrl-C end the training after the step in hand, not in the midst of it.

    The second Ctrl-C raises KeyboardInterrupt as usual.

    Attributes:
        interrupted: whether Ctrl-C was pressed.
    """

    def __init__(self):
        super().__init__()
        self.interrupted = False
        self._former = None

    def on_train_begin(self, logs=None):
        """Listen; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGINT, self._on_signal)

    def on_train_end(self, logs=None):
        """Give Ctrl-C back."""
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)
            self._former = None

    def on_train_batch_end(self, batch, logs=None):
        """Stop if asked to."""
        if self.interrupted:
            self.model.stop_training = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self._former)
        print("\nstopping after this step; press Ctrl-C again to drop everything")
