"""The target that a trial table was run for, and when a run is on it."""

import math

import pandas as pd

from analysis.errors import AnalysisError
from analysis.units import target_count

DEFAULT_TOLERANCE = 0.05
"""In band: |ln(l0 / target)| <= ln(1 + tolerance); as `sweep.tolerance` by default."""


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


def count_or_nan(target_l0: float, latent_dim: int) -> float:
    """The target in latents; NaN for a width that cannot have it.

    Args:
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        latent_dim: Width.
    """
    try:
        return target_count(target_l0, latent_dim)
    except AnalysisError:
        return math.nan
