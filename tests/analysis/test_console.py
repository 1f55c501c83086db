import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import console
from analysis.console import TextTable

TABLE = TextTable(headers=("a", "long"), rows=(("1", "x"), ("22", "yy")))


def test_text_table_within_its_width_shows_all_columns_aligned() -> None:
    assert TABLE.render(80) == [" a  long", " 1     x", "22    yy"]


def test_text_table_too_narrow_drops_what_does_not_fit_and_says_how_to_see_it() -> None:
    table = TextTable(headers=("a", "wide", "b"), rows=(("1", "x" * 30, "2"),))
    hint = ["(too narrow for: wide; a", "  wider terminal, a pipe", "  and --json show all)"]

    assert table.render(26) == ["a  b", "1  2", *hint]


def test_text_table_without_a_width_is_whole() -> None:
    table = TextTable(headers=("name", "b"), rows=(("x" * 300, "2"),), shortened=("name",))

    assert table.render(None)[1] == "x" * 300 + "  2"


def test_text_table_too_narrow_cuts_long_names_in_their_middle() -> None:
    table = TextTable(
        headers=("a", "name"), rows=(("1", "study_of_layer_3_first.csv"),), shortened=("name",)
    )

    assert table.render(24) == ["a                  name", "1  study_of_..first.csv"]


def test_text_table_first_column_is_always_shown() -> None:
    assert TABLE.render(1)[2] == "22"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": math.nan}, {"a": None}),
        ([math.inf, 1.5], [None, 1.5]),
        ((np.int64(3), np.float64("nan")), [3, None]),
        (pd.NA, None),
        (np.bool_(True), True),
        ("text", "text"),
        (np.array([[1.5, math.nan], [2.0, 3.0]]), [[1.5, None], [2.0, 3.0]]),
        (pd.Timestamp("2024-05-01 12:30"), "2024-05-01T12:30:00"),
        (pd.NaT, None),
        (date(2024, 5, 1), "2024-05-01"),
        (Decimal("1.10"), "1.10"),
    ],
)
def test_plain_becomes_strict_json(value: Any, expected: Any) -> None:
    assert json.loads(json.dumps(console.plain(value), allow_nan=False)) == expected


def test_records_of_missing_cells_are_none() -> None:
    table = pd.DataFrame({"a": pd.array([1, pd.NA], dtype="Int64"), "b": [math.nan, 2.0]})

    assert console.records_of(table) == [{"a": 1, "b": None}, {"a": None, "b": 2.0}]


def test_print_lines_of_an_unwrapped_line_keeps_it_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    console.print_lines([console.Unwrapped("a command that is longer than twenty")])

    assert capsys.readouterr().out == "a command that is longer than twenty\n"


def test_print_lines_wraps_at_the_terminals_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")

    console.print_lines(["a sentence that is longer than twenty"])

    assert capsys.readouterr().out.splitlines() == ["a sentence that is", "  longer than twenty"]


def test_print_lines_in_a_pipe_does_not_wrap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    console.print_lines(["word " * 100])

    assert len(capsys.readouterr().out.splitlines()) == 1
