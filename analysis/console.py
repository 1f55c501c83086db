"""Plain text: tables that fit a terminal, whole lines in a pipe, and JSON."""

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

import numpy as np
import pandas as pd
import typer

_GAP = "  "
_LONGEST_NAME = 20
_LEFT_OUT = ".."


class Unwrapped(str):
    """A line that is pasted elsewhere, such as a command: it is printed whole at any width."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTable:
    """Rows of text under headers; columns in order of importance."""

    headers: tuple[str, ...]
    """One for each column."""
    rows: tuple[tuple[str, ...], ...]
    """Cells as they are printed."""

    shortened: tuple[str, ...] = ()
    """Headers of columns of names, which are cut in their middle where the table does not fit."""

    def render(self, width: int | None) -> list[str]:
        """Lines no longer than `width`: columns that do not fit are left out, and named.

        Args:
            width: Characters a line; the first column is always shown. None for whole lines.
        """
        columns = [
            (header, *(row[index] for row in self.rows))
            for index, header in enumerate(self.headers)
        ]
        if width is None or _width_of(columns) <= width:
            return _lines(columns)
        columns = [
            tuple(map(_cut, column)) if column[0] in self.shortened else column
            for column in columns
        ]
        shown = columns[:1]
        for column in columns[1:]:
            if _width_of([*shown, column]) <= width:
                shown.append(column)
        hidden = ", ".join(column[0] for column in columns if column not in shown)
        hint = f"(too narrow for: {hidden}; a wider terminal, a pipe and --json show all)"
        return _lines(shown) + (_wrapped(hint, width) if hidden else [])


def _width_of(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) for column in columns) + len(_GAP) * (len(columns) - 1)


def _lines(columns: Sequence[Sequence[str]]) -> list[str]:
    aligned = [[cell.rjust(max(map(len, column))) for cell in column] for column in columns]
    return [_GAP.join(row) for row in zip(*aligned, strict=True)]


def _cut(name: str) -> str:
    """A long name without its middle, since names of one place begin, or end, alike."""
    kept = (_LONGEST_NAME - len(_LEFT_OUT)) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:kept]}{_LEFT_OUT}{name[-kept:]}"


def output_width() -> int | None:
    """Columns of the terminal, or those that COLUMNS says; None, for whole lines, in a pipe."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return None
    return shutil.get_terminal_size((80, 24)).columns


def print_answer(answer: str) -> None:
    """Prints the first line of every command's output: what was asked for."""
    typer.secho(answer, bold=True)


def print_lines(lines: Sequence[str]) -> None:
    """Prints sentences, wrapped at the output's width unless they are `Unwrapped`."""
    width = output_width()
    for line in lines:
        for part in _parts(line, width):
            typer.echo(part)


def _parts(line: str, width: int | None) -> list[str]:
    if width is None or isinstance(line, Unwrapped):
        return [line]
    return _wrapped(line, width)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)


def print_table(table: TextTable) -> None:
    """Prints a table at the output's width."""
    for line in table.render(output_width()):
        typer.echo(line)


def print_json(content: object) -> None:
    """Prints strict JSON: NaN, missing values and infinities become null."""
    typer.echo(json.dumps(plain(content), indent=2, allow_nan=False))


def plain(content: Any) -> Any:
    """Mappings, sequences, arrays and scalars as plain JSON values, times in ISO 8601.

    What JSON has no word for is given as text.
    """
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.ndarray):
        return plain(content.tolist())
    if hasattr(content, "item"):
        content = content.item()
    if content is None or content is pd.NA or content is pd.NaT:
        return None
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, date | time):
        return content.isoformat()
    return content if isinstance(content, str | int | float) else str(content)


def records_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain JSON values."""
    return [
        {str(key): plain(value) for key, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
