"""Where the runs of one width cross the target."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.arrays import FloatArray
from analysis.errors import AnalysisError
from analysis.neighbour_noise import neighbour_noise

# Assumption: noise alone raises L0 by no more than this (in ln L0): five times the sd of the
# difference of two runs at the stated default of 3 %, twice that at 7 %. Runs that are many enough
# to show a larger noise of their own are judged by that.
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
    alphas, means, _ = _by_alpha(cell)
    return alphas, means


def bracket(cell: LocalCell) -> tuple[float, float] | None:
    """Between which runs (their ln alpha) L0 falls through the target.

    Several runs at one alpha count as their mean. Neighbours, unless noise makes L0 fall through
    the target several times: then the first and the last of those. Where it does so at two places
    (`torn`), the sparser counts: an SAE that never left its initialisation can look like a
    crossing at the dense end.

    Returns:
        The ends in rising order, or None if L0 does not fall through the target.
    """
    found = _crossings(cell)
    return None if found is None else found.last


def secant(cell: LocalCell) -> float:
    """Ln alpha for the target, on the straight line in log-log through the bracketing runs.

    Raises:
        AnalysisError: The target is not bracketed.
    """
    found = _crossings(cell)
    if found is None:
        raise AnalysisError(
            f"target_l0 must lie between the L0 of two runs at width {cell.latent_dim}, "
            f"but got {cell.target:.6g}."
        )
    if len(found.log_alpha) > 2:
        return _on_line(found.log_alpha, found.log_l0 - cell.log_target)
    (u_dense, u_sparse), (y_dense, y_sparse) = found.log_alpha, found.log_l0
    share = (cell.log_target - y_dense) / (y_sparse - y_dense)
    return float(u_dense + (u_sparse - u_dense) * share)


def torn(cell: LocalCell) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The first and the last bracket where L0 falls through the target at two places.

    Between the two L0 rises by more than noise does, so that one of the runs is not of this curve
    and the runs alone do not say which.

    Returns:
        Each bracket's ends (ln alpha) in rising order; None where L0 falls through the target once
        as far as noise can tell, or not at all.
    """
    found = _crossings(cell)
    if found is None or found.first == found.last:
        return None
    return found.first, found.last


@dataclass(frozen=True, kw_only=True, slots=True)
class _Crossings:
    """Where L0 falls through the target."""

    first: tuple[float, float]
    """Ends of the densest place, ln alpha."""
    last: tuple[float, float]
    """Ends of the sparsest; the same where there is one."""
    log_alpha: FloatArray
    """Distinct ln alphas of the sparsest, its ends included."""
    log_l0: FloatArray
    """Mean ln L0 at each."""


def _crossings(cell: LocalCell) -> _Crossings | None:
    """Falls through the target that noise alone may have made of one are one place."""
    alphas, means, counts = _by_alpha(cell)
    falls = _falls_through(cell, means)
    if len(falls) == 0:
        return None
    first, last = int(falls[0]), int(falls[-1])
    limit = _largest_noisy_rise(alphas, means, counts) if last > first else 0.0
    # Falls are joined from both ends, since what lies between two places is neither.
    onwards = means[first + 1 : last + 1]
    up_to = np.maximum.accumulate(onwards - np.minimum.accumulate(onwards))
    from_here = _reversed_maximum(_reversed_maximum(onwards) - onwards)
    joined = [at for at in falls[1:] if up_to[at - first - 1] <= limit]
    ending = joined[-1] if joined else first
    starting = next((at for at in falls[:-1] if from_here[at - first] <= limit), last)
    return _Crossings(
        first=(float(alphas[first]), float(alphas[ending + 1])),
        last=(float(alphas[starting]), float(alphas[last + 1])),
        log_alpha=alphas[starting : last + 2],
        log_l0=means[starting : last + 2],
    )


def _by_alpha(cell: LocalCell) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distinct ln alphas, mean ln L0 at each and number of runs there, without those off it."""
    on_curve = slice(None) if cell.off_curve is None else ~cell.off_curve
    alphas, index = np.unique(cell.log_alpha[on_curve], return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    return alphas, np.bincount(index, weights=cell.log_l0[on_curve]) / counts, counts


def _falls_through(cell: LocalCell, means: FloatArray) -> npt.NDArray[np.int64]:
    """Where the next of the means, by rising alpha, lies on the target's other side."""
    dense, sparse = means[:-1], means[1:]
    around = (dense >= cell.log_target) & (cell.log_target >= sparse) & (dense > sparse)
    return np.flatnonzero(around)


def _largest_noisy_rise(alphas: FloatArray, means: FloatArray, counts: FloatArray) -> float:
    """What noise alone may raise ln L0 by.

    The largest of n normal numbers lies about sqrt(2 ln n) sd above their mean, the least as far
    below it.
    """
    noise = neighbour_noise(alphas, means, counts)
    if noise is None:
        return _NOISY_RISE
    of_means = noise / math.sqrt(float(counts.min()))
    return max(_NOISY_RISE, 2 * of_means * math.sqrt(2 * math.log(len(means))))


def _reversed_maximum(values: FloatArray) -> FloatArray:
    """The largest from each value on."""
    return np.maximum.accumulate(values[::-1])[::-1]


def _on_line(log_alpha: FloatArray, above: FloatArray) -> float:
    """Where the straight line through several runs crosses 0, within them.

    Args:
        log_alpha: Of each, rising.
        above: Ln L0 above the target.
    """
    centred = log_alpha - log_alpha.mean()
    slope = float(centred @ above) / float(centred @ centred)
    if slope >= 0:
        return float(log_alpha.mean())
    crossing = float(log_alpha.mean()) - float(above.mean()) / slope
    return min(max(crossing, float(log_alpha[0])), float(log_alpha[-1]))
