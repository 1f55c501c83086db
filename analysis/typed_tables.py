"""A table of trials with the record's columns and dtypes."""

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import COLUMN, COLUMNS, WHOLE_LIMIT, Units

ALPHA_UNITS = "alpha_units"
"""A further column of tables whose alpha is not in canonical units."""


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


def as_trials(table: pd.DataFrame) -> pd.DataFrame:
    """A trial table after whatever pandas did to it: each row has a number of its own.

    Raises:
        AnalysisError: It lacks a column, so that it is no trial table.
    """
    missing = [column.name for column in COLUMNS if column.name not in table]
    if missing:
        raise AnalysisError(
            "trials must be a table as analysis.load_trials returns it, which has a column "
            f"{missing[0]}, but got one without."
        )
    if table.index.is_unique and pd.api.types.is_integer_dtype(table.index):
        return table
    return table.reset_index(drop=True)


def units_of(table: pd.DataFrame) -> Units:
    """What a table's `alpha_canonical` is, by its column `alpha_units`, or else by its `attrs`.

    Pandas keeps a column in every operation, and `attrs` in few.

    Raises:
        AnalysisError: Rows are in several units, or in none that is known.
    """
    if ALPHA_UNITS not in table or table.empty:
        return Units(table.attrs.get("units", Units.canonical))
    found = sorted(table[ALPHA_UNITS].fillna(Units.canonical.value).astype(str).unique())
    if len(found) != 1 or found[0] not in list(Units):
        raise AnalysisError(
            f"{ALPHA_UNITS} must be one of {', '.join(Units)} for all rows, "
            f"but got {', '.join(found) or 'none'}."
        )
    return Units(found[0])


def _cast(table: pd.DataFrame, name: str) -> pd.Series:
    dtype = COLUMN[name].dtype
    if dtype == "float64":
        return numeric(table, name)
    if dtype == "Int64":
        return _whole(table, name)
    if dtype == "boolean":
        return _flags(table, name)
    return table[name].astype("string")


def _whole(table: pd.DataFrame, name: str) -> pd.Series:
    if pd.api.types.is_signed_integer_dtype(table[name]):
        return table[name].astype("Int64")  # as float64 the largest would be rounded
    numbers = numeric(table, name)
    fractional = numbers.notna() & ~(np.isfinite(numbers) & (numbers == np.floor(numbers)))
    if fractional.any():
        bad = table[name][fractional].iloc[0]
        raise AnalysisError(f"{name} must be a whole number, but got {bad}.")
    large = numbers.abs() >= WHOLE_LIMIT
    if large.any():
        bad = table[name][large].iloc[0]
        raise AnalysisError(f"{name} must lie between -2^63 and 2^63, but got {bad}.")
    return numbers.astype("Int64")


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
