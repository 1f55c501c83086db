"""Runs around a target whose SAEs are of no use: an alpha between them gives another such SAE.

L0 says nothing of it: a collapsed SAE's L0 lies on the curve as any other's.
"""

import numpy as np

from analysis import formatting as show
from analysis.bracketing import bracket
from analysis.cells import WidthRuns
from analysis.console import records_of
from analysis.verdict import why_useless

_TOLD = ["alpha_canonical", "fvu", "dead_fraction"]


def useless_around_target(width: WidthRuns) -> tuple[str, ...]:
    """A sentence for each run that brackets the target and is of no use by the thresholds.

    None where the target is not bracketed, or neither fvu nor dead latents are known.
    """
    ends = bracket(width.cell)
    if ends is None:
        return ()
    alphas = width.runs["alpha_canonical"].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore"):  # runs at alpha 0
        inside = (np.log(alphas) >= ends[0]) & (np.log(alphas) <= ends[1])
    around = width.runs.loc[inside, _TOLD]
    return tuple(
        f"row {row}, at alpha {show.number(record['alpha_canonical'])} next to the target, is of "
        f"no use: {'; '.join(reasons)}"
        for row, record in zip(around.index, records_of(around), strict=True)
        if (reasons := why_useless(record))
    )
