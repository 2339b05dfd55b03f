"""Ctrl-C and SIGTERM: asked politely, a training ends after the step in hand."""

import signal
import threading
from types import FrameType
from typing import Any

from custom_lstm.errors import UserError


class Stopped(Exception):
    """A signal asked the training to stop, and what was reached is saved."""


class Terminated(UserError):
    """SIGTERM ended a training: nothing more is to be done but to leave."""

    exit_code = 128 + signal.SIGTERM


class Stopping:
    """While it lasts, Ctrl-C and SIGTERM ask to stop instead of stopping.

    A second Ctrl-C raises KeyboardInterrupt as usual. Only the main thread can
    listen; in another, nothing changes.

    Attributes:
        asked: the signal that came, if any.

    Example:

    >>> with Stopping() as stopping:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     stopping.asked.name
    'SIGTERM'
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stopping":
        """Listen."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        for number, former in self._former.items():
            signal.signal(number, former)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = signal.Signals(number)
        if self.asked is signal.SIGINT:
            signal.signal(signal.SIGINT, self._former[signal.SIGINT])
            print("\nstopping after this step; press Ctrl-C again to drop everything")
