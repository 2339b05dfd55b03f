"""The task: files of showers, networks to train on them one by one, results.

A run's folder holds config.json, scores.json, results.npz, showers.png, saliency.png,
and for each network a folder with history.csv, curves.png, model.keras, checkpoints/.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from custom_lstm.errors import UserError
from custom_lstm.tasks.showers import data as records
from custom_lstm.tasks.showers import evaluate
from custom_lstm.tasks.showers.networks import build_block, build_compiled
from custom_lstm.tasks.showers.options import Options
from custom_lstm.tasks.task import Models, Task
from custom_lstm.training.run_folder import RunFolder


class Showers(Task[Options]):
    """Reading showers: train each network, then compare them on the test showers.

    Args:
        options: all options.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.parts = options.model.models
        self.patience = options.optimisation.patience

    @property
    def name(self) -> str:
        """The task and its models."""
        return "-".join((self.options.task, *self.options.model.models))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of training showers."""
        how = self.options.optimisation
        return records.steps_per_epoch(self.options.data.showers, how.batch_size)

    def prepare(self) -> None:
        """Check the networks' names, and have all showers in files."""
        data = self.options.data
        for name in self.parts:
            if name != "cnn":
                build_block(name, self.options.model)
        counts = data.showers, data.test_showers // 2, data.test_showers
        self.sets = {
            name: records.shards_of(name, count, self.options.run.seed, data.data_dir)
            for name, count in zip(records.SETS, counts, strict=True)
        }
        records.ensure([shard for shards in self.sets.values() for shard in shards])

    def build(self, part: str) -> keras.Model:
        """Build and compile a network to train."""
        return build_compiled(part, self.options, self.steps_per_epoch)

    def training_data(self, epoch: int, step: int, last_epoch: int) -> tf.data.Dataset:
        """Return the batches from this step of this epoch up to `last_epoch`."""
        return records.training_batches(
            self.sets["train"],
            batch_size=self.options.optimisation.batch_size,
            epochs=last_epoch,
            seed=self.options.run.seed,
            mirror=self.options.data.mirror,
            first_epoch=epoch,
            first_step=step,
        )

    def validation_data(self) -> tf.data.Dataset:
        """Return the validation showers."""
        return records.evaluation_batches(self.sets["validation"])

    def evaluate(self, models: Models) -> dict[str, Any]:
        """Score the networks, and what needs none, on the test showers."""
        scores, self.results = evaluate.evaluate(models, self.sets)
        return scores

    def draw(self, folder: RunFolder, models: Models, scores: dict[str, Any]) -> None:
        """Write results.npz, showers.png and saliency.png."""
        evaluate.save_results(folder.path / "results.npz", self.results)
        evaluate.draw(folder, self.sets["test"], next(iter(models)), self.results)

    def report(self, scores: dict[str, Any]) -> str:
        """Return the table of errors."""
        return evaluate.score_table(scores)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn errors of a file that changed since it was checked into a UserError."""
        try:
            yield
        except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
            raise UserError(
                f"a file of showers changed while it was read: {error.message}"
            ) from error
