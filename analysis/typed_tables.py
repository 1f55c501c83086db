"""A table of trials with the record's columns and dtypes."""

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import COLUMN, COLUMNS


def with_dtypes(table: pd.DataFrame) -> pd.DataFrame:
    """All columns of the record in their order and dtypes, then the others as they are.

    Raises:
        AnalysisError: A value is not of its column's kind.
    """
    columns = {
        column.name: _cast(table, column.name)
        if column.name in table
        else pd.Series(pd.NA if column.dtype != "float64" else np.nan, index=table.index).astype(
            column.dtype
        )
        for column in COLUMNS
    }
    others = {str(name): table[name] for name in table.columns if name not in COLUMN}
    return pd.DataFrame({**columns, **others}, index=table.index)


def _cast(table: pd.DataFrame, name: str) -> pd.Series:
    dtype = COLUMN[name].dtype
    if dtype in ("float64", "Int64"):
        numbers = numeric(table, name)
        if dtype == "float64":
            return numbers
        whole = numbers.isna() | (numbers == np.floor(numbers))
        if not whole.all():
            bad = table[name][~whole].iloc[0]
            raise AnalysisError(f"{name} must be a whole number, but got {bad}.")
        return numbers.astype("Int64")
    if dtype == "boolean":
        return _flags(table, name)
    return table[name].astype("string")


def numeric(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as float64, missing values as NaN.

    Raises:
        AnalysisError: A value is no number.
    """
    numbers = pd.to_numeric(table[name], errors="coerce").astype("float64")
    lost = numbers.isna() & table[name].notna()
    if lost.any():
        row = int(np.flatnonzero(lost.to_numpy())[0])
        raise AnalysisError(
            f"{name} must be a number, but row {row} has {table[name].iloc[row]!r}."
        )
    return numbers


_FLAGS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def _flags(table: pd.DataFrame, name: str) -> pd.Series:
    texts = table[name].astype("string").str.strip().str.lower()
    unknown = texts.notna() & ~texts.isin(list(_FLAGS))
    if unknown.any():
        raise AnalysisError(f"{name} must be true or false, but got {texts[unknown].iloc[0]!r}.")
    return texts.map(_FLAGS).astype("boolean")
