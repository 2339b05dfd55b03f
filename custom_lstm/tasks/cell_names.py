"""Cells by name, as options of tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from custom_lstm.config import nearest
from custom_lstm.errors import UsageError

if TYPE_CHECKING:
    from custom_lstm.cells import AbstractRNNCell

CellName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z_]\w*(>\w+)?$")]
"""A name for `custom_lstm.cells.get`; whether it is one, `cell_class` checks."""


def cell_class(
    option: str, name: str, others: Sequence[str] = ()
) -> "type[AbstractRNNCell]":
    """Return the class of a cell; imports Keras.

    Args:
        option: the option that names it.
        name: any that `custom_lstm.cells.get` knows.
        others: what the option takes besides cells.

    Raises:
        UsageError: there is no such cell; names the nearest.

    Example:
        >>> cell_class("--cell", "gru").__name__
        'GRUCell'
        >>> cell_class("--cell", "custom_lstm>PeepholeLSTMCell").__name__
        'PeepholeLSTMCell'
    """
    from custom_lstm import cells

    try:
        return cells.get(name)
    except cells.AmbiguousName as error:
        raise UsageError(f"{option} {name}: {error}") from None
    except ValueError:
        known = (*cells.names(), *others)
        raise UsageError(
            f"{option} must be one of {', '.join(known)}, or the name under which a "
            f"cell is registered, not {name}{nearest(name, known)}"
        ) from None
