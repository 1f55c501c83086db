"""Tables on a terminal or in a pipe, as plain columns."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

WIDEST = 400
"""Columns of a table in a pipe, where nothing has a width and a name must not be broken."""


def plain_table(headings: Sequence[str], left: Sequence[str] = ("cell",)) -> Table:
    """A table without lines; numbers to the right, the columns named in `left` to the left."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return table


def print_table(console: Console, table: Table) -> None:
    """Prints a table; in a pipe as wide as it needs to be."""
    width = None if console.is_terminal else WIDEST
    console.print(table, width=width, crop=False, no_wrap=True)
