"""Options of a command: one frozen dataclass, from words and JSON and back.

A field of the dataclass is an option, its docstring the help; a field that is itself
a frozen dataclass is a group of options. No name stands in two groups. This package
imports neither Keras nor TensorFlow, so that `--help` and mistyped options answer at
once.
"""

from custom_lstm.options.checks import MANY, check_ranges, check_resumed
from custom_lstm.options.names import flat, nearest, spelled
from custom_lstm.options.stored import restore, to_json, to_words
from custom_lstm.options.words import preset_in, read_words

__all__ = [
    "MANY",
    "check_ranges",
    "check_resumed",
    "flat",
    "nearest",
    "preset_in",
    "read_words",
    "restore",
    "spelled",
    "to_json",
    "to_words",
]
