"""Trial tables: from a study's folder, or from anybody's CSV or Parquet file."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import COLUMN, COLUMNS, State, Units, validate_record

Source = Path | str

# What a foreign table must have; l0 may be given as l0_fraction.
_ESSENTIAL = ("latent_dim", "l1_alpha")
_MOST_NAMES = 12


def load_trials(source: Source | Sequence[Source]) -> pd.DataFrame:
    """Reads trials into one tidy table.

    Args:
        source: A study's folder (every `trial_*/result.json` is read), one `result.json`, a CSV or
            Parquet file with at least `latent_dim`, `l1_alpha` and `l0` or `l0_fraction` (lines
            starting with # are comments), or a list of such sources.

    Returns:
        One row per trial, index 0, 1, ...; all columns of `analysis.records.COLUMNS` with their
        dtypes, then any further columns of the source as they came. `attrs["problems"]` lists
        what could not be read (`{"source", "reason"}`), `attrs["notes"]` what was assumed,
        `attrs["units"]` whether `alpha_canonical` is `canonical` or `as_given`.
        Values are not judged here: `analysis.selection` says which rows a fit may use.

    Raises:
        AnalysisError: A source does not exist, is empty or malformed, or lacks a column.
    """
    sources: list[Source] = [source] if isinstance(source, Path | str) else list(source)
    if not sources:
        raise AnalysisError("source must name at least one study or file, but got an empty list.")
    problems: list[dict[str, str]] = []
    notes: list[str] = []
    tables = [_load_one(Path(each), problems, notes) for each in sources]
    table = pd.concat([_with_dtypes(each) for each in tables], ignore_index=True)
    if table.empty:
        listed = ", ".join(str(each) for each in sources)
        unread = f" ({len(problems)} could not be read)" if problems else ""
        raise AnalysisError(f"source must hold at least one trial, but {listed} has none{unread}.")
    units = Units.as_given if notes else Units.canonical
    table.attrs = {"problems": problems, "notes": notes, "units": units.value}
    return table


def trials_from_records(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The tidy table of records that are in memory already.

    Raises:
        AnalysisError: A record is not valid.
    """
    listed = list(records)
    for record in listed:
        validate_record(record)
    table = _with_dtypes(_table_of_records(listed))
    table.attrs = {"problems": [], "notes": [], "units": Units.canonical.value}
    return table


def _load_one(path: Path, problems: list[dict[str, str]], notes: list[str]) -> pd.DataFrame:
    if path.is_dir():
        return _load_folder(path, problems)
    if not path.is_file():
        raise AnalysisError(f"source must be an existing folder or file, but got {str(path)!r}.")
    if path.suffix == ".json":
        return _load_results([path], problems)
    if path.suffix in (".csv", ".parquet"):
        return _load_table(path, notes)
    raise AnalysisError(
        f"source must be a folder, .json, .csv or .parquet file, but got {str(path)!r}."
    )


def _load_folder(folder: Path, problems: list[dict[str, str]]) -> pd.DataFrame:
    results = sorted(folder.glob("trial_*/result.json"))
    if not results:
        raise AnalysisError(
            f"source must hold trial_*/result.json files, but the folder {str(folder)!r} has none."
        )
    return _load_results(results, problems)


def _load_results(paths: Sequence[Path], problems: list[dict[str, str]]) -> pd.DataFrame:
    """Reads records; one that is truncated or invalid is named among the problems and left out."""
    records: list[Mapping[str, Any]] = []
    for path in paths:
        try:
            record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
            if not isinstance(record, dict):
                raise AnalysisError("a trial record must be a JSON object.")
            validate_record(record)
        except (ValueError, AnalysisError) as error:
            problems.append({"source": str(path), "reason": f"not a valid trial record: {error}"})
        else:
            records.append(record)
    return _table_of_records(records)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number in JSON")


def _table_of_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{key: _flat(value) for key, value in row.items()} for row in records])


def _flat(value: object) -> object:
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value


def _load_table(path: Path, notes: list[str]) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, comment="#", skip_blank_lines=True)
    except (ValueError, OSError) as error:  # pandas and pyarrow parser errors are ValueErrors
        line = str(error).strip().splitlines()[0]
        raise AnalysisError(f"{path} must be a readable table, but: {line}") from None
    _require_columns(table, path)
    table = _complete_l0(table)
    if "state" not in table:
        table["state"] = State.complete.value
    if "alpha_canonical" not in table:
        _refuse_mixed_objectives(table, path)
        table["alpha_canonical"] = table["l1_alpha"]
        notes.append(
            f"{path} has no alpha_canonical: its l1_alpha is taken as it stands, in the file's "
            "own units."
        )
    return table


def _require_columns(table: pd.DataFrame, path: Path) -> None:
    names = [str(name) for name in table.columns]
    wanted: list[str] = list(_ESSENTIAL)
    if "l0" not in names and "l0_fraction" not in names:
        wanted.append("l0")
    for column in wanted:
        if column not in names:
            hint = _nearest_hint(column, names)
            raise AnalysisError(
                f"{column} must be a column of {path}, but it has only {_listed(names)}{hint}."
            )


def _listed(names: Sequence[str]) -> str:
    """The names on one short line, whatever is in the file."""
    shown = ", ".join(ascii(name)[1:31].rstrip("'") for name in names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _nearest_hint(column: str, names: Sequence[str]) -> str:
    by_lower_case = {name.strip().lower(): name for name in names if name not in _ESSENTIAL}
    wanted = (column, "l0_fraction") if column == "l0" else (column,)
    nearest = [
        match
        for name in wanted
        for match in difflib.get_close_matches(name, list(by_lower_case), n=1, cutoff=0.5)
    ]
    return f"; the nearest column is {by_lower_case[nearest[0]]!r}" if nearest else ""


def _complete_l0(table: pd.DataFrame) -> pd.DataFrame:
    """Fills l0 from l0_fraction or the other way round, where one of them is missing."""
    table = table.copy()
    width = _numeric(table, "latent_dim")
    if "l0" not in table:
        table["l0"] = _numeric(table, "l0_fraction") * width
    if "l0_fraction" not in table:
        table["l0_fraction"] = _numeric(table, "l0") / width
    return table


def _refuse_mixed_objectives(table: pd.DataFrame, path: Path) -> None:
    for column in ("objective", "penalty"):
        if column in table and len(table[column].unique()) > 1:
            listed = ", ".join(sorted({str(value) for value in table[column]}))
            raise AnalysisError(
                f"{column} must be one for all rows of {path} where alpha_canonical is missing, "
                f"but got {listed}."
            )


def _with_dtypes(table: pd.DataFrame) -> pd.DataFrame:
    """All columns of the record in their order and dtypes, then the others as they are."""
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
        numbers = _numeric(table, name)
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


def _numeric(table: pd.DataFrame, name: str) -> pd.Series:
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
