import io
import os
import sys
from collections.abc import Callable

import pytest

from sweeper.output import Output, PlainConsole
from sweeper.tables import plain_table, print_table

App = Callable[..., int]

BRACKETED = "/x/[old] runs/[/old]/:bug:"


def test_plain_console_prints_paths_as_they_are() -> None:
    stream = io.StringIO()
    PlainConsole(stream).print(BRACKETED, soft_wrap=True)
    assert stream.getvalue() == f"{BRACKETED}\n"


def test_output_prints_paths_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Output("").print(BRACKETED, soft_wrap=True)
    assert capsys.readouterr().out == f"{BRACKETED}\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_print_table_prints_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    table = plain_table(("cell", "[b]"))
    table.add_row(BRACKETED, "[red]")
    print_table(Output(""), table)
    shown = capsys.readouterr().out
    for text in (BRACKETED, "[b]", "[red]"):
        assert text in shown


def test_app_folder_with_brackets_is_shown_as_it_is(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "l1_alpha=3", "trainer.total_steps=3", "sweep.study_name=s"
    assert app("--multirun", "hydra.sweep.dir='[old] runs/[/old]'", *asked) == 0
    assert "study s in [old] runs/[/old]/s" in capsys.readouterr().out


def test_print_table_that_nobody_reads_ends_as_every_line_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.close(read)
    table = plain_table(("cell",))
    table.add_row("a")
    with os.fdopen(write, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        with pytest.raises(KeyboardInterrupt, match="Nobody reads the output any more; go on"):
            print_table(Output("go on."), table)
