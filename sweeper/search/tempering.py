"""A sample of a posterior, by sequential Monte Carlo from the prior (Del Moral et al. 2006).

The likelihood is let in bit by bit; each time, half of the sample's weight is kept, the heavy
points are copied, and a few random-walk Metropolis moves spread the copies out again. No start is
chosen, and curved, truncated or separated posteriors need no special case. The generator starts
from a fixed seed, so that equal input gives equal output.

Shapes: S points, D coordinates.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sweeper.search.curve_model import Array

KEPT_SHARE = 0.5
"""Effective share of the sample that survives letting in more of the likelihood."""
MOVES = 3
"""Metropolis moves a stage; twice as many in the last."""
ACCEPTANCE = 0.3
"""Acceptance rate that the step size is steered to."""

LogDensity = Callable[[Array], Array]


def sample_posterior(
    prior_points: Array, log_prior: LogDensity, log_likelihood: LogDensity
) -> Array:
    """Points of the posterior, equally weighted, [S, D].

    Args:
        prior_points: Equally weighted points of the prior.
        log_prior: [S, D] -> [S], up to a constant.
        log_likelihood: [S, D] -> [S], finite.
    """
    generator = np.random.default_rng(0)
    points = prior_points.copy()
    prior, likelihood = log_prior(points), log_likelihood(points)
    let_in, scale = 0.0, 0.6
    while let_in < 1.0:
        step = _next_step(likelihood, 1.0 - let_in)
        let_in = 1.0 if step >= 1.0 - let_in else let_in + step
        copied = _resample(step * likelihood)
        points, prior, likelihood = points[copied], prior[copied], likelihood[copied]
        spread = np.linalg.cholesky(np.cov(points.T) + 1e-10 * np.eye(points.shape[1])).T
        for _ in range(MOVES if let_in < 1.0 else 2 * MOVES):
            moved = points + scale * generator.standard_normal(points.shape) @ spread
            new_prior, new_likelihood = log_prior(moved), log_likelihood(moved)
            gain = new_prior - prior + let_in * (new_likelihood - likelihood)
            taken = np.log(generator.random(len(points))) < gain
            points[taken], prior[taken] = moved[taken], new_prior[taken]
            likelihood[taken] = new_likelihood[taken]
            scale *= float(np.exp(np.clip(taken.mean() - ACCEPTANCE, -0.5, 0.4)))
    return points


def _next_step(log_likelihood: Array, most: float) -> float:
    """The largest power of the likelihood, up to `most`, that keeps enough of the sample."""
    if _kept(most * log_likelihood) >= KEPT_SHARE:
        return most
    low, high = np.log(most) - 30.0, np.log(most)
    for _ in range(20):
        middle = 0.5 * (low + high)
        if _kept(np.exp(middle) * log_likelihood) >= KEPT_SHARE:
            low = middle
        else:
            high = middle
    return float(np.exp(low))


def _weights(log_weight: Array) -> Array:
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


def _kept(log_weight: Array) -> float:
    return 1.0 / (len(log_weight) * float((_weights(log_weight) ** 2).sum()))


def _resample(log_weight: Array) -> NDArray[np.intp]:
    """Systematic resampling: indices in proportion to the weights."""
    count = len(log_weight)
    cumulative = np.cumsum(_weights(log_weight))
    index = np.searchsorted(cumulative, (np.arange(count) + 0.5) / count)
    return np.minimum(index, count - 1)
