"""Trial tables: from a study's folder or storage, or from anybody's CSV or Parquet file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.foreign_tables import complete_table, is_table, read_table, with_single_names
from analysis.records import Units, validate_record
from analysis.sources import Source, is_storage, name_of, redacted
from analysis.study_records import records_in_files, records_in_folder, records_in_storage
from analysis.typed_tables import units_of, with_dtypes

_IN_MEMORY = "the table"


def load_trials(
    source: Source | pd.DataFrame | Sequence[Source | pd.DataFrame],
    *,
    study_name: str | None = None,
) -> pd.DataFrame:
    """Reads trials into one tidy table.

    Args:
        source: A study's folder (every `trial_*/result.json`, and trials whose file was deleted
            from its `study.journal`), one `result.json`, a CSV, TSV (both also as `.gz`) or
            Parquet file with at least `latent_dim`, `l1_alpha` and `l0` or `l0_fraction` (lines
            starting with # are comments), an Optuna storage (`sqlite:///...`, `postgresql://...`,
            `mysql://...`, or the path of a `.journal` file), a DataFrame as such a file would
            give it, or a list of such sources.
        study_name: Which sweep of a storage; may be left out where the storage holds one. Of what
            is no storage, a folder's own name is taken, and no other.

    Returns:
        One row per trial, index 0, 1, ...; all columns of `analysis.records.COLUMNS` with their
        dtypes, then any further columns of the source as they came. `attrs["problems"]` lists
        what could not be read (`{"source", "reason"}`), `attrs["notes"]` what was assumed,
        `attrs["units"]` whether `alpha_canonical` is `canonical` or `as_given`; in the second
        case every row says so too, in a further column `alpha_units`.
        Values are not judged here: `analysis.selection` says which rows a fit may use.

    Raises:
        AnalysisError: A source does not exist, is empty or malformed, or lacks a column, or it
            holds no sweep of that name.
    """
    is_single = isinstance(source, Path | str | pd.DataFrame)
    sources: list[Source | pd.DataFrame] = [source] if is_single else list(source)
    if not sources:
        raise AnalysisError("source must name at least one study or file, but got an empty list.")
    problems: list[dict[str, str]] = []
    notes: list[str] = []
    tables = [_load_one(each, study_name, problems, notes) for each in sources]
    units = [units_of(each) for each in tables]
    if len(set(units)) > 1:
        foreign = sources[units.index(Units.as_given)]
        raise AnalysisError(
            "alpha_canonical must be in every source or in none, "
            f"but {_shown(foreign)} has its own units."
        )
    table = pd.concat([with_dtypes(each) for each in tables], ignore_index=True)
    if table.empty:
        listed = ", ".join(_shown(each) for each in sources)
        unread = ""
        if problems:
            first = " ".join(problems[0]["reason"].split())
            unread = f" ({len(problems)} could not be read; the first: {first})"
        raise AnalysisError(f"source must hold at least one trial, but {listed} has none{unread}.")
    table.attrs = {"problems": problems, "notes": notes, "units": units[0].value}
    return table


def trials_from_records(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The tidy table of records that are in memory already.

    Raises:
        AnalysisError: A record is not valid.
    """
    listed = list(records)
    for record in listed:
        validate_record(record)
    table = with_dtypes(_table_of_records(listed))
    table.attrs = {"problems": [], "notes": [], "units": Units.canonical.value}
    return table


def _shown(source: Source | pd.DataFrame) -> str:
    return _IN_MEMORY if isinstance(source, pd.DataFrame) else redacted(str(source))


def _load_one(
    source: Source | pd.DataFrame,
    study_name: str | None,
    problems: list[dict[str, str]],
    notes: list[str],
) -> pd.DataFrame:
    if not isinstance(source, pd.DataFrame) and is_storage(source):
        return _table_of_records(records_in_storage(source, study_name, problems))
    _refuse_another_study(source, study_name)
    if isinstance(source, pd.DataFrame):
        # A table of trials goes on with what was known of it.
        problems += source.attrs.get("problems", [])
        notes += source.attrs.get("notes", [])
        return complete_table(with_single_names(source, _IN_MEMORY), _IN_MEMORY, notes)
    path = Path(source)
    if path.is_dir():
        return _table_of_records(records_in_folder(path, problems, notes))
    if not path.is_file():
        raise AnalysisError(f"source must be an existing folder or file, but got {str(path)!r}.")
    if path.suffix == ".json":
        return _table_of_records(records_in_files([path], problems))
    if is_table(path):
        return complete_table(read_table(path), str(path), notes)
    raise AnalysisError(
        "source must be a folder, a .json, .csv, .parquet or .journal file (.tsv, .csv.gz and "
        ".tsv.gz too), or a storage's URL, "
        f"but got {str(path)!r}."
    )


def _refuse_another_study(source: Source | pd.DataFrame, study_name: str | None) -> None:
    """A folder, file or table holds one study, which has no name but a folder's."""
    if study_name is None:
        return
    if isinstance(source, pd.DataFrame) or name_of(source) != study_name:
        raise AnalysisError(
            f"study_name must be left out for {_shown(source)}, which is no storage that holds "
            f"several studies, but got {study_name!r}."
        )


def _table_of_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{key: _flat(value) for key, value in row.items()} for row in records])


def _flat(value: object) -> object:
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value
