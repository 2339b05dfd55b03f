"""The task: numbers, model, training, scores and pictures."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from custom_lstm import plots
from custom_lstm.data.sequences import prefetched
from custom_lstm.layers import LSTM
from custom_lstm.streaming import Stream
from custom_lstm.tasks.tables import text_table
from custom_lstm.tasks.task import Models, Task
from custom_lstm.tasks.walk_through.options import Options
from custom_lstm.training.run_folder import RunFolder
from custom_lstm.training.schedules import largest_divisor, one_cycle

Floats = NDArray[np.float32]

TRAINING = np.array([[1, 2, 5, 6], [5, 7, 7, 8], [3, 4, 5, 7]], np.float32)
TEST = np.array([[1, 2, 3, 4], [4, 5, 6, 7]], np.float32)
CONSTANT = 2.0
"""The second feature of every step."""


class WalkThrough(Task[Options]):
    """Adding each number to the one before; every step sees all three sequences.

    Args:
        options: all options.
    """

    curves = ("loss",)

    @property
    def name(self) -> str:
        """The task."""
        return self.options.task

    @property
    def steps_per_epoch(self) -> int:
        """Steps in what is called an epoch here."""
        return steps_per_epoch(self.options)

    @property
    def epochs(self) -> int:
        """As many as make up `steps`."""
        return self.options.optimisation.steps // self.steps_per_epoch

    def build(self, part: str) -> keras.Model:
        """Build and compile the model to train."""
        return build_compiled(self.options)

    def training_data(self, epoch: int, step: int, last_epoch: int) -> tf.data.Dataset:
        """Return all sequences, again and again."""
        x = inputs(TRAINING, self.options.model.features)
        batch = tf.data.Dataset.from_tensors((x, targets(TRAINING)))
        return prefetched(batch.repeat())

    def evaluate(self, models: Models) -> dict[str, Any]:
        """Score the model on the test sequences, whole and in chunks."""
        return score(models[""], self.options.model.features)

    def draw(self, folder: RunFolder, models: Models, scores: dict[str, Any]) -> None:
        """Draw the answers beside the true sums."""
        figure = plots.followed(targets(TEST), scores["test"]["answers"])
        plots.save(figure, folder.picture("predictions"))

    def report(self, scores: dict[str, Any]) -> str:
        """Return the answers beside the true sums, and the errors."""

        def text(row, digits):
            return " ".join(f"{value:.{digits}f}" for value in row)

        answers = scores["test"]["answers"]
        rows = [
            (text(x, 0), text(y, 0), text(answer, 2))
            for x, y, answer in zip(TEST, targets(TEST), answers, strict=True)
        ]
        return (
            text_table(("x_t", "x_t + x_{t−1}", "answer"), rows)
            + f"\ntest MSE {scores['test']['mse']:.4f}, largest error "
            f"{scores['test']['largest_error']:.3f}; in chunks, with the state\n"
            f"carried on, answers differ by {scores['chunk_difference']:.1e} at most"
        )


def inputs(numbers: Floats, features: int) -> Floats:
    """Return the LSTM's inputs `(sequences, time, features)` of numbers.

    With 2 features, a constant comes beside the number.

    Example:
        >>> inputs(TRAINING, 2)[0].tolist()
        [[1.0, 2.0], [2.0, 2.0], [5.0, 2.0], [6.0, 2.0]]
    """
    constant = np.full_like(numbers, CONSTANT)
    return np.stack([numbers, constant][:features], axis=-1)


def targets(numbers: Floats) -> Floats:
    """Return y_t = x_t + x_{t−1}, with x_0 = 0, of numbers `(sequences, time)`.

    Example:
        >>> targets(TRAINING)[0].tolist()
        [1.0, 3.0, 7.0, 11.0]
    """
    return numbers + np.pad(numbers, ((0, 0), (1, 0)))[:, :-1]


def build(options: Options) -> keras.Model:
    """Build the model that the options describe, with fresh weights.

        h = LSTM(x / scale)      y_t = scale·(h_t·W_out + b_out)

    Scaled down, the numbers reach the gates where tanh and σ are nearly straight, and a
    sum is learned as one.

    Returns:
        A model `(batch, time, features)` → `(batch, time)`, also for a batch of 1.

    Example:
        >>> build(Options())(np.ones((1, 4, 2))).shape
        TensorShape([1, 4])
    """
    layers, scale = keras.layers, options.model.scale
    x = keras.Input((None, options.model.features), name="numbers")
    h = LSTM(options.model.units, return_sequences=True)(layers.Rescaling(1 / scale)(x))
    normal = keras.initializers.RandomNormal(stddev=1.0)
    y = layers.Dense(1, kernel_initializer=normal, name="W_out")(h)
    y = layers.Reshape((-1,), name="one_number_a_step")(layers.Rescaling(scale)(y))
    return keras.Model(x, y, name="walk_through")


def build_compiled(options: Options) -> keras.Model:
    """Build the model to train, its weights drawn from the seed."""
    keras.utils.set_random_seed(options.run.seed)
    model, how = build(options), options.optimisation
    model.compile(
        keras.optimizers.Adam(one_cycle(how.learning_rate, how.steps, warmup=0.1)),
        loss="mse",
        steps_per_execution=largest_divisor(steps_per_epoch(options), at_most=25),
    )
    return model


def score(model: keras.Model, features: int) -> dict[str, Any]:
    """Score a model on the test sequences, whole and in chunks.

    Args:
        model: `(batch, time, features)` → `(batch, time)`.
        features: numbers at each step.

    Returns:
        `test` and `training`: `mse`, `largest_error`, `answers`; and
        `chunk_difference`: by how much answers differ at most when sequences are cut
        in two, anywhere, and the state is carried on.
    """
    parts: dict[str, Any] = {}
    for name, sequences in (("test", TEST), ("training", TRAINING)):
        answers = model.predict_on_batch(inputs(sequences, features))
        error = answers - targets(sequences)
        parts[name] = {
            "mse": float(np.square(error).mean()),
            "largest_error": float(np.abs(error).max()),
            "answers": answers.tolist(),
        }
    x, stream = inputs(TEST, features), Stream(model)
    whole, differences = np.array(parts["test"]["answers"]), []
    for cut in range(1, x.shape[1]):
        chunks = [stream(x[:, :cut]), stream(x[:, cut:])]
        differences.append(np.abs(np.concatenate(chunks, axis=1) - whole).max())
        stream.reset()
    return {**parts, "chunk_difference": float(max(differences))}


def steps_per_epoch(options: Options) -> int:
    """Return the largest divisor of `--steps` up to 100."""
    return largest_divisor(options.optimisation.steps, at_most=100)
