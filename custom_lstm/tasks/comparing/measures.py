"""What the runs of each task are compared by."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Row = dict[str, str]
"""A model's main scores as text, under their names."""


class Measures(NamedTuple):
    """How a task's runs are compared.

    Args:
        quantity: the column of history.csv that is drawn.
        rows: from the content of scores.json and the options to the main scores of
            each model, by its name; by "" where a run trains one. Raises LookupError,
            TypeError, ValueError or AttributeError if they are not there.
    """

    quantity: str
    rows: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Row]]


def _digits(scores, options):
    length = str(options["length"])
    shown = length if length in scores else next(iter(scores))
    where = "" if shown == length else f" at {shown}"
    part = scores[shown]
    return {
        "": {
            "exact %": f"{100 * part['exact']:.2f}{where}",
            "MAE": f"{part['mae']:.3f}{where}",
            "one digit %": f"{100 * part['digit_accuracy']:.2f}",
        }
    }


def _count_ones(scores, options):
    test = scores["test"]
    row = {
        "wrong": f"{test['wrong']:,} of {test['strings']:,}",
        "largest error": f"{test['largest_error']:.3f}",
    }
    for length, parts in scores["longer"].items():
        row[f"% right at {length}"] = f"{100 * parts['even']['right']:.1f}"
    return {"": row}


def _showers(scores, options):
    names = {"energy": "energy error %", "kind": "kind %"}
    names |= {axis: f"{axis} error %" for axis in "xyz"}
    return {
        model: {name: f"{scores[model][key]:.2f}" for key, name in names.items()}
        for model in options["models"]
        if model in scores
    }


def _walk_through(scores, options):
    test = scores["test"]
    return {
        "": {
            "MSE": f"{test['mse']:.4f}",
            "largest error": f"{test['largest_error']:.3f}",
        }
    }


MEASURES: dict[str, Measures] = {
    "digits": Measures("val_exact", _digits),
    "count-ones": Measures("loss", _count_ones),
    "showers": Measures("val_loss", _showers),
    "walk-through": Measures("loss", _walk_through),
}
"""By the task's name in config.json."""
