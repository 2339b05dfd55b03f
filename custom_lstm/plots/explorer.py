"""A widget for notebooks in which one points at a unit and a step of a trace."""

from collections.abc import Sequence
from pathlib import Path

from custom_lstm.extras import extra
from custom_lstm.plots.axes import Floats

with extra("explore"):
    import anywidget
    import traitlets


class Explorer(anywidget.AnyWidget):
    """Heat maps of one sequence; the unit pointed at is marked in all of them.

    Args:
        arrays: by name, `(time, ...)`: axes after the first are units.
        labels: what the steps saw, or none.

    Example:
        >>> import numpy as np
        >>> Explorer({"h": np.zeros((5, 3))}, []).units
        [3]
    """

    _esm = Path(__file__).with_name("explorer.js")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    units = traitlets.List(traitlets.Int()).tag(sync=True)
    steps = traitlets.Int().tag(sync=True)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    values = traitlets.Bytes().tag(sync=True)

    def __init__(self, arrays: dict[str, Floats], labels: Sequence[str]) -> None:
        maps = [array.reshape(len(array), -1) for array in arrays.values()]
        super().__init__(
            names=list(arrays),
            units=[values.shape[1] for values in maps],
            steps=len(maps[0]),
            labels=list(labels),
            values=b"".join(values.astype("<f4").tobytes() for values in maps),
        )
