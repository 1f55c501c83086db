"""A second opinion on alpha's interval: runs drawn again, and nothing assumed about their noise.

Case bootstrap at one width: the runs are drawn with replacement, ln L0 is fitted by a parabola in
ln alpha, weighted by closeness to the target (tricube over the nearest runs), and solved for the
target. Percentiles of its solutions are the interval. It shares no prior with the local fit, so
where one is more than 2.5 times as long as the other, that is said. It needs runs: with fewer than
eight it only repeats the few there are.
"""

import numpy as np

from analysis.arrays import FloatArray
from analysis.bracketing import LocalCell, secant
from analysis.mixture import LEVEL, Estimate

RUNS_NEEDED = 8
DIFFERENT = 2.5
"""Ratio of two intervals' lengths from which on it is said. Few runs drawn again are too much
alike: of clean studies of 12 runs one in twenty is beyond a ratio of 2."""

_DRAWS = 400
_SEED = 0
# The parabola rests on half of the runs, those around the target, and on so many at least: on
# fewer the interval is longer than what the runs know, and all of them are not on one parabola.
_NEAREST = 30
_NEWTON_STEPS = 8


def bootstrap_alpha(cell: LocalCell) -> Estimate | None:
    """Percentile interval of ln alpha for the target; None where the runs are too few.

    Draws come from a fixed seed, so the same runs give the same interval.
    """
    n = len(cell.log_alpha)
    if n < RUNS_NEEDED or len(np.unique(cell.log_alpha)) < RUNS_NEEDED // 2 or not cell.bracketed:
        return None
    centre = secant(cell)
    t, y, closeness = _nearest(cell, centre)
    rng = np.random.default_rng(_SEED)
    counts = rng.multinomial(len(t), np.full(len(t), 1 / len(t)), size=_DRAWS)
    found = _solutions(t, y, counts * closeness)
    found = found[np.isfinite(found) & (np.abs(found) <= np.abs(t).max())]
    if len(found) < 0.9 * _DRAWS:
        return None
    tail = (1 - LEVEL) / 2
    low, value, high = np.quantile(centre + found, [tail, 0.5, 1 - tail])
    return Estimate(value=float(value), low=float(low), high=float(high))


def _nearest(cell: LocalCell, centre: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distance, ln (L0 / target) and weight of the runs around the target."""
    t = cell.log_alpha - centre
    order = np.argsort(np.abs(t), kind="stable")[: max(_NEAREST, len(t) // 2)]
    t, y = t[order], cell.log_l0[order] - cell.log_target
    reach = 1.1 * float(np.abs(t).max())
    return t, y, (1 - (np.abs(t) / reach) ** 3) ** 3


def _solutions(t: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Where the weighted parabola of every draw crosses 0, by Newton from its middle."""
    basis = t[:, None] ** np.arange(3)
    gram = np.einsum("bn,ni,nj->bij", weights, basis, basis) + 1e-10 * np.eye(3)
    a, b, c = np.linalg.solve(gram, np.einsum("bn,ni,n->bi", weights, basis, y)[..., None])[
        ..., 0
    ].T
    x = np.zeros(len(a))
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            x = x - (a + b * x + c * x**2) / (b + 2 * c * x)
    return np.where(b + 2 * c * x < 0, x, np.nan)
