"""What the place that output goes to can show."""

import os
import shutil
import sys

_BAR, _METRIC = 48, 20


def verbosity(metrics: int) -> int:
    """Return Keras's `verbose` for a training: a bar that moves, or a line an epoch.

    The bar rewrites its line with colours and backspaces. In a file that is rubbish,
    and on a terminal narrower than the bar every step leaves a line of its own.

    Args:
        metrics: how many numbers stand behind the bar, the loss among them.

    Returns:
        1 for a bar, on a terminal that is wide enough and where NO_COLOR is not set;
        otherwise 2.

    Example:

    >>> verbosity(metrics=1000)
    2
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    wide = shutil.get_terminal_size().columns >= _BAR + _METRIC * metrics
    return 1 if sys.stdout.isatty() and wide and not plain else 2
