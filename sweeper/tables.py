"""Tables on a terminal or in a pipe, as plain columns."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

WIDEST = 400
"""Columns of a table in a pipe, where nothing has a width and a name must not be broken."""


def plain_table(headings: Sequence[str], left: Sequence[str] = ("cell",)) -> Table:
    """A table without lines; numbers to the right, the columns named in `left` to the left.

    On a narrow terminal the left columns give way, by breaking their text; numbers are whole.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        is_left = heading in left
        table.add_column(
            heading,
            justify="left" if is_left else "right",
            no_wrap=not is_left,
            overflow="fold",
        )
    return table


def print_table(console: Console, table: Table) -> None:
    """Prints a table; in a pipe as wide as it needs to be."""
    wide = console if console.is_terminal else Console(file=console.file, width=WIDEST)
    wide.print(table)
