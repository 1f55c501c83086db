"""How a trial ended, in the words of other programs."""

from types import MappingProxyType

import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import State

# In small letters. W&B's: `wandb.apis.public.Run.state`; Optuna's: `optuna.trial.TrialState`.
_MEANT = MappingProxyType(
    {
        **{state.value: state for state in State},
        "finished": State.complete,
        "crashed": State.failed,
        "killed": State.failed,
        "fail": State.failed,
        "preempting": State.interrupted,
        "preempted": State.interrupted,
        "pending": State.running,
        "waiting": State.running,
    }
)


def with_states(table: pd.DataFrame, place: str) -> pd.DataFrame:
    """The table with a column `state` in the record's words; a table without one is all complete.

    Args:
        table: A table of trials; W&B calls the column `State`.
        place: What to call it, for the refusal.

    Raises:
        AnalysisError: A word is neither the record's, nor W&B's, nor Optuna's.
    """
    name = _column_of(table)
    if name is None:
        return table.assign(state=State.complete.value)
    known = table[name].dropna()
    words = known.astype(str).str.strip().str.lower()
    if unknown := sorted(set(known[~words.isin(list(_MEANT))].astype(str))):
        raise AnalysisError(
            f"{name} must be one of {', '.join(_MEANT)} in every row of {place}, "
            f"but got {unknown[0]!r}."
        )
    if name == "state" and known.isin(list(State)).all():
        return table
    states = words.map(dict(_MEANT))
    return table.rename(columns={name: "state"}).assign(state=states.reindex(table.index))


def _column_of(table: pd.DataFrame) -> str | None:
    if "state" in table:
        return "state"
    return next(
        (name for name in map(str, table.columns) if name.strip().lower() == "state"), None
    )
