"""CSV as people's programs write it: other separators, comments, trailing separators."""

import csv
import gzip
import io
import re
import warnings
from pathlib import Path

import pandas as pd
from pandas.errors import ParserError, ParserWarning

_SEPARATORS = (",", ";", "\t")


def read_csv(path: Path) -> pd.DataFrame:
    """Reads a table whose first line names the columns; empty fields beyond them are left out.

    Separated by commas, or by what some programs write in their place.

    Raises:
        ValueError: It is no such table: a column is there twice, or a row is longer than the
            header.
        OSError: The file cannot be read.
    """
    text = _with_plain_header(_without_comments(path))
    headers = {separator: _header(text, separator) for separator in _SEPARATORS}
    separator = next((each for each in _SEPARATORS if len(headers[each]) > 1), _SEPARATORS[0])
    names = headers[separator]
    if twice := sorted(set(names[names.duplicated()].dropna())):  # pandas would number them
        raise ValueError(f"column {twice[0]!r} is there twice")
    return _rows(text, separator, len(names))


def _with_plain_header(text: str) -> str:
    """The text without the blanks around its columns' names, which hide the names."""
    start = len(text) - len(text.lstrip("\n"))
    line, end, rest = text[start:].partition("\n")
    if '"' in line:
        return text
    names = line.removesuffix("\r")
    plain = re.sub(r" *([,;\t]) *", r"\1", names.strip(" "))
    return text[:start] + plain + line[len(names) :] + end + rest


def _header(text: str, separator: str) -> pd.Series:
    lines = io.StringIO(text)
    return pd.read_csv(lines, sep=separator, header=None, nrows=1, dtype=str).iloc[0]


def _rows(text: str, separator: str, width: int) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)  # fields that no name stands for
            # Of longer rows pandas would else take the first fields for the rows' names.
            return pd.read_csv(io.StringIO(text), sep=separator, index_col=False)
    except (ParserError, ParserWarning):
        _refuse_longer_rows(text, separator, width)
        columns = range(width)
        return pd.read_csv(io.StringIO(text), sep=separator, index_col=False, usecols=columns)


def _refuse_longer_rows(text: str, separator: str, width: int) -> None:
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for row in rows:
            if any(field.strip() for field in row[width:]):
                raise ValueError(f"line {rows.line_num} has {len(row)} fields, the header {width}")
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from None


def _without_comments(path: Path) -> str:
    """The text with its comments blanked, so that errors still name the file's lines."""
    kept: list[str] = []
    is_quoted = False
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        for line in file:
            is_comment = line.lstrip().startswith("#") and not is_quoted
            kept.append("\n" if is_comment else line)
            if not is_comment and line.count('"') % 2:  # the value goes on in the next line
                is_quoted = not is_quoted
    return "".join(kept)
