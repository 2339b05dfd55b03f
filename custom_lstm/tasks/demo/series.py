"""A series of numbers, and what a model with a recurrent layer makes of it."""

import contextlib
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.convert import from_keras_model
from custom_lstm.errors import UserError, in_a_line
from custom_lstm.loading import load_model
from custom_lstm.tracing import trace

MOST_STEPS = 20_000
_LARGEST = float(np.finfo("float32").max)


class Series:
    """A model that reads series, and shows the states of its recurrent layer.

    Args:
        model: one input `(batch, time, features)`, or `(batch, time)`. Keras's own
            LSTM, GRU and SimpleRNN in it are replaced by ours, which show their gates.
        name: for the page.

    Raises:
        UserError: the model has another input, several outputs, or no or several
            recurrent layers.
    """

    def __init__(self, model: keras.Model, name: str) -> None:
        shape = getattr(model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) not in (2, 3):
            raise UserError(
                f"{name} must have one input (batch, time, features) or (batch, time), "
                f"not {shape}"
            )
        if len(model.outputs) != 1:
            raise UserError(f"{name} must have one output; it has {len(model.outputs)}")
        with _said_by(name):
            self.model, self.name = _showing(model), name
        self.width = shape[2] if len(shape) == 3 else None
        self.steps = shape[1]
        recurrent = [x for x in self.model.layers if isinstance(x, keras.layers.RNN)]
        if len(recurrent) != 1:
            names = ", ".join(layer.name for layer in recurrent) or "none"
            raise UserError(f"{name} must have one recurrent layer; it has {names}")
        self.layer = recurrent[0].name

    @property
    def about(self) -> dict[str, Any]:
        """Name, width and number of steps (None if any) of its input."""
        return {
            "name": self.name,
            "layer": self.layer,
            "width": self.width or 1,
            "steps": self.steps,
        }

    def read(self, text: str) -> dict[str, Any]:
        """Run the model on a series.

        Args:
            text: CSV; a row of numbers for each step.

        Returns:
            "output", rows of numbers, one for each step or one alone; and "shown",
            rows of each gate and state by name.

        Raises:
            UserError: the text is no such series, says where; or the model raises
                something, says what.
        """
        rows = read_csv(text)
        if rows.shape[1] != (self.width or 1):
            raise UserError(
                f"{self.name} takes {self.width or 1} columns; the series has "
                f"{rows.shape[1]}"
            )
        if self.steps not in (None, len(rows)):
            raise UserError(
                f"{self.name} takes {self.steps} rows; the series has {len(rows)}"
            )
        inputs = self._cast(rows[None] if self.width else rows[None, :, 0])
        with _said_by(self.name):
            output = ops.convert_to_numpy(self.model(inputs, training=False))
            shown: Any = trace(self.model, inputs, layer=self.layer)
        return {
            "output": _rows(output),
            "shown": {name: _rows(values) for name, values in shown.items()},
        }

    def _cast(self, rows: np.ndarray) -> np.ndarray:
        """Return rows in the dtype of the model's input."""
        dtype = keras.backend.standardize_dtype(self.model.inputs[0].dtype)
        if "int" in dtype and (rows != np.rint(rows)).any():
            broken = float(rows[rows != np.rint(rows)][0])
            raise UserError(f"{self.name} takes whole numbers, not {broken:g}")
        return rows.astype(dtype)


@contextlib.contextmanager
def _said_by(name: str) -> Iterator[None]:
    """Turn what a user's model raises into a UserError of one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} raised {in_a_line(error)}") from error


def _rows(array: np.ndarray) -> list[list[float | None]]:
    """Return `(1, time, …)` or `(1, width)` as rows; what is not finite as None."""
    flat = np.asarray(array[0], float)
    flat = flat.reshape(len(flat), -1) if flat.ndim > 1 else flat[None]
    return [
        [float(value) if np.isfinite(value) else None for value in row] for row in flat
    ]


def _showing(model: keras.Model) -> keras.Model:
    """Return a copy with the same weights whose recurrent layers show their gates."""

    try:
        return from_keras_model(model)
    except (TypeError, ValueError):  # none is Keras's, or it cannot be copied
        return model


def receive(content: bytes, name: str) -> Series:
    """Load a model that was sent to the page, as an untrusted file.

    Args:
        content: of a `.keras` file.
        name: of the file.

    Raises:
        UserError: it cannot be loaded or shown; says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        try:
            model = load_model(path)
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from error
    return Series(model, name)


def read_csv(text: str) -> np.ndarray:
    """Read rows of numbers.

    Args:
        text: numbers between commas, semicolons, tabs or spaces; one line of names may
            come first.

    Returns:
        float32 `(rows, columns)`.

    Raises:
        UserError: there are no rows, too many, rows of unlike lengths, or what is no
            finite number; says where.

    Example:
        >>> read_csv("x;y\\n1;2\\n3;4.5").tolist()
        [[1.0, 2.0], [3.0, 4.5]]
    """
    lines = [(k, line.strip()) for k, line in enumerate(text.splitlines(), 1)]
    lines = [(place, line) for place, line in lines if line]
    mark = next((mark for mark in ";\t," if lines and mark in lines[0][1]), " ")
    rows: list[list[float]] = []
    for place, line in lines:
        (cells,) = csv.reader([line], delimiter=mark, skipinitialspace=True)
        numbers = [number for cell in cells if (number := _number(cell)) is not None]
        if not numbers and place == lines[0][0]:
            continue  # names
        if len(numbers) < len(cells):
            column = next(k for k, cell in enumerate(cells) if _number(cell) is None)
            raise UserError(
                f"line {place}, column {column + 1}: {cells[column]!r:.40} is no number"
            )
        if rows and len(numbers) != len(rows[0]):
            raise UserError(
                f"line {place} has {len(numbers)} columns; the first has {len(rows[0])}"
            )
        rows.append(numbers)
    if not 1 <= len(rows) <= MOST_STEPS:
        raise UserError(
            f"a series must have 1 to {MOST_STEPS} rows of numbers, not {len(rows)}"
        )
    return np.array(rows, "float32")


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST else None
