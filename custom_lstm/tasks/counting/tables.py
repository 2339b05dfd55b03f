"""Scores as text."""

from collections.abc import Mapping
from typing import Any


def count_table(scores: Mapping[str, Any]) -> str:
    """Set the test of one run as text: strings and wrong ones for each count.

    Args:
        scores: what a run writes to scores.json.

    Returns:
        Lines of at most 80 columns, without a newline at the end.

    Example:

    >>> per_count = {"strings": [1, 0], "wrong": [0, 0]}
    >>> per_count |= {"lowest_error": [-0.02, None], "highest_error": [0.01, None]}
    >>> test = {"length": 1, "strings": 1, "wrong": 0, "all": True}
    >>> print(count_table({"test": test | {"per_count": per_count}, "longer": {}}))
    length 1, all 1 strings that were not trained on
     ones     strings    wrong      answer − ones
        0           1        0     -0.020 …  0.010
        1           0        0
      all           1        0
    """
    test = scores["test"]
    which = "all" if test["all"] else "a sample of"
    lines = [
        f"length {test['length']}, {which} {test['strings']:,} strings that were not "
        "trained on",
        f"{'ones':>5}{'strings':>12}{'wrong':>9}      answer − ones",
    ]
    names = ("strings", "wrong", "lowest_error", "highest_error")
    columns = (test["per_count"][name] for name in names)
    for ones, (strings, wrong, low, high) in enumerate(zip(*columns, strict=True)):
        errors = "" if low is None else f"{low:11.3f} …{high:7.3f}"
        lines.append(f"{ones:5}{strings:12,}{wrong:9,}{errors}")
    lines.append(f"{'all':>5}{test['strings']:12,}{test['wrong']:9,}")
    for length, parts in scores["longer"].items():
        lines.append(
            f"length {length}: {100 * parts['random']['right']:.2f} % right of "
            f"{parts['random']['strings']:,} random strings, "
            f"{100 * parts['even']['right']:.2f} % with counts drawn evenly"
        )
    return "\n".join(lines)


def cell_table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Set runs with different cells side by side.

    Args:
        runs: for each cell what its run wrote to scores.json.

    Returns:
        Lines of at most 80 columns, without a newline at the end.

    Example:

    >>> part = {"length": 20, "strings": 8, "wrong": 0, "largest_error": 0.1}
    >>> part |= {"right": 1.0}
    >>> scores = {"test": part, "longer": {"40": {"even": part}}, "parameters": 24}
    >>> print(cell_table({"gru": scores | {"seconds": {"training": 9.0}}}))
    wrong of 8 strings of length 20; % right at other lengths, counts drawn evenly
    cell        weights    wrong  largest error    40  training s
    gru              24        0          0.100 100.0           9
    """
    first = next(iter(runs.values()))
    test = first["test"]
    heads = "".join(f"{length:>6}" for length in first["longer"])
    lines = [
        f"wrong of {test['strings']:,} strings of length {test['length']}; "
        "% right at other lengths, counts drawn evenly",
        f"{'cell':<12}{'weights':>7}{'wrong':>9}  largest error{heads}  training s",
    ]
    for cell, scores in runs.items():
        test = scores["test"]
        right = "".join(
            f"{100 * parts['even']['right']:6.1f}"
            for parts in scores["longer"].values()
        )
        lines.append(
            f"{cell:<12}{scores['parameters']:7,}{test['wrong']:9,}"
            f"{test['largest_error']:15.3f}{right}"
            f"{scores['seconds']['training']:12.0f}"
        )
    return "\n".join(lines)
