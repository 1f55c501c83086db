"""Tables on a terminal or in a pipe, as plain columns."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from sweeper.output import PlainConsole

WIDEST = 400
"""Columns of a table in a pipe, where nothing has a width and a name must not be broken."""


LEAST = 13
"""Columns of a name, which is that of a cell of one width."""


def plain_table(headings: Sequence[str], left: Sequence[str] = ("cell",)) -> Table:
    """A table without lines; numbers to the right, the columns named in `left` to the left.

    On a narrow terminal the left columns give way, by breaking their text, but not below `LEAST`;
    numbers are whole.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        is_left = heading in left
        table.add_column(
            heading,
            justify="left" if is_left else "right",
            no_wrap=not is_left,
            min_width=LEAST if is_left else None,
            overflow="fold",
        )
    return table


def print_table(console: Console, table: Table) -> None:
    """Prints a table; in a pipe as wide as it needs to be, and never narrower than can be read."""
    if not console.is_terminal:
        drawn = io.StringIO()
        PlainConsole(drawn, WIDEST).print(table)
        # Through the console itself, which knows what to do where nobody reads.
        console.print(drawn.getvalue(), end="", soft_wrap=True, highlight=False)
        return
    least = Measurement.get(console, console.options, table).minimum
    console.print(table, width=max(least, console.width), crop=False, no_wrap=True)
