"""A whole run of the task: model, training, scores, pictures."""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from custom_lstm import plots
from custom_lstm.data.sequences import prefetched
from custom_lstm.layers import LSTM
from custom_lstm.options import to_json
from custom_lstm.streaming import Stream
from custom_lstm.tasks.walk_through import numbers
from custom_lstm.tasks.walk_through.options import Options, from_json
from custom_lstm.training.checkpoints import TrainingState, restore
from custom_lstm.training.kept_models import keep_model
from custom_lstm.training.resuming import keras_fit, train_rest
from custom_lstm.training.runs import RunFolder, resume_command, write_json
from custom_lstm.training.schedules import largest_divisor, one_cycle

TASK = "walk-through"
"""This job's name in a run folder."""


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
        steps_per_execution=largest_divisor(_steps_per_epoch(options), at_most=25),
    )
    return model


def start(options: Options) -> int:
    """Train from the beginning, score and draw.

    Returns:
        The exit code: 0, or 130 if Ctrl-C cut the training short.

    Raises:
        UserError: the run folder cannot be written.
    """
    folder = RunFolder.create(options.run.runs, options.run.name or TASK)
    folder.write_config(TASK, to_json(options))
    with folder.claimed():
        model = build_compiled(options)
        model.summary()
        return _train_and_finish(options, folder, model, TrainingState())


def go_on(asked: Options) -> int:
    """Go on with run `asked.resume`: train what is left, score and draw.

    Returns:
        The exit code, as `start`.

    Raises:
        UserError: the folder is missing, damaged or not this task's.
    """
    assert asked.resume is not None
    folder = RunFolder.open(asked.resume)
    options = folder.read_options(TASK, from_json)
    with folder.claimed():
        model = build_compiled(options)
        state = restore(folder, model)
        return _train_and_finish(options, folder, model, state)


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
    for name, sequences in (("test", numbers.TEST), ("training", numbers.TRAINING)):
        answers = model.predict_on_batch(numbers.inputs(sequences, features))
        error = answers - numbers.targets(sequences)
        parts[name] = {
            "mse": float(np.square(error).mean()),
            "largest_error": float(np.abs(error).max()),
            "answers": answers.tolist(),
        }
    x, stream = numbers.inputs(numbers.TEST, features), Stream(model)
    whole, differences = np.array(parts["test"]["answers"]), []
    for cut in range(1, x.shape[1]):
        chunks = [stream(x[:, :cut]), stream(x[:, cut:])]
        differences.append(np.abs(np.concatenate(chunks, axis=1) - whole).max())
        stream.reset()
    return {**parts, "chunk_difference": float(max(differences))}


def _train_and_finish(options, folder, model, state) -> int:
    steps = _steps_per_epoch(options)
    interrupted = train_rest(
        model,
        folder,
        state,
        functools.partial(_fit, options, model),
        epochs=options.optimisation.steps // steps,
        steps=steps,
        keeping=options.keeping,
    )
    scores = score(keep_model(folder, model), options.model.features)
    write_json(folder.scores, scores)
    losses = {"loss": [row["loss"] for row in state.history]}
    if state.history:
        plots.save(plots.curves(losses), folder.picture("curves"))
    answers, true = scores["test"]["answers"], numbers.targets(numbers.TEST)
    plots.save(plots.followed(true, answers), folder.picture("predictions"))
    _show(scores)
    if interrupted:
        print(f"\nStopped early; go on with\n  {resume_command(folder)}")
        return 130
    print(
        f"\nThe run, with its pictures, is in {folder.path}. Try next:\n"
        f"  python train.py compare {folder.path.parent}"
    )
    return 0


def _fit(options, model, callbacks, first, last_epoch, steps):
    """Train from epoch `first[0]` up to `last_epoch`; every step sees all sequences."""
    x = numbers.inputs(numbers.TRAINING, options.model.features)
    batch = tf.data.Dataset.from_tensors((x, numbers.targets(numbers.TRAINING)))
    batches = prefetched(batch.repeat())
    keras_fit(model, batches, callbacks, first, last_epoch, steps, verbose=2)


def _show(scores: dict[str, Any]) -> None:
    print("\nx_t          x_t + x_{t−1}          said")
    for x, y, said in zip(
        numbers.TEST,
        numbers.targets(numbers.TEST),
        scores["test"]["answers"],
        strict=True,
    ):
        columns = [" ".join(f"{v:.0f}" for v in row) for row in (x, y)]
        print(f"{columns[0]:<13}{columns[1]:<23}{' '.join(f'{v:.2f}' for v in said)}")
    print(
        f"test MSE {scores['test']['mse']:.4f}, largest error "
        f"{scores['test']['largest_error']:.3f}; cut anywhere and carried on, answers "
        f"differ by {scores['chunk_difference']:.1e} at most"
    )


def _steps_per_epoch(options: Options) -> int:
    return largest_divisor(options.optimisation.steps, at_most=100)
