"""A whole run of the task: strings, model, training, scores, picture."""

import dataclasses
import functools
import time
from typing import Any

import keras
import numpy as np

from custom_lstm import plots
from custom_lstm.errors import UserError
from custom_lstm.loading import load_model
from custom_lstm.options import to_json
from custom_lstm.tasks.count_ones.data import training_batches, training_codes
from custom_lstm.tasks.count_ones.evaluate import (
    answers_of,
    cell_table,
    count_table,
    score_held_out,
    score_lengths,
)
from custom_lstm.tasks.count_ones.model import build, build_compiled, head_of
from custom_lstm.tasks.count_ones.options import Options, from_json
from custom_lstm.training.checkpoints import (
    TrainingState,
    restore,
)
from custom_lstm.training.kept_models import keep_model
from custom_lstm.training.resuming import keras_fit, train_rest
from custom_lstm.training.runs import (
    RunFolder,
    read_json,
    resume_command,
    write_json,
)
from custom_lstm.training.terminal import verbosity

TASK = "count-ones"
"""This job's name in a run folder."""
_MANY_EPOCHS = 100
_STRING = "10011011101001101110"


def start(options: Options) -> int:
    """Train from the beginning, score and draw; with `cells`, once for each of them.

    Returns:
        The exit code: 0, or 130 if Ctrl-C cut a training short.

    Raises:
        UserError: a run folder cannot be written.
    """
    results: dict[str, dict[str, Any]] = {}
    code = 0
    for cell in options.run.cells or (options.model.cell,):
        settled = options.of_cell(cell)
        name = settled.run.name or f"{TASK}-{cell}-length{settled.data.length}"
        folder = RunFolder.create(settled.run.runs, name)
        folder.write_config(TASK, to_json(settled))
        with folder.claimed():
            model = build_compiled(settled, _steps_per_epoch(settled))
            code = _train_and_finish(settled, folder, model, TrainingState())
        results[cell] = read_json(folder.scores)
        if code:
            break
    if options.run.cells:
        print("\n" + cell_table(results))
    return code


def go_on(asked: Options) -> int:
    """Go on with run `asked.resume`: train what is left, score and draw.

    With `asked.run.predict` the finished model counts those strings instead.

    Returns:
        The exit code, as `start`.

    Raises:
        UserError: the folder is missing, damaged or not this task's, or the run is
            not finished and strings are to be counted.
    """
    assert asked.resume is not None
    folder = RunFolder.open(asked.resume)
    options = folder.read_options(TASK, from_json)
    if asked.run.predict:
        if not folder.model.is_file():
            raise UserError(
                f"{folder.path} has no model yet; train it with "
                f"`{resume_command(folder)}`, without --predict"
            )
        model = _for_any_length(options, load_model(folder.model))
        _predict(options, model, asked.run.predict)
        return 0
    lengths = asked.run.lengths or options.run.lengths
    options = dataclasses.replace(
        options, run=dataclasses.replace(options.run, lengths=lengths)
    )
    with folder.claimed():
        model = build_compiled(options, _steps_per_epoch(options))
        state = restore(folder, model)
        return _train_and_finish(options, folder, model, state)


def _train_and_finish(options, folder, model, state) -> int:
    data, seed = options.data, options.run.seed
    codes = training_codes(data.length, data.strings, seed)
    began = time.perf_counter()
    interrupted = train_rest(
        model,
        folder,
        state,
        functools.partial(_fit, options, codes, model),
        epochs=options.optimisation.epochs,
        steps=_steps_per_epoch(options),
        keeping=options.keeping,
    )
    trained = time.perf_counter()
    head = head_of(options)
    model = keep_model(folder, model, functools.partial(_for_any_length, options))
    print("\nTesting on the strings that were not trained on …", flush=True)
    test = score_held_out(model, head, data.length, codes, seed)
    tested = time.perf_counter()
    scores = {
        "test": test,
        "longer": score_lengths(model, head, options.lengths, seed),
        "parameters": model.count_params(),
        "seconds": {"training": trained - began, "test": tested - trained},
    }
    write_json(folder.scores, scores)
    _draw(folder, state.history, test)
    print("\n" + count_table(scores))
    if options.run.predict:
        print()
        _predict(options, model, options.run.predict)
    if interrupted:
        print(f"\nStopped early; go on with\n  {resume_command(folder)}")
        return 130
    print(
        f"\nThe run, with its pictures, is in {folder.path}. Try next:\n"
        f"  {resume_command(folder)} --predict {(4 * _STRING)[: data.length]}"
    )
    return 0


def _draw(folder, history, test) -> None:
    """Draw the errors of each count, and how the training went."""
    plots.save(plots.counts(test["per_count"]), folder.picture("counts"))
    if history:
        columns = history[0].keys() - {"epoch"}
        curves = {name: [row[name] for row in history] for name in sorted(columns)}
        plots.save(plots.curves(curves), folder.picture("curves"))


def _fit(options, codes, model, callbacks, first, last_epoch, steps):
    """Train from `(epoch, step)` up to `last_epoch`."""
    epoch, step = first
    batches = training_batches(
        codes,
        options.data.length,
        batch_size=options.optimisation.batch_size,
        epochs=last_epoch,
        seed=options.run.seed,
        shuffle=options.optimisation.shuffle,
        first_epoch=epoch,
        first_step=step,
    )
    verbose = verbosity(metrics=3) if last_epoch <= _MANY_EPOCHS else 2
    keras_fit(model, batches, callbacks, first, last_epoch, steps, verbose=verbose)


def _predict(options: Options, model: keras.Model, strings: tuple[str, ...]) -> None:
    """Print the number of ones in each string, and the model's own number."""
    head = head_of(options)
    for string in strings:
        bits = np.array(list(string), np.float32)[None, :, None]
        said = float(answers_of(model, head, bits)[0])
        own = f"  ({said:.3f})" if options.model.head == "value" else ""
        print(f"{string}  {round(said)}{own}")
    if options.model.head == "totals" and max(map(len, strings)) > options.data.length:
        print(f"This softmax knows the counts 0 to {options.data.length} only.")


def _for_any_length(options: Options, model: keras.Model) -> keras.Model:
    """Return a model with the same weights that takes any number of bits."""
    twin = build(options, any_length=True)
    twin.set_weights(model.get_weights())
    return twin


def _steps_per_epoch(options: Options) -> int:
    return options.data.strings // options.optimisation.batch_size
