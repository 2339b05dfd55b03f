"""Endless sequences: chunk by chunk, in constant memory, many at once."""

from custom_lstm.streaming.stream import Stream

__all__ = ["Stream"]
