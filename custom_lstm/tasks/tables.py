"""Tables of scores."""

from collections.abc import Iterable, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text


def rich_table(
    columns: Iterable[str], rows: Iterable[Sequence[str]], first: JustifyMethod
) -> Table:
    """Return a table without lines; its columns but the first are aligned right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        side: JustifyMethod = "right" if number else first
        table.add_column(Text(name), justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as aligned lines of plain text.

    Args:
        columns: their heads; the first column is aligned left, the others right.
        rows: cells, as many in each as there are columns.

    Returns:
        Lines without a newline at the end.

    Example:
        >>> print(text_table(["cell", "wrong"], [["gru", "7"], ["lstm", "0"]]))
        cell  wrong
        gru       7
        lstm      0
    """
    console = Console(width=1000, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(rich_table(columns, rows, first="left"))
    lines = captured.get().splitlines()
    return "\n".join(line.rstrip() for line in lines)
