"""What options must keep to besides their types."""

from collections.abc import Mapping, Sequence
from typing import Any

from custom_lstm.errors import UsageError
from custom_lstm.options.names import flat, spelled

MANY = 10**9
"""The upper end of a range that has none."""


def check_ranges(options: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check every number's range; None is in all of them.

    Args:
        options: the options.
        ranges: least and largest value by name; for a tuple, of each member.

    Raises:
        UsageError: names the first option that is out of range.
    """
    values = flat(options)
    for name, (low, high) in ranges.items():
        value = values[name]
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not low <= number <= high:
                bounds = f"{low} or more" if high == MANY else f"{low} to {high}"
                raise UsageError(f"{spelled(name)} must be {bounds}, not {number}")


def check_resumed(options: Any, default: Any, may_change: Sequence[str]) -> None:
    """Check that options given beside `--resume` are among those that may change.

    Args:
        options: what was asked for; has an option `resume`.
        default: what holds where nothing was typed.
        may_change: names of the options that may be given.

    Raises:
        UsageError: names the first other option that was given.
    """
    asked, held = flat(options), flat(default)
    if asked["resume"] is None:
        return
    for name in asked:
        if name not in {"resume", *may_change} and asked[name] != held[name]:
            allowed = " and ".join(map(spelled, may_change)) or "nothing else"
            raise UsageError(
                f"{spelled(name)} cannot change on --resume: the run's own options "
                f"hold; only {allowed} may be given"
            )
