"""What a run measured of itself: its history, epoch by epoch, and the time it took."""

import contextlib
import csv
import time
from collections.abc import Iterator

from custom_lstm.errors import UserError
from custom_lstm.training.runs import RunFolder, read_json, write_json

History = dict[str, list[float]]
"""One number an epoch under each name; NaN where it is not known."""

_SECONDS = "training_seconds"


def read_history(folder: RunFolder) -> History:
    """Read history.csv.

    Returns:
        Its columns but `epoch`, which counts from 1.

    Raises:
        UserError: the file cannot be read, or holds no table of numbers.
    """
    try:
        with folder.history.open(newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file, strict=True)
        columns = {name: [] for name in names}  # type: History
        for row in rows:
            for name, cell in zip(names, row, strict=True):
                columns[name].append(float(cell or "nan"))
    except OSError as error:
        raise UserError(f"{folder.history} cannot be read: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{folder.history} is no table of numbers: {error}") from error
    columns.pop("epoch", None)
    return columns


@contextlib.contextmanager
def timed(folder: RunFolder) -> Iterator[None]:
    """Add the seconds that the body takes to times.json; a resumed run adds its own.

    Raises:
        UserError: the file is damaged (before the body runs) or cannot be written.
    """
    before = read_seconds(folder)
    began = time.monotonic()
    yield
    write_json(folder.times, {_SECONDS: [*before, time.monotonic() - began]})


def read_seconds(folder: RunFolder) -> list[float]:
    """Return the seconds of training of each session; none of a run without a clock.

    Raises:
        UserError: times.json is damaged.
    """
    if not folder.times.is_file():
        return []
    seconds = read_json(folder.times).get(_SECONDS)
    if not isinstance(seconds, list) or not all(
        isinstance(s, int | float) and 0 <= s < float("inf") for s in seconds
    ):
        raise UserError(f"{folder.times} holds no list of {_SECONDS}")
    return [float(s) for s in seconds]
