"""Recipes that were run once each, as a search over a continuous setting leaves them.

None of them has a curve; what they are for is which of them is best at the target.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import formatting as show
from analysis.console import records_of
from analysis.groups import Group, differing_columns
from analysis.targets import DEFAULT_TOLERANCE, count_or_nan


def best_candidate(groups: Sequence[Group], target_l0: float) -> str | None:
    """A sentence that names the best of the groups of one run; None where fewer than two are.

    The best has the lowest fvu in band; where none is in band, or no fvu is known, the L0 that is
    nearest to the target.
    """
    single = [group for group in groups if len(group.runs) == 1]
    if len(single) < 2:
        return None
    runs = pd.concat([group.runs for group in single], ignore_index=True)
    wanted = [count_or_nan(target_l0, int(width)) for width in runs["latent_dim"]]
    off = np.abs(np.log(runs["l0"].to_numpy(dtype=np.float64) / np.array(wanted)))
    if np.isnan(off).all():
        return None
    fvu = np.where(
        off <= math.log1p(DEFAULT_TOLERANCE), runs["fvu"].to_numpy(dtype=np.float64), np.nan
    )
    best = int(np.nanargmin(off) if np.isnan(fvu).all() else np.nanargmin(fvu))
    return f"The best of {len(single)} groups of one run is {_words(single, best)}."


def _words(single: Sequence[Group], best: int) -> str:
    group = single[best]
    listed = group.recipe.describe(differing_columns(each.recipe for each in single))
    [run] = records_of(group.runs)
    fvu = "" if run["fvu"] is None else f", fvu {show.number(run['fvu'])}"
    return (
        f"row {group.runs.index[0]} ({listed}): width {run['latent_dim']}, "
        f"alpha {show.number(run['alpha_canonical'])}, L0 {show.number(run['l0'])}{fvu}"
    )
