"""Tables of scores as plain text."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table


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
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(
        file=io.StringIO(), width=1000, color_system=None, markup=False, highlight=False
    )
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    return "\n".join(line.rstrip() for line in lines)
