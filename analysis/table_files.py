"""Tables as files: CSV, Parquet, Markdown and LaTeX."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from analysis import formatting as show
from analysis.console import records_of
from analysis.errors import AnalysisError
from analysis.files import write_atomically

_LATEX_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    }
)  # fmt: skip


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table in the format that the file's ending names.

    Raises:
        AnalysisError: The ending is none of .csv, .parquet, .md and .tex.
        OSError: The file cannot be written.
    """
    if path.suffix not in _WRITERS:
        listed = ", ".join(_WRITERS)
        raise AnalysisError(f"output must end in one of {listed}, but got {str(path)!r}.")
    write_atomically(path, _WRITERS[path.suffix](table))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream, index=False)
    return stream.getvalue()


def _markdown(table: pd.DataFrame) -> bytes:
    table = _with_content(table)
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns), *_texts(table)]
    escaped = [[cell.replace("\\", "\\\\").replace("|", r"\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped).encode()


def _latex(table: pd.DataFrame) -> bytes:
    table = _with_content(table)
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    header, *body = [
        " & ".join(cell.translate(_LATEX_ESCAPES) for cell in line) + r" \\"
        for line in [list(map(str, table.columns)), *_texts(table)]
    ]
    columns = "".join("r" if right else "l" for right in numeric)
    lines = [
        rf"\begin{{tabular}}{{{columns}}}", r"\hline", header, r"\hline", *body, r"\hline",
        r"\end{tabular}",
    ]  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode()


def _with_content(table: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that say nothing in any row: for people, who read side by side."""
    return table.loc[:, table.notna().any()]


def _texts(table: pd.DataFrame) -> list[list[str]]:
    """Cells as people read them, without line breaks."""
    return [[_text(value) for value in row.values()] for row in records_of(table)]


def _text(value: Any) -> str:
    if value is None:
        return show.MISSING
    if isinstance(value, float):
        return show.count(value) if value.is_integer() else show.number(value)
    return " ".join(str(value).split())


_WRITERS: Final[Mapping[str, Callable[[pd.DataFrame], bytes]]] = MappingProxyType(
    {".csv": _csv, ".parquet": _parquet, ".md": _markdown, ".tex": _latex}
)
