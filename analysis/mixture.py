"""Intervals of mixtures of normal distributions.

A posterior over a few hyperparameters on a grid gives each quantity as such a mixture, whose tails
are heavier than a normal's: the same thing that Student's t does for an unknown variance.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import ndtr

from analysis.arrays import FloatArray

LEVEL = 0.95
Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal: an interval of that level reaches so many sd."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value with its central 95 % interval."""

    value: float
    """The median."""
    low: float
    """2.5 % quantile."""
    high: float
    """97.5 % quantile."""

    def exp(self) -> "Estimate":
        """The estimate of e to the x: medians and quantiles carry over."""
        value, low, high = np.exp([self.value, self.low, self.high])
        return Estimate(value=float(value), low=float(low), high=float(high))

    def contains(self, value: float) -> bool:
        """Whether the interval holds `value`."""
        return self.low <= value <= self.high

    def to_json(self) -> dict[str, float]:
        """As plain numbers."""
        return {"value": self.value, "low": self.low, "high": self.high}


def quantile(probability: float, weights: FloatArray, means: FloatArray, sds: FloatArray) -> float:
    """The quantile of a mixture of normals; weights sum to 1, sds are positive."""

    def excess(x: float) -> float:
        return float(weights @ ndtr((x - means) / sds)) - probability

    low = float(np.min(means - 40 * sds))
    high = float(np.max(means + 40 * sds))
    # Imported here since it takes as long as pandas, and every sweep would wait for it.
    from scipy.optimize import brentq

    return float(cast("float", brentq(excess, low, high, xtol=1e-13)))


def estimate(weights: FloatArray, means: FloatArray, variances: FloatArray) -> Estimate:
    """Median and central 95 % interval of a mixture of normals.

    Args:
        weights: Shape [components], sums to 1.
        means: Shape [components].
        variances: Shape [components], at least 0.
    """
    sds = np.sqrt(np.maximum(variances, 1e-24))
    tail = (1 - LEVEL) / 2
    low, value, high = (quantile(p, weights, means, sds) for p in (tail, 0.5, 1 - tail))
    return Estimate(value=value, low=low, high=high)


def normalised(log_weights: FloatArray) -> FloatArray:
    """Weights from their logarithms, summing to 1."""
    weights = np.exp(log_weights - np.max(log_weights))
    return weights / np.sum(weights)


def ratio_variance(
    ratio: FloatArray,
    denominator: FloatArray,
    variances: tuple[FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """Variance of numerator / denominator, by the delta method.

    Args:
        ratio: The ratio of the means.
        denominator: Mean of the denominator.
        variances: Of the numerator, of the denominator, and their covariance.
    """
    of_numerator, of_denominator, together = variances
    return (of_numerator + ratio**2 * of_denominator - 2 * ratio * together) / denominator**2
