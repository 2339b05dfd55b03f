"""The task: load digits, train, score every requested length, draw."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from custom_lstm import data as datasets
from custom_lstm.data.images import read_digit_images
from custom_lstm.errors import UsageError, UserError
from custom_lstm.loading import load_model
from custom_lstm.tasks.cell_names import cell_class
from custom_lstm.tasks.digits import evaluate, metrics
from custom_lstm.tasks.digits.model import (
    RECURRENT,
    build_compiled,
    head_of,
    summarise,
)
from custom_lstm.tasks.digits.options import POOLS, Config
from custom_lstm.tasks.task import Models, Task
from custom_lstm.training import distribution
from custom_lstm.training.run_folder import RunFolder, resume_command


class Digits(Task[Config]):
    """Add and subtract handwritten digits; see `custom_lstm.tasks.task.Task`.

    Args:
        options: all options of the run.

    Attributes:
        pools: the digits, once `prepare` was called.
    """

    pools: datasets.Pools

    def __init__(self, options: Config) -> None:
        super().__init__(options)
        self.loop = options.optimisation.loop
        self.patience = options.optimisation.patience
        self.tensorboard = options.run.tensorboard

    @property
    def name(self) -> str:
        """Digits, length and head."""
        options = self.options
        return f"{self.pools.name}-length{options.data.length}-{options.model.head}"

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch; the remainder of the digits is dropped."""
        return steps_per_epoch(self.options, self.pools)

    def prepare(self) -> None:
        """Set up the devices, load the digits and check that all sizes fit them."""
        how, model = self.options.optimisation, self.options.model
        if model.recurrent not in RECURRENT:
            cell_class("--recurrent", model.recurrent, RECURRENT)
        self.group = distribution.assemble(
            self.options.parallel,
            seed=self.options.run.seed,
            loop=how.loop,
            clip_norm=how.clip_norm,
            ensemble_size=model.ensemble_size,
        )
        data = self.options.data
        self.pools = datasets.load_pools(data.data, data_dir=data.data_dir)
        print(self.pools.notice, flush=True)
        self.options = self.options.resolve_defaults(self.pools.name)
        batch_size = self.options.settled("batch_size")
        self.group.check_batch(batch_size, model.ensemble_size)
        self._check_lengths()
        steps_per_epoch(self.options, self.pools)

    def _check_lengths(self) -> None:
        sizes = {
            "training": len(self.pools.train),
            "validation": len(self.pools.validation),
            "test": len(self.pools.test),
        }
        given = [("--length", self.options.data.length, pool) for pool in sizes]
        given += [("--lengths", length, "test") for length in self.options.run.lengths]
        for option, length, pool in given:
            if length > sizes[pool]:
                raise UsageError(
                    f"{option} {length} is longer than the {sizes[pool]:,} {pool} "
                    "digits"
                )

    def facts(self) -> dict[str, Any]:
        """Return which digits the run uses, where `--data auto` leaves it open."""
        return {"data_used": self.pools.name}

    def recall(self, config: Mapping[str, Any]) -> None:
        """Use the same digits again."""
        used = config.get("data_used")
        if used not in POOLS:
            raise UserError("its config.json does not say which digits the run used")
        self.options = self.options.replace(data=used)

    def build(self, part: str) -> keras.Model:
        """Build and compile the model to train."""
        return build_compiled(self.options, self.steps_per_epoch)

    def summarise(self, model: keras.Model) -> None:
        """Print the model and its encoder."""
        summarise(model)

    def training_data(self, epoch: int, step: int, last_epoch: int) -> Iterable[Any]:
        """Return batches of images and totals, up to the end of the whole run.

        How strong the warps are depends on where a batch is in the whole run.
        """
        data = self.options.data
        return datasets.training_sequences(
            self.pools.train,
            length=data.length,
            batch_size=self.options.settled("batch_size"),
            epochs=self.epochs,
            seed=self.options.run.seed,
            start=data.start,
            augment=augment_of(self.options),
            augment_decay=data.augment_decay,
            ensemble_size=self.options.model.ensemble_size,
            first_epoch=epoch,
            first_step=step,
            share=self.group.share,
        )

    def validation_data(self) -> Iterable[Any]:
        """Return batches of images, totals and masks."""
        data = self.options.data
        return datasets.evaluation_sequences(
            self.pools.validation,
            length=data.length,
            batch_size=max(1, evaluate.DIGITS_AT_ONCE // data.length),
            start=data.start,
            multiple=self.group.size,
            share=self.group.share,
        )

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return exact match and mean absolute error."""
        return head_of(self.options).metrics()

    def finished(self, part: str, model: keras.Model) -> keras.Model:
        """Return the model for any number of digits, with its views."""
        return evaluate.for_any_length(self.options, model)

    def evaluate(self, models: Models) -> dict[str, Any]:
        """Score every requested length."""
        return evaluate.score_lengths(self.options, models[""], self.pools)

    def draw(self, folder: RunFolder, models: Models, scores: dict[str, Any]) -> None:
        """Draw predictions.png and gates.png."""
        evaluate.draw(self.options, folder, self.pools, models[""])

    def report(self, scores: dict[str, Any]) -> str:
        """Return a table for each length."""
        return "\n\n".join(map(metrics.table, scores.values()))

    def suggestion(self, folder: RunFolder) -> str:
        """Return the command that scores longer sequences, unless that was done."""
        if self.options.run.lengths:
            return super().suggestion(folder)
        adds = self.options.model.recurrent == "carousel"
        times = (1, 10, 100) if adds else (1, 2, 5)
        lengths = " ".join(
            str(count)
            for count in (k * self.options.data.length for k in times)
            if count <= len(self.pools.test)
        )
        return f"{resume_command(folder)} --lengths {lengths}"

    def use(self, folder: RunFolder) -> bool:
        """Read the files of `--images`, and print the running totals."""
        paths, data = self.options.run.images, self.options.data
        if not paths:
            return False
        digits = read_digit_images(paths)
        model = evaluate.for_any_length(self.options, load_model(folder.model))
        head = head_of(self.options)
        answers = evaluate.answer(model, head, digits[None, ..., None])[0]
        signs = np.asarray(datasets.alternating_signs(len(paths), data.start))
        for path, sign, total in zip(paths, signs, answers, strict=True):
            print(f"{'+' if sign > 0 else '-'} {path}  total {total:.4g}")
        if len(paths) > data.length and self.options.model.recurrent != "carousel":
            print(
                f"More digits than the {data.length} this run was trained on: totals "
                "after those are unreliable."
            )
        return True


def steps_per_epoch(config: Config, pools: datasets.Pools) -> int:
    """Return the steps of an epoch; the remainder of the digits is dropped.

    Raises:
        UsageError: a sequence or a batch is larger than the training pool.
    """
    length, batch_size = config.data.length, config.settled("batch_size")
    try:
        return datasets.steps_per_epoch(
            len(pools.train), length, batch_size, config.model.ensemble_size
        )
    except datasets.DataError as error:
        raise UsageError(
            f"--length {length} does not fit --batch-size {batch_size}: {error}"
        ) from error


def augment_of(config: Config) -> datasets.Augment | None:
    """Return the bounds of the warps that the options ask for."""
    data = config.data
    if not data.augment:
        return None
    names = [field.name for field in dataclasses.fields(datasets.Augment)]
    return datasets.Augment(**{name: getattr(data, name) for name in names})
