import io

import pytest
from rich.console import Console

from sweeper.tables import plain_table, print_table

NAME = "latent_dim=16384,learning_rate=0.0003,target_l0=128"


def printed(*, is_terminal: bool) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=60, force_terminal=is_terminal, color_system=None)
    table = plain_table(("cell", "target", "alpha", "95 % interval"))
    table.add_row(NAME, "51.2", "2.076", "2.04 - 2.11")
    print_table(console, table)
    return stream.getvalue().splitlines()


def test_print_table_in_a_pipe_breaks_no_name() -> None:
    [_, row] = printed(is_terminal=False)
    assert row.split() == [NAME, "51.2", "2.076", "2.04", "-", "2.11"]


def test_print_table_on_a_narrow_terminal_keeps_the_numbers_whole() -> None:
    lines = printed(is_terminal=True)
    assert max(len(line.rstrip()) for line in lines) <= 60
    assert any("2.04 - 2.11" in line for line in lines)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_print_table_shortens_nothing(is_terminal: bool) -> None:
    assert "…" not in "".join(printed(is_terminal=is_terminal))
