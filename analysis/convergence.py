"""Runs whose L0 was still moving when they ended: left out where the others do without them.

Such a run's L0 is that of its steps and not of its alpha. Where the converged runs of its width
bracket the target at three alphas or more, they say everything, and it is left out. Where they do
not, it stays: the answer is then one for so many steps, it is said so, and nothing may be called a
law (`analysis.gate`).
"""

import numpy as np
import pandas as pd

from analysis.bracketing import LocalCell
from analysis.errors import AnalysisError
from analysis.gate import ALPHAS_FOR_AN_INTERVAL
from analysis.selection import Exclusion
from analysis.units import target_count

_REASON = "its L0 was still moving, and the converged runs of its width bracket the target"


def without_unconverged(
    runs: pd.DataFrame, target_l0: float
) -> tuple[pd.DataFrame, tuple[Exclusion, ...]]:
    """One group's runs without the unconverged ones that are not needed, and these."""
    moving = ~runs["converged"].fillna(value=True).astype(bool)
    if not moving.any():
        return runs, ()
    needless: list[int] = []
    for width, own in runs.groupby("latent_dim", sort=True):
        rows = own.index[moving[own.index]]
        if len(rows) and _suffices(own.drop(index=rows), int(str(width)), target_l0):
            needless += [int(row) for row in rows]
    exclusions = tuple(Exclusion(row=row, reason=_REASON) for row in needless)
    return runs.drop(index=needless), exclusions


def _suffices(runs: pd.DataFrame, latent_dim: int, target_l0: float) -> bool:
    runs = runs[runs["alpha_canonical"] > 0]
    if runs["alpha_canonical"].nunique() < ALPHAS_FOR_AN_INTERVAL:
        return False
    try:
        target = target_count(target_l0, latent_dim)
    except AnalysisError:  # another width's target; the refit says so
        return False
    log_alpha, log_l0 = (
        np.log(runs[name].to_numpy(dtype=np.float64)) for name in ("alpha_canonical", "l0")
    )
    cell = LocalCell(latent_dim=latent_dim, log_alpha=log_alpha, log_l0=log_l0, target=target)
    return cell.bracketed
