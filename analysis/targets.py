"""The target that a trial table was run for."""

import pandas as pd

from analysis.errors import AnalysisError


def target_of(trials: pd.DataFrame, asked: float | None = None) -> float:
    """The target to judge trials by: the one asked for, otherwise the one that all trials share.

    Raises:
        AnalysisError: None is asked for and the trials have none, or several.
    """
    if asked is not None:
        return asked
    known = sorted(trials["target_l0"].dropna().unique())
    if len(known) == 1:
        return float(known[0])
    found = "none" if not known else ", ".join(f"{value:g}" for value in known)
    raise AnalysisError(f"target_l0 must be given unless the trials share one, but got {found}.")
