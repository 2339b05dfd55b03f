"""Ctrl-C and SIGTERM: a training ends after the current step."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from custom_lstm.errors import UserError

_SAID = b"\nstopping after this step; a second Ctrl-C stops without saving\n"


class Stopped(Exception):
    """A signal asked the training to stop, and what was reached is saved."""


class Terminated(UserError):
    """SIGTERM ended a training: the process should exit."""

    exit_code = 128 + signal.SIGTERM


class Stopping:
    """While it lasts, Ctrl-C and SIGTERM ask to stop instead of stopping.

    A second Ctrl-C raises KeyboardInterrupt as usual. Only the main thread can
    listen; in another, nothing changes.

    Args:
        from_all: where several processes train together, returns the largest of the
            numbers that they give at once: one that stopped alone would leave the
            others waiting.

    Attributes:
        requested: the signal that came, if any; with several processes, in any of them
            before they last agreed.

    Example:
        >>> with Stopping() as stopping:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     stopping.requested.name
        'SIGTERM'
    """

    def __init__(self, from_all: Callable[[int], int] | None = None) -> None:
        self.requested: signal.Signals | None = None
        self._here: signal.Signals | None = None
        self._from_all = from_all
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

    def agree(self) -> None:
        """Let all processes know what came to each; all must call it at once."""
        if self._from_all is not None:
            number = self._from_all(self._here or 0)
            self.requested = signal.Signals(number) if number else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._here = signal.Signals(number)
        if self._from_all is None:
            self.requested = self._here
        if self._here is signal.SIGINT:
            signal.signal(signal.SIGINT, self._former[signal.SIGINT])
            with contextlib.suppress(OSError):  # `print` must not interrupt itself
                os.write(2, _SAID)
