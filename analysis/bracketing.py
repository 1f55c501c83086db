"""Where the runs of one width cross the target."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.arrays import FloatArray
from analysis.errors import AnalysisError

# Assumption: noise alone raises L0 by no more than this (in ln L0): five times the sd of the
# difference of two runs at the stated default of 3 %, twice that at 7 %.
_NOISY_RISE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalCell:
    """One width's runs and its target."""

    latent_dim: int
    """Width."""
    log_alpha: FloatArray
    """Ln alpha of each run."""
    log_l0: FloatArray
    """Ln L0 of each run, as a count."""
    target: float
    """The target, as a count."""
    weights: FloatArray | None = None
    """Of each run, 1 for one whose evaluation adds no noise to speak of; None for 1 throughout."""
    off_curve: npt.NDArray[np.bool_] | None = None
    """Runs that lie off every curve: they bracket nothing. None where there is none."""
    log_alpha_bound: float | None = None
    """Ln of the smallest alpha at which a run had L0 0 or diverged; None where none did."""

    @property
    def n_alphas(self) -> int:
        """Distinct alphas, without those of runs off the curve."""
        return len(mean_by_alpha(self)[0])

    @property
    def log_target(self) -> float:
        """Ln of the target."""
        return math.log(self.target)

    @property
    def bracketed(self) -> bool:
        """Whether runs lie on both sides of the target, the denser at the smaller alpha."""
        return bracket(self) is not None

    @property
    def bracketed_once(self) -> bool:
        """The same, at one place as far as noise can tell."""
        return self.bracketed and torn(self) is None


def mean_by_alpha(cell: LocalCell) -> tuple[FloatArray, FloatArray]:
    """Distinct ln alphas in rising order, and the mean of ln L0 at each; none off the curve."""
    on_curve = slice(None) if cell.off_curve is None else ~cell.off_curve
    alphas, index = np.unique(cell.log_alpha[on_curve], return_inverse=True)
    return alphas, np.bincount(index, weights=cell.log_l0[on_curve]) / np.bincount(index)


def bracket(cell: LocalCell) -> tuple[float, float] | None:
    """The neighbouring runs (their ln alpha) between which L0 falls through the target.

    Several runs at one alpha count as their mean. Where noise makes it happen more than once, the
    sparsest crossing counts: an SAE that never left its initialisation can look like a crossing at
    the dense end.

    Returns:
        The ends in rising order, or None if L0 does not fall through the target.
    """
    crossing = _crossing(cell)
    return None if crossing is None else (crossing[0], crossing[1])


def secant(cell: LocalCell) -> float:
    """Ln alpha for the target, on the straight line in log-log through the bracketing runs.

    Raises:
        AnalysisError: The target is not bracketed.
    """
    crossing = _crossing(cell)
    if crossing is None:
        raise AnalysisError(
            f"target_l0 must lie between the L0 of two runs at width {cell.latent_dim}, "
            f"but got {cell.target:.6g}."
        )
    u_dense, u_sparse, y_dense, y_sparse = crossing
    share = (cell.log_target - y_dense) / (y_sparse - y_dense)
    return u_dense + (u_sparse - u_dense) * share


def torn(cell: LocalCell) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The first and the last bracket where L0 falls through the target twice.

    Between the two L0 rises by more than noise does, so that one of the runs is not of this curve
    and the runs alone do not say which.

    Returns:
        Each bracket's ends (ln alpha) in rising order; None where L0 falls through the target once
        as far as noise can tell, or not at all.
    """
    alphas, means = mean_by_alpha(cell)
    found = _falls_through(cell, means)
    if len(found) < 2:
        return None
    first, last = int(found[0]), int(found[-1])
    between = means[first + 1 : last + 1]
    rise = float(np.max(between - np.minimum.accumulate(between)))
    if rise <= _NOISY_RISE:
        return None
    return (
        (float(alphas[first]), float(alphas[first + 1])),
        (float(alphas[last]), float(alphas[last + 1])),
    )


def _crossing(cell: LocalCell) -> tuple[float, float, float, float] | None:
    """Both ends' ln alpha, then both ends' mean ln L0."""
    alphas, means = mean_by_alpha(cell)
    found = _falls_through(cell, means)
    if len(found) == 0:
        return None
    at = int(found[-1])
    return float(alphas[at]), float(alphas[at + 1]), float(means[at]), float(means[at + 1])


def _falls_through(cell: LocalCell, means: FloatArray) -> npt.NDArray[np.int64]:
    """Where the next of the means, by rising alpha, lies on the target's other side."""
    dense, sparse = means[:-1], means[1:]
    around = (dense >= cell.log_target) & (cell.log_target >= sparse) & (dense > sparse)
    return np.flatnonzero(around)
