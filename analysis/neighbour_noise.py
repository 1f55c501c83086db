"""How much L0 scatters from run to run at one width, whatever curve it follows.

Between its neighbours a smooth curve is nearly a straight line, so that what a run is off that
line is noise. The median makes it blind to the few places where the curve bends or leaps.
"""

import numpy as np

from analysis.arrays import FloatArray

# Assumption: with fewer alphas the curve's own bends are in too many of the residuals.
_ALPHAS_NEEDED = 12
_MEDIAN_OF_NORMAL = 0.6744897501960817  # of |z|, z standard normal


def neighbour_noise(log_alpha: FloatArray, means: FloatArray, counts: FloatArray) -> float | None:
    """Sd of ln L0 between runs at one alpha; None with too few alphas to tell.

    Args:
        log_alpha: Distinct ln alphas, rising.
        means: Mean ln L0 of the runs at each.
        counts: How many runs each mean is of.
    """
    if len(log_alpha) < _ALPHAS_NEEDED:
        return None
    before, after = np.diff(log_alpha)[:-1], np.diff(log_alpha)[1:]
    share = before / (before + after)
    line = (1 - share) * means[:-2] + share * means[2:]
    variance = 1 / counts[1:-1] + (1 - share) ** 2 / counts[:-2] + share**2 / counts[2:]
    return float(np.median(np.abs(means[1:-1] - line) / np.sqrt(variance))) / _MEDIAN_OF_NORMAL
