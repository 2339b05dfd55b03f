"""The pictures of a finished run, made from what it left."""

import keras
import numpy as np

from custom_lstm import data as datasets
from custom_lstm import plots, trace
from custom_lstm.training.build import build, head_of
from custom_lstm.training.checkpoints import TrainingState
from custom_lstm.training.config import Config
from custom_lstm.training.runs import RunFolder
from custom_lstm.training.scoring import answer, test_arrays

_FIRST, _MISTAKEN = 5, 3
_AT_ONCE = 256  # sequences


def draw(
    config: Config,
    folder: RunFolder,
    pools: datasets.Pools,
    model: keras.Model,
    state: TrainingState,
) -> None:
    """Draw curves.png, predictions.png and gates.png into the run folder.

    Args:
        config: all options.
        folder: where the pictures go.
        pools: sequences of the test digits are shown.
        model: the finished one, for any length.
        state: its history makes the curves.
    """
    if state.history:
        columns = state.history[0].keys() - {"epoch"}
        history = {name: [row[name] for row in state.history] for name in columns}
        plots.save(plots.curves(history), folder.picture("curves"))
    length, start = config.data.length, config.data.start
    signs = datasets.alternating_signs(length, start).numpy()
    images, totals, mask = test_arrays(pools, length, start)
    whole = mask.all(axis=1)
    images, totals = images[whole], totals[whole]
    answers = _answers(model, head_of(config), images, totals)
    wrong = np.flatnonzero(_mistaken(answers, totals))
    first = min(_FIRST, len(images))
    chosen = list(dict.fromkeys([*range(first), *wrong[:_MISTAKEN]]))
    title = f"The first {first} test sequences"
    if len(chosen) > first:
        title += f", and {len(chosen) - first} more with a mistake"
    plots.save(
        plots.predictions(
            images[chosen, ..., 0],
            totals[chosen],
            answers[chosen],
            signs,
            title=title,
        ),
        folder.picture("predictions"),
    )
    twin = build(config, any_length=True, recurrent="cell")  # Keras's has no gates
    twin.set_weights(model.get_weights())
    core = trace(twin, images[:1], layer="core")  # of several members, the first
    states = {name: np.asarray(values)[0] for name, values in core.items()}
    plots.save(
        plots.gates(images[0, ..., 0], signs, states, totals[0], answers[0]),
        folder.picture("gates"),
    )


def _answers(model, head, images, totals):
    """Answer sequences from the first on, until enough are found with a mistake."""
    answers = np.empty((0, *totals.shape[1:]), "float32")
    while len(answers) < len(images):
        some = slice(len(answers), len(answers) + _AT_ONCE)
        answers = np.concatenate([answers, answer(model, head, images[some])])
        if _mistaken(answers, totals).sum() >= _MISTAKEN:
            break
    return answers


def _mistaken(answers, totals):
    return (np.rint(answers) != totals[: len(answers)]).any(axis=1)
