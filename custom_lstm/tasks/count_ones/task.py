"""The task: runs of one or several cells, and finished ones that count strings."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from custom_lstm import config, plots
from custom_lstm.errors import UserError
from custom_lstm.loading import load_model
from custom_lstm.tasks.count_ones.data import training_batches, training_codes
from custom_lstm.tasks.count_ones.evaluate import (
    answers_of,
    cell_table,
    count_table,
    score_held_out,
    score_lengths,
)
from custom_lstm.tasks.count_ones.model import (
    build_compiled,
    check_forget_bias,
    for_any_length,
    head_of,
    recurrent_layer,
)
from custom_lstm.tasks.count_ones.options import Options
from custom_lstm.tasks.task import Models, Task
from custom_lstm.training.run_folder import RunFolder, resume_command

_STRING = "10011011101001101110"


class CountOnes(Task[Options]):
    """Counting ones: train on some strings of bits, test on all the others.

    Args:
        options: all options; without a cell's defaults if they come from `main`.
    """

    @classmethod
    def main(
        cls,
        options: Options,
        tasks: Mapping[str, type[config.Options]] | None = None,
    ) -> int:
        """Run the task; with `cells`, once for each of them. See `Task.main`."""
        if options.resume is not None:
            return cls.resume(options)
        cells = options.run.cells or (options.model.cell,)
        runs = {cell: cls(options.resolve_defaults(cell)) for cell in cells}
        for cell, run in runs.items():  # all of them before the first is trained
            check_forget_bias(cell, options.model.forget_bias)
            run.prepare()
        scores: dict[str, dict[str, Any]] = {}
        code = 0
        for cell, run in runs.items():
            code = run.start()
            scores[cell] = run.scores
            if code:
                break
        if options.run.cells:
            print("\n" + cell_table(scores))
        return code

    @classmethod
    def resume(cls, asked: Options) -> int:
        """Train what is left of a run, or count strings; see `Task.resume`."""
        if not asked.run.predict:
            return super().resume(asked)
        assert asked.resume is not None
        folder = RunFolder.open(asked.resume)
        options = folder.read_options(Options)
        if not folder.model.is_file():
            raise UserError(
                f"{folder.path} has no model yet; train it with "
                f"`{resume_command(folder)}`, without --predict"
            )
        model = for_any_length(options, load_model(folder.model))
        print(counted(options, model, asked.run.predict))
        return 0

    @property
    def name(self) -> str:
        """Task, cell and length."""
        options = self.options
        return f"{options.task}-{options.model.cell}-length{options.data.length}"

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of training strings."""
        return self.options.data.strings // self.options.optimisation.batch_size

    def prepare(self) -> None:
        """Check the cell, and draw the training strings."""
        data = self.options.data
        recurrent_layer(self.options.model)
        self.codes = training_codes(data.length, data.strings, self.options.run.seed)

    def build(self, part: str) -> keras.Model:
        """Build and compile the model to train."""
        return build_compiled(self.options, self.steps_per_epoch)

    def training_data(self, epoch: int, step: int, last_epoch: int) -> tf.data.Dataset:
        """Return the batches from this step of this epoch up to `last_epoch`."""
        how = self.options.optimisation
        return training_batches(
            self.codes,
            self.options.data.length,
            batch_size=how.batch_size,
            epochs=last_epoch,
            seed=self.options.run.seed,
            shuffle=how.shuffle,
            first_epoch=epoch,
            first_step=step,
        )

    def finished(self, part: str, model: keras.Model) -> keras.Model:
        """Return a model with the same weights that takes any number of bits."""
        return for_any_length(self.options, model)

    def evaluate(self, models: Models) -> dict[str, Any]:
        """Count the held-out strings, and random ones of other lengths."""
        options, model = self.options, models[""]
        head, length, seed = head_of(options), options.data.length, options.run.seed
        print("\nTesting on the strings that were not trained on …", flush=True)
        began = time.perf_counter()
        test = score_held_out(model, head, length, self.codes, seed)
        tested = time.perf_counter() - began
        self.model = model
        return {
            "test": test,
            "longer": score_lengths(model, head, options.lengths, seed),
            "parameters": model.count_params(),
            "seconds": {"training": self.seconds, "test": tested},
        }

    def draw(self, folder: RunFolder, models: Models, scores: dict[str, Any]) -> None:
        """Draw the errors of each count."""
        figure = plots.counts(scores["test"]["per_count"])
        plots.save(figure, folder.picture("counts"))

    def report(self, scores: dict[str, Any]) -> str:
        """Return the table of counts, and the ones of `--predict`'s strings."""
        table = count_table(scores)
        strings = self.options.run.predict
        if not strings:
            return table
        return f"{table}\n\n{counted(self.options, self.model, strings)}"

    def suggestion(self, folder: RunFolder) -> str:
        """Return the command that counts a string."""
        string = (4 * _STRING)[: self.options.data.length]
        return f"{resume_command(folder)} --predict {string}"


def counted(options: Options, model: keras.Model, strings: Sequence[str]) -> str:
    """Return lines with the ones of each string, and the model's own number."""
    head, lines = head_of(options), []
    for string in strings:
        bits = np.array(list(string), np.float32)[None, :, None]
        answer = float(answers_of(model, head, bits)[0])
        own = f"  ({answer:.3f})" if head.kind == "value" else ""
        lines.append(f"{string}  {round(answer)}{own}")
    length = options.data.length
    if head.kind == "totals" and max(map(len, strings)) > length:
        lines.append(f"This softmax covers the counts 0 to {length}.")
    return "\n".join(lines)
