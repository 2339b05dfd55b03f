"""What layers and tools ask of a cell besides its step."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


class CellHooks:
    """The part of `AbstractRNNCell` that a layer or tool calls around the steps.

    Example:

    >>> seen = {}
    >>> cell = CellHooks()
    >>> with cell.observed(seen.update):
    ...     cell.observe(gate=0.5)
    >>> seen
    {'gate': 0.5}
    """

    _in_sequence = False
    _inputs_are_projected = False
    _observer: Callable[[dict[str, Any]], None] | None = None

    def begin_sequence(self, batch_size: Any, training: Any = True) -> None:
        """Hook: draw here what must stay the same over the steps of a sequence.

        `custom_lstm.RNN` calls it before every loop. `keras.layers.RNN` tells a cell
        of a new sequence only by asking for its initial state, so that
        `get_initial_state` calls it too, not knowing whether it is for training.

        Args:
            batch_size: number of sequences.
            training: False if the sequence is certainly not for training.
        """

    def end_sequence(self) -> None:
        """Hook: forget here what `begin_sequence` drew."""

    @contextlib.contextmanager
    def sequence(self, batch_size: Any, training: Any) -> Iterator[None]:
        """Brackets the steps of one sequence with `begin_` and `end_sequence`."""
        self.begin_sequence(batch_size, training)
        self._in_sequence = True
        try:
            yield
        finally:
            self._in_sequence = False
            self.end_sequence()

    @contextlib.contextmanager
    def projected(self) -> Iterator[None]:
        """While it lasts, `call` takes what `project` returned for `inputs`."""
        self._inputs_are_projected = True
        try:
            yield
        finally:
            self._inputs_are_projected = False

    def observe(self, **values: Any) -> None:
        """Shows tensors of this step, by name, to `custom_lstm.trace` if it looks.

        Args:
            **values: tensors `(batch, width)`; the same names in every step.
        """
        if self._observer is not None:
            self._observer(values)

    @contextlib.contextmanager
    def observed(self, observer: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """While it lasts, `observer` is called with what the steps `observe`."""
        self._observer = observer
        try:
            yield
        finally:
            self._observer = None
