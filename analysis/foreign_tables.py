"""Anybody's trials as CSV or Parquet, or in memory: what must be there, and what is filled in."""

import difflib
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.csv_tables import read_csv
from analysis.errors import AnalysisError
from analysis.records import Units
from analysis.selection import contradictory
from analysis.setting_columns import with_setting_columns
from analysis.state_words import with_states
from analysis.typed_tables import ALPHA_UNITS, numeric

# What a foreign table must have; l0 may be given as l0_fraction.
_ESSENTIAL = ("latent_dim", "l1_alpha")
_MOST_NAMES = 12
# What other trainers and people call these columns, in small letters; W&B sets a path before.
_OTHER_NAMES = {
    "latent_dim": ("width", "d_sae", "dict_size", "n_latents", "num_latents", "n_features"),
    "l1_alpha": ("alpha", "l1_coefficient", "l1_coeff", "l1_penalty", "l1_weight", "lambda"),
    "l0": ("l0_count", "mean_l0", "avg_l0"),
}


_ENDINGS = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
# Of `study.trials_dataframe()`.
_OPTUNA_SEARCHED = "params_"
_OPTUNA_PREFIXES = (_OPTUNA_SEARCHED, "user_attrs_")


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name, in capitals or not."""
    return path.name.lower().endswith(_ENDINGS)


def read_table(path: Path) -> pd.DataFrame:
    """The table in a CSV file, as people's programs write them, or in a Parquet file.

    Raises:
        AnalysisError: The file is no table.
    """
    try:
        is_parquet = path.suffix.lower() == ".parquet"
        return pd.read_parquet(path) if is_parquet else read_csv(path)
    # Parser errors of pandas and pyarrow are ValueErrors; the last two are damaged .gz files.
    except (ValueError, OSError, EOFError, zlib.error) as error:
        line = " ".join(str(error).strip().splitlines()[:1])
        raise AnalysisError(f"{path} must be a readable table, but: {line}") from None


def with_single_names(table: pd.DataFrame, place: str) -> pd.DataFrame:
    """A table in memory as a file's would be: columns named by texts, rows by numbers.

    Args:
        table: Anybody's.
        place: What to call it.

    Raises:
        AnalysisError: A column is there twice.
    """
    plain = table.set_axis([str(name) for name in table.columns], axis=1)
    if twice := sorted(set(plain.columns[plain.columns.duplicated()])):
        raise AnalysisError(f"columns of {place} must differ, but {twice[0]!r} is there twice.")
    return plain.reset_index(drop=True)


def complete_table(table: pd.DataFrame, place: str, notes: list[str]) -> pd.DataFrame:
    """Anybody's table with what a trial table has; what it assumes is added to `notes`.

    Args:
        table: As it was read.
        place: What to call it, mostly its file.
        notes: What a reader must know is added to it.

    Raises:
        AnalysisError: It lacks a column, or mixes units.
    """
    plain_names = _plain_names([str(name) for name in table.columns])
    searched = {plain for name, plain in plain_names.items() if name.startswith(_OPTUNA_SEARCHED)}
    table = table.rename(columns=plain_names)
    _require_columns(table, place)
    table = _complete_l0(table, place, notes)
    table = with_states(table, place)
    if "trial" in table and _are_names(table["trial"]):
        table = table.rename(columns={"trial": "trial_name"})
        notes.append(f"{place}: its trials have names, not numbers; they are in trial_name.")
    table = with_setting_columns(table, place, searched, notes)
    if "alpha_canonical" not in table:
        _refuse_mixed_objectives(table, place)
        table["alpha_canonical"] = table["l1_alpha"]
        table[ALPHA_UNITS] = Units.as_given.value
        notes.append(
            f"{place} has no alpha_canonical: its l1_alpha is taken as it stands, in the file's "
            "own units."
        )
    return table


def _plain_names(names: Sequence[str]) -> dict[str, str]:
    """New names for columns that Optuna calls `params_l1_alpha`; none that is there already."""
    plain: dict[str, str] = {}
    for name in names:
        prefix = next((each for each in _OPTUNA_PREFIXES if name.startswith(each)), "")
        bare = name.removeprefix(prefix)
        if prefix and bare not in (*names, *plain.values()):
            plain[name] = bare
    return plain


def _are_names(column: pd.Series) -> bool:
    return bool(column.notna().any() and pd.to_numeric(column, errors="coerce").isna().all())


def _require_columns(table: pd.DataFrame, place: str) -> None:
    names = [str(name) for name in table.columns]
    wanted: list[str] = list(_ESSENTIAL)
    if "l0" not in names and "l0_fraction" not in names:
        wanted.append("l0")
    for column in wanted:
        if column not in names:
            hint = _nearest_hint(column, names)
            raise AnalysisError(
                f"{column} must be a column of {place}, but it has only {_listed(names)}{hint}."
            )


def _listed(names: Sequence[str]) -> str:
    """The names on one short line, whatever is in the file."""
    shown = ", ".join(ascii(name)[1:31].rstrip("'") for name in names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _nearest_hint(column: str, names: Sequence[str]) -> str:
    by_lower_case = {
        name.rpartition("/")[2].strip().lower(): name for name in names if name not in _ESSENTIAL
    }
    wanted = (column, "l0_fraction") if column == "l0" else (column,)
    known = [name for name in (column, *_OTHER_NAMES[column]) if name in by_lower_case]
    nearest = known or [
        match
        for name in wanted
        for match in difflib.get_close_matches(name, list(by_lower_case), n=1, cutoff=0.5)
    ]
    return f"; the nearest column is {by_lower_case[nearest[0]]!r}" if nearest else ""


def _complete_l0(table: pd.DataFrame, place: str, notes: list[str]) -> pd.DataFrame:
    """Fills l0 from l0_fraction and the other way round, row by row where one is missing."""
    given = pd.DataFrame(
        {
            name: numeric(table, name) if name in table else np.nan
            for name in ("latent_dim", "l0", "l0_fraction")
        },
        index=table.index,
    )
    _refuse_percent(given, place)
    l0, fraction, width = given["l0"], given["l0_fraction"], given["latent_dim"]
    if fraction.isna().all() and l0.max() < 1 and l0.max() > 0:
        notes.append(
            f"{place}: every l0 is below 1: is it a fraction? Then the column is l0_fraction."
        )
    return table.assign(l0=l0.fillna(fraction * width), l0_fraction=fraction.fillna(l0 / width))


def _refuse_percent(given: pd.DataFrame, place: str) -> None:
    """One value above 1 is enough: those below are then in another unit than they seem."""
    percent = (given["l0_fraction"] > 1) & (given["l0"].isna() | contradictory(given))
    if percent.any():
        row = int(np.flatnonzero(percent.to_numpy())[0])
        raise AnalysisError(
            f"l0_fraction must be at most 1 in every row of {place}, but row {row} has "
            f"{given['l0_fraction'].iloc[row]:g} (is it in percent?)."
        )


def _refuse_mixed_objectives(table: pd.DataFrame, place: str) -> None:
    for column in ("objective", "penalty"):
        values = {str(value) for value in table[column]} if column in table else set[str]()
        if len(values) > 1:
            raise AnalysisError(
                f"{column} must be one for all rows of {place} where alpha_canonical is missing, "
                f"but got {', '.join(sorted(values))}."
            )
