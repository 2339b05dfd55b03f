"""What every task shares: a run, from its options to an exit code."""

import abc
import contextlib
import functools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

import keras

from custom_lstm import plots, program
from custom_lstm.config import Options
from custom_lstm.training.callbacks import TensorBoard
from custom_lstm.training.checkpoints import (
    TrainingState,
    keep_model,
    restore,
    steps_done,
)
from custom_lstm.training.distribution import DeviceGroup
from custom_lstm.training.loop import custom_fit, fit_remaining, keras_fit
from custom_lstm.training.run_folder import RunFolder, resume_command, write_json

O = TypeVar("O", bound=Options)  # noqa: E741
Models = dict[str, keras.Model]
"""The finished models of a run by the names of their parts."""


class Task(abc.ABC, Generic[O]):
    """A job that trains models, one after another, evaluates and draws them.

    A subclass names its options and defines what differs; this class runs every task:
    start, resume, lock the folder, train what is left, keep the best weights, score,
    draw, report. Its options' `entry` names `main`.

    Args:
        options: all options of the run.

    Attributes:
        options: the same; `prepare` may resolve defaults in them.
        group: the devices that share each batch; `prepare` may replace it.
        seconds: spent on training in this session.
        scores: what `evaluate` returned.
    """

    parts: Sequence[str] = ("",)
    """Names of the models, each in a folder of its own; "" for the run's folder."""
    loop: str = "fit"
    """Which loop trains: Keras's, `"fit"`, or the `"custom"` one."""
    patience: int = 0
    """Epochs without a lower validation loss after which training stops; 0 never."""
    tensorboard: bool = False
    """Whether TensorBoard logs are written."""
    curves: ClassVar[Sequence[str] | None] = None
    """Columns of the history that curves.png shows; None for all."""

    def __init__(self, options: O) -> None:
        self.options = options
        self.group = DeviceGroup()
        self.seconds = 0.0
        self.scores: dict[str, Any] = {}

    # What a task defines.

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name in the run folder's name where `--name` gives none."""

    @property
    def epochs(self) -> int:
        """Epochs of a whole training."""
        return self.options.optimisation.epochs

    @property
    @abc.abstractmethod
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""

    def prepare(self) -> None:  # noqa: B027
        """Load the data, resolve defaults and check sizes, before a folder is made."""

    def facts(self) -> dict[str, Any]:
        """Return what config.json holds besides the options, for `recall`."""
        return {}

    def recall(self, config: Mapping[str, Any]) -> None:  # noqa: B027
        """Take what `facts` said from a run's config.json, before `prepare`."""

    @abc.abstractmethod
    def build(self, part: str) -> keras.Model:
        """Build and compile a model to train; its weights are drawn from the seed."""

    def summarise(self, model: keras.Model) -> None:
        """Print what a model that is about to be trained is made of."""
        model.summary()

    @abc.abstractmethod
    def training_data(self, epoch: int, step: int, last_epoch: int) -> Iterable[Any]:
        """Return the batches from this step of this epoch, at least to `last_epoch`."""

    def validation_data(self) -> Iterable[Any] | None:
        """Return the batches that are evaluated after every epoch."""
        return None

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return the metrics that the custom loop keeps, besides the loss."""
        return []

    def finished(self, part: str, model: keras.Model) -> keras.Model:
        """Return the model to keep, made from a trained one."""
        return model

    @abc.abstractmethod
    def evaluate(self, models: Models) -> dict[str, Any]:
        """Return scores of the finished models, for scores.json."""

    def draw(  # noqa: B027
        self, folder: RunFolder, models: Models, scores: dict[str, Any]
    ) -> None:
        """Draw pictures, other than the learning curves, into the folder."""

    @abc.abstractmethod
    def report(self, scores: dict[str, Any]) -> str:
        """Return the scores as text."""

    def suggestion(self, folder: RunFolder) -> str:
        """Return the command that a user may try next."""
        runs = shlex.quote(str(folder.path.parent))
        return f"{program.command()} compare --runs {runs}"

    def reading(self) -> AbstractContextManager:
        """Return a context in which data are read, to turn their errors into others."""
        return contextlib.nullcontext()

    def use(self, folder: RunFolder) -> bool:
        """Use the finished model of a resumed run in another way, if requested.

        Returns:
            Whether it did: then nothing is trained or scored.
        """
        return False

    # What all tasks share.

    @classmethod
    def main(cls, options: O, tasks: Mapping[str, type[Options]] | None = None) -> int:
        """Run the task.

        Args:
            options: all options; `resume` is a run folder or None.
            tasks: all subcommands, of which a task needs none.

        Returns:
            The exit code: 0, or 130 if Ctrl-C cut the training short.

        Raises:
            Terminated: SIGTERM ended the training.
            UserError: something outside failed, such as a folder that cannot be
                written, or a resumed run's that is missing or damaged.
            UsageError: options do not fit the data or the devices.
        """
        if options.resume is not None:
            return cls.resume(options)
        return cls(options).start()

    def start(self) -> int:
        """Train from the beginning, score and draw; return the exit code."""
        self.prepare()
        run = self.options.run
        folder = self.group.create(run.runs, run.name or self.name, self.parts)
        folder.write_config(self.options.task, self.options.to_json(), **self.facts())
        return self._run(folder)

    @classmethod
    def resume(cls, asked: O) -> int:
        """Train what is left of run `asked.resume`, score and draw; see `main`."""
        assert asked.resume is not None
        folder = RunFolder.open(asked.resume)
        options = folder.read_options(type(asked))
        task = cls(options.resumed_with(asked))
        if task.use(folder):
            return 0
        task.recall(folder.read_config(asked.task))
        task.prepare()
        return task._run(task.group.take(folder))

    def _run(self, folder: RunFolder) -> int:
        models: Models = {}
        interrupted = False
        with folder.claimed():
            for part in self.parts:
                own = folder.part(part)
                with self.group.scope():
                    self.group.check_alike(
                        self.options.to_json() | self.facts(), folder
                    )
                    model, state, interrupted = self._train(part, own)
                if self.group.scratch is not None:
                    print("\nDone; process 0 keeps the run and scores it.")
                    return 130 if interrupted else 0
                if interrupted:
                    print(
                        f"\nStopped after step {steps_done(model)}, which is saved; "
                        "scoring what was reached …",
                        flush=True,
                    )
                models[part] = keep_model(
                    own, model, functools.partial(self.finished, part)
                )
                self._draw_curves(own, state)
                if interrupted:
                    break
            with self.reading():
                scores = self.scores = self.evaluate(models)
                write_json(folder.scores, scores)
                self.draw(folder, models, scores)
        print("\n" + self.report(scores))
        if interrupted:
            print(f"\nStopped early; resume with\n  {resume_command(folder)}")
            return 130
        print(
            f"\nThe run, with its pictures, is in {folder.path}. Try next:\n"
            f"  {self.suggestion(folder)}"
        )
        return 0

    def _train(
        self, part: str, folder: RunFolder
    ) -> tuple[keras.Model, TrainingState, bool]:
        """Train what is left of a model; the last value is whether Ctrl-C ended it."""
        keras.utils.set_random_seed(self.options.run.seed)
        model = self.build(part)
        state = restore(folder, model)
        if not steps_done(model):
            self.summarise(model)
        metrics = None
        if self.loop == "custom":
            metrics = [keras.metrics.Mean(name="loss"), *self.metrics()]
        interrupted = fit_remaining(
            model,
            folder,
            state,
            functools.partial(self._fit, model, metrics),
            epochs=self.epochs,
            steps=self.steps_per_epoch,
            checkpoints=self.options.checkpoints,
            patience=self.patience,
            metrics=None if metrics is None else lambda: metrics,
            callbacks=[TensorBoard(folder.tensorboard)] if self.tensorboard else [],
            from_all=self.group.largest if self.group.processes > 1 else None,
        )
        self.seconds += folder.read_seconds()[-1]
        return model, state, interrupted

    def _fit(self, model, metrics, callbacks, first, last_epoch, steps) -> None:
        """Train from `(epoch, step)` up to `last_epoch`, by the chosen loop."""
        epoch, step = first
        batches = self.training_data(epoch, step, last_epoch)
        validation = self.validation_data()
        with self.reading():
            if metrics is None:
                where = (first, last_epoch, steps)
                keras_fit(model, batches, callbacks, *where, validation_data=validation)
                return
            custom_fit(
                model,
                batches,
                metrics=metrics,
                epochs=last_epoch,
                initial_epoch=epoch,
                steps_per_epoch=steps,
                validation_data=validation,
                callbacks=callbacks,
                verbose=0,
            )

    def _draw_curves(self, folder: RunFolder, state: TrainingState) -> None:
        if state.history:
            names = self.curves or sorted(state.history[0].keys() - {"epoch"})
            history = {name: [row[name] for row in state.history] for name in names}
            plots.save(plots.curves(history), folder.picture("curves"))
