"""Answers of a trained model, their scores at any length, and pictures."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from custom_lstm import data as datasets
from custom_lstm import plots
from custom_lstm.tasks.digits import metrics
from custom_lstm.tasks.digits.model import RECURRENT, Head, build, head_of
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tracing import trace
from custom_lstm.training.run_folder import RunFolder

DIGITS_AT_ONCE = 1024
"""Digits in a batch when nothing is trained."""
_DRAWN, _MISTAKEN = 8, 3  # sequences that are drawn; with a mistake, if there are
_AT_ONCE = 256  # sequences
_NAMED, _EACH = 5, 30  # units with a name; at most so many have a row each


def for_any_length(config: Config, model: keras.Model) -> keras.Model:
    """Return the finished model, with the same weights, for any number of digits."""
    twin = build(config, any_length=True)
    twin.set_weights(model.get_weights())
    return twin


def answer(
    model: keras.Model, head: Head, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return the model's totals `(sequences, time)` for `(sequences, time, …)`."""
    size = max(1, DIGITS_AT_ONCE // images.shape[1])
    outputs = model.predict(images, batch_size=size, verbose=0)
    return np.asarray(head.answers(outputs))


def read_digits(
    model: keras.Model, head: Head, images: npt.NDArray[np.uint8], start: int
) -> npt.NDArray[np.float32]:
    """Return what the model reads of single digits `(digits, 28, 28)`."""
    totals = answer(model, head, images[:, None, ..., None])
    return start * np.rint(totals[:, 0])  # start is its inverse


def score_lengths(
    config: Config, model: keras.Model, pools: datasets.Pools
) -> dict[str, dict[str, Any]]:
    """Score a trained model on every test digit at each requested length.

    Args:
        config: all options; `lengths`, or else the training length, is scored.
        model: built by `build`, any length.
        pools: the digits; the training pool's shares make the baselines.

    Returns:
        For each length the fields that `metrics.table` shows.
    """
    head, start = head_of(config), config.data.start
    read = read_digits(model, head, pools.test.images, start)
    digit_accuracy = float((read == pools.test.labels).mean())
    shares = np.bincount(pools.train.labels, minlength=10) / len(pools.train)
    results = {}
    for length in config.run.lengths or (config.data.length,):
        images, totals, mask = test_arrays(pools, length, start)
        signs = np.asarray(datasets.alternating_signs(length, start)).tolist()
        results[str(length)] = {
            "length": length,
            **metrics.score(answer(model, head, images), totals, mask),
            "digit_accuracy": digit_accuracy,
            "ceiling_per_position": metrics.ceiling(digit_accuracy, length),
            "baselines": metrics.baselines(shares, signs, totals, mask),
            "note": _note(config, head, length),
        }
    return results


def test_arrays(
    pools: datasets.Pools, length: int, start: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return all test digits as images, totals and mask of whole sequences.

    Returns:
        `(sequences, time, 28, 28, 1)`, `(sequences, time)`, `(sequences, time)`;
        the mask is 0 where the last sequence is padded.
    """
    batches = datasets.evaluation_sequences(
        pools.test, length=length, batch_size=DIGITS_AT_ONCE, start=start
    )
    images, totals, mask = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(totals)[..., 0], np.concatenate(mask)


def draw(
    config: Config, folder: RunFolder, pools: datasets.Pools, model: keras.Model
) -> None:
    """Draw predictions.png and gates.png of test sequences into the run folder."""
    length, start = config.data.length, config.data.start
    signs = datasets.alternating_signs(length, start).numpy()
    images, totals, mask = test_arrays(pools, length, start)
    whole = mask.all(axis=1)
    images, totals = images[whole], totals[whole]
    answers = _answers(model, head_of(config), images, totals)
    chosen, title = _chosen(_mistaken(answers, totals), len(images))
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
    kind = config.model.recurrent
    shown = "cell" if kind == "keras" else kind  # Keras's has no gates
    twin = build(config, any_length=True, recurrent=shown)
    twin.set_weights(model.get_weights())
    some = slice(max(1, DIGITS_AT_ONCE // length))
    # of an ensemble, the first one's
    core: Any = trace(twin, images[some], layer="core")
    if shown in RECURRENT:
        picture = plots.gates(
            images[0, ..., 0],
            signs,
            {name: np.asarray(values)[0] for name, values in core.items()},
            totals[0],
            answers[0],
            units=_units(core["c"], totals[some], signs),
        )
    else:
        picture = plots.states(core, labels=images[0], target=totals[some])
    plots.save(picture, folder.picture("gates"))


def _units(cells, totals, signs):
    """Return the units to name: those that follow something in many sequences.

    None if there are so few that each has a row.
    """
    if cells.shape[-1] <= _EACH:
        return None
    follow = {"total": totals, "sign": np.broadcast_to(signs, totals.shape)}
    return plots.notable_units(cells, follow, _NAMED)


def _note(config: Config, head: Head, length: int) -> str | None:
    if head.kind != "totals" or length <= config.data.length:
        return None
    return (
        f"This totals head covers {head.lowest} to {head.highest}, the totals of "
        f"length {config.data.length}: from position {config.data.length + 1} on a "
        "total can lie outside, and then it is always wrong.\n"
        f"For longer sequences train with --length {length} or --recurrent carousel."
    )


def _chosen(mistaken: npt.NDArray[np.bool_], sequences: int) -> tuple[list[int], str]:
    """Return which sequences to draw, `_DRAWN` if there are, and what to call them.

    They are the first ones, and after them those with a mistake that come next.
    """
    drawn = min(_DRAWN, sequences)
    for more in range(min(_MISTAKEN, drawn - 1), -1, -1):
        first = drawn - more
        later = first + np.flatnonzero(mistaken[first:])[:more]
        if len(later) == more:
            break
    title = f"The first {first} test sequences" if first > 1 else "The first sequence"
    if more:
        title += f", and {more} more with a mistake"
    return [*range(first), *later.tolist()], title


def _answers(model, head, images, totals):
    """Answer sequences from the first on, until enough are found with a mistake."""
    answers = np.empty((0, *totals.shape[1:]), "float32")
    while len(answers) < len(images):
        some = slice(len(answers), len(answers) + _AT_ONCE)
        answers = np.concatenate([answers, answer(model, head, images[some])])
        if _mistaken(answers, totals)[_DRAWN - _MISTAKEN :].sum() >= _MISTAKEN:
            break
    return answers


def _mistaken(answers, totals):
    return (np.rint(answers) != totals[: len(answers)]).any(axis=1)
