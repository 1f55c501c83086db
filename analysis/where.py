"""Which rows of a trial table are looked at: those with the values that are asked for."""

from collections.abc import Sequence

import pandas as pd

from analysis.column_names import column_named, require_list
from analysis.errors import AnalysisError

_SHOWN_VALUES = 6


def keep_where(trials: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """The rows with certain values, their index kept, and a note that says so.

    Args:
        trials: A table as `analysis.load_trials` returns it.
        conditions: `column=value` each, all of which must hold; numbers are compared as numbers.
            A column of a dotted name may be called by its last part, where that is no other's.

    Raises:
        AnalysisError: A condition is of another form, names no column, or keeps no trial; or they
            are one text, not a list.
    """
    require_list("where", conditions)
    kept = trials
    for condition in conditions:
        kept = _keep(kept, condition)
    if conditions:
        note = f"only trials where {', '.join(conditions)}: {len(kept)} of {len(trials)}"
        kept.attrs = {**trials.attrs, "notes": [*trials.attrs.get("notes", []), note]}
    return kept


def _keep(trials: pd.DataFrame, condition: str) -> pd.DataFrame:
    typed, equals, value = condition.partition("=")
    if not equals:
        raise AnalysisError(f"where must be column=value, but got {condition!r}.")
    name = column_named("where", typed, [str(column) for column in trials.columns])
    matching = _equals(trials[name], value)
    if not matching.any():
        raise AnalysisError(
            f"where must keep at least one trial, but {condition} keeps none "
            f"({name} is {_values(trials[name])})."
        )
    return trials[matching]


def _equals(column: pd.Series, value: str) -> pd.Series:
    matching = column.astype("string") == value
    try:
        number = float(value)
    except ValueError:
        pass
    else:
        matching |= pd.to_numeric(column, errors="coerce") == number
    return matching.fillna(value=False).astype(bool)


def _values(column: pd.Series) -> str:
    found = [str(value) for value in column.dropna().unique()]
    shown = ", ".join(found[:_SHOWN_VALUES]) or "missing throughout"
    return f"{shown}, ..." if len(found) > _SHOWN_VALUES else shown
