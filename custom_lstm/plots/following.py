"""The picture of sequences of numbers that a model follows."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from custom_lstm.plots.checks import shaped
from custom_lstm.plots.lines import against_truth, count_steps
from custom_lstm.plots.style import WIDTH, Picture, themed


def followed(
    targets: ArrayLike,
    answers: ArrayLike,
    title: str | None = None,
    *,
    style: str = "light",
) -> Figure:
    """Draw sequences, one panel each: what is true and what was said, step by step.

    Args:
        targets: `(sequences, time)`, at most six sequences.
        answers: the same shape.
        title: stands over the whole picture.
        style: "light" or "dark".

    Returns:
        A figure.

    Raises:
        ValueError: if the shapes differ, or there are too many sequences.

    Example:
        >>> len(followed([[1, 3, 5]], [[1.1, 2.9, 5.2]]).axes)
        1
    """
    true = shaped("targets", targets, ("sequences", "time")).astype(float)
    said = shaped("answers", answers, true.shape).astype(float)
    if len(true) > 6:
        raise ValueError(f"at most 6 sequences can be drawn, got {len(true)}")
    with themed(style) as theme:
        rows = -(-len(true) // 3)
        figure = Picture(theme, (WIDTH, 1.4 + 3.2 * rows), layout="constrained")
        figure.suptitle(title or "")
        panels = figure.subplots(
            rows, min(len(true), 3), sharey=True, squeeze=False
        ).flat
        for axes in panels[len(true) :]:
            axes.remove()
        for axes, target, answer in zip(panels, true, said, strict=False):
            against_truth(axes, target, answer, theme)
            count_steps(axes, len(target))
            axes.set_xlabel("step")
            worst = np.abs(answer - target).max()
            axes.set_title(f"largest error {worst:.3f}")
        figure.axes[0].legend(loc="best")
    return figure
