"""L0 at the end of a run, from the part of its curve that is there.

After the warm-ups L0 falls as training goes on: ln L0(t) = a + c t^-p. The power p is uncertain, a
and c are fitted for each p of a grid, and the powers are weighted by their prior and by how well
they fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POWERS = np.linspace(0.1, 3.0, 30)
POWER_MEAN, POWER_SD = 1.5, 0.3
"""Prior of p (measured on layer 3: of means 0.6, 1, 1.5 and 2 the one with the least error)."""
SETTLING = 1.1
"""Rows from this times the warm-ups' end on are used: L0 follows alpha at once."""
FEWEST_ROWS = 8
"""Of the history after the warm-ups; fewer fit anything."""
LEAST_SCATTER = 0.01
"""Sd of a row's ln L0 about the curve, at least: rows share batches' noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """ln L0 at the last step, as training batches will have it."""

    ln_l0: float
    sd: float


def project(
    steps: Sequence[int], l0: Sequence[float], total_steps: int, settled_from: int
) -> Projection | None:
    """Projects L0 to the last step; None where too little of the curve is there.

    Args:
        steps: Steps done, rising.
        l0: Mean active latents about each.
        total_steps: Length of the run.
        settled_from: First step under the full learning rate and alpha; what is earlier is not
            used.
    """
    t, y = np.array(steps, dtype=np.float64), np.array(l0, dtype=np.float64)
    used = (t >= SETTLING * settled_from) & (y > 0)
    if used.sum() < FEWEST_ROWS:
        return None
    t, y = t[used] / total_steps, np.log(y[used])
    fits = [_fit(t, y, float(power)) for power in POWERS]
    weights = np.array([weight for weight, _, _ in fits])
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    means = np.array([mean for _, mean, _ in fits])
    sds = np.array([sd for _, _, sd in fits])
    mean = float(weights @ means)
    variance = float(weights @ (sds**2 + (means - mean) ** 2))
    return Projection(ln_l0=mean, sd=variance**0.5)


def _fit(t: Array, y: Array, power: float) -> tuple[float, float, float]:
    """Log weight, and mean and sd at t = 1, of one power."""
    design = np.stack([np.ones_like(t), t**-power - 1], axis=1)
    gram = design.T @ design
    coefficients = np.linalg.solve(gram, design.T @ y)
    residual = y - design @ coefficients
    scatter = max(float(residual @ residual) / max(1, len(t) - 2), LEAST_SCATTER**2)
    # Neighbouring rows are alike: as if every fourth were independent (assumption).
    log_likelihood = -0.5 * float(residual @ residual) / scatter / 4
    log_prior = -0.5 * ((power - POWER_MEAN) / POWER_SD) ** 2
    variance = 4 * scatter * float(np.linalg.inv(gram)[0, 0])
    return log_likelihood + log_prior, float(coefficients[0]), variance**0.5
