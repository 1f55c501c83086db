"""Plain text for terminals and pipes: tables that fit the width, and JSON."""

import json
import math
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

import numpy as np
import pandas as pd
import typer

_GAP = "  "


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

    def render(self, width: int) -> list[str]:
        """Lines no longer than `width`: what does not fit is dropped from the right, and named.

        Args:
            width: Characters a line; the first column is always shown.
        """
        widths = [
            max(len(cell) for cell in (header, *(row[index] for row in self.rows)))
            for index, header in enumerate(self.headers)
        ]
        shown = len(widths)
        while shown > 1 and sum(widths[:shown]) + len(_GAP) * (shown - 1) > width:
            shown -= 1
        lines = [
            _GAP.join(
                cell.rjust(size) for cell, size in zip(row[:shown], widths[:shown], strict=True)
            )
            for row in (self.headers, *self.rows)
        ]
        if shown < len(widths):
            hidden = ", ".join(self.headers[shown:])
            lines.append(f"(too narrow for: {hidden}; --json has everything)")
        return lines


def terminal_width() -> int:
    """Columns of the terminal; 80 in a pipe, unless COLUMNS says otherwise."""
    return shutil.get_terminal_size((80, 24)).columns


def print_answer(answer: str) -> None:
    """Prints the first line of every command's output: what was asked for."""
    typer.secho(answer, bold=True)


def print_lines(lines: Sequence[str]) -> None:
    """Prints sentences, wrapped at the terminal's width unless they are `Unwrapped`."""
    width = terminal_width()
    for line in lines:
        for part in _parts(line, width):
            typer.echo(part)


def _parts(line: str, width: int) -> list[str]:
    if isinstance(line, Unwrapped):
        return [line]
    return textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)


def print_table(table: TextTable) -> None:
    """Prints a table at the terminal's width."""
    for line in table.render(terminal_width()):
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
