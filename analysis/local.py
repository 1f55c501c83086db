"""Alpha for a target by a local fit of ln L0 on ln alpha, jointly over the widths of a study.

Around each width's own solution u* (u = ln alpha, t = u - u*) the curve is a Taylor series,

    ln L0 = ln target + b t + c t^2 / 2 + d t^3 / 6 + e t^4 / 24 + noise,

whose height is free in every width and whose shape (b, c, d, e) has a prior. The prior is what
weights runs by their closeness to the target: the further a run is, the more of it the uncertain
higher terms explain. Curves that fall ever faster, as every exponential does, bend by as much as
they are steep; for them t gives way to (exp(p t) - 1) / p, a stretched exponential of power p, and
the higher terms are small departures from it. Widths share a mean shape, and differ from it by a
trend in ln width and a scatter, both of a size r that is learned. Noise sigma, r and the kinds of
curve are summed over on a grid, which gives intervals with tails as heavy as Student's t. All else
is linear and Gaussian, in closed form.

The prior's numbers, all per unit of ln alpha, are stated in `ShapePrior`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.arrays import FloatArray
from analysis.bracketing import LocalCell, bracket, secant
from analysis.errors import AnalysisError
from analysis.mixture import Estimate, estimate, normalised

_FACTORIALS = np.array([1.0, 1.0, 2.0, 6.0, 24.0])
_ORDERS = len(_FACTORIALS)
_CENTRING_ROUNDS = 12
# The last Newton step below is quadratic in what is left.
_CENTRED = 1e-5
# A run this far in ln alpha (a factor of 22,000) says nothing of the curve at the target, and the
# terms of the series there have more digits than a float.
_FARTHEST = 10.0
# Curves fall: an elasticity nearer to 0 than this is held there.
_FLATTEST = -0.05
# Assumption: with more of the posterior's weight than this held there, the slope is not known.
_MOST_HELD = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Bend:
    """One kind of curve: what the second, third and fourth derivative are before the data."""

    power: float
    """The p of (exp(p t) - 1) / p, which takes the place of t; 0 for t itself."""
    mean: float
    """Mean of the second derivative beyond what the power brings."""
    sds: tuple[float, float, float]
    """Of the second to fourth derivative beyond what the power brings."""
    weight: float
    """How likely this kind is, before the data."""


# Any curve, near a parabola in log-log or not; the curvature is measured in
# tests/data/l0_curves_minilm_layer3.csv (-0.1 to -1.6), the higher terms are of the size of its
# spread (assumption).
_ANY = tuple(
    Bend(power=0.0, mean=-0.4, sds=(0.7, 0.7 * scale, scale), weight=1.0)
    for scale in (0.25, 1.0, 2.5)
)
# Stretched exponentials, exact or nearly so (assumption: departures of 0.1 or of 0.4 per unit).
# Without them a steep curve near its collapse passes for noise, since its curvature, p times its
# elasticity, lies far outside the others'.
_STRETCHED = tuple(
    Bend(power=power, mean=0.0, sds=(sd, sd, sd), weight=0.4)
    for power in (0.5, 1.0, 1.5, 2.0)
    for sd in (0.1, 0.4)
)
_BENDS = _ANY + _STRETCHED


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapePrior:
    """What is assumed about curves before the data."""

    slope: tuple[float, float] = (-1.0, 1.5)
    """Elasticity at the target, mean and sd; measured: -0.5 (dense) to -2.9 (sparse) in
    tests/data/l0_curves_minilm_layer3.csv, and -0.1 to -2.5 on toy SAEs."""
    noise: tuple[float, float] = (0.03, 0.7)
    """Median of sigma, the sd of ln L0 between seeds, and the sd of ln sigma; 3 % is a stated
    default, measured on toy SAEs: 1.2 %."""
    difference_scales: tuple[float, ...] = (0.02, 0.1, 0.3)
    """The sizes r of shape differences between widths that are summed over, equally likely."""
    bends: tuple["Bend", ...] = field(default_factory=lambda: _BENDS)
    """The kinds of curve that are summed over."""
    window: float = 2.5
    """Runs further than this from the target in ln alpha (a factor of 12) are left out."""


DEFAULT_PRIOR = ShapePrior()

_SIGMA_STEPS = np.linspace(-3.0, 3.0, 13)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Posterior:
    """The posterior of all coefficients at every point of the grid of (r, bend, sigma)."""

    log_weights: FloatArray  # [nodes]
    sigma: FloatArray  # [nodes]
    powers: FloatArray  # [nodes]
    coefficients: FloatArray  # [nodes, widths, orders]
    covariances: FloatArray  # [nodes, widths, orders, widths, orders]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalFit:
    """The joint posterior of ln alpha for the target in every width."""

    latent_dims: tuple[int, ...]
    """Widths, in the order of the cells given."""
    weights: FloatArray
    """Of the grid's points, [nodes]; sums to 1."""
    sigma: FloatArray
    """Noise of ln L0 at each, [nodes]."""
    means: FloatArray
    """ln alpha for the target, [nodes, widths]."""
    covariances: FloatArray
    """[nodes, widths, widths]."""
    slopes: FloatArray
    """Elasticity at the target, [nodes, widths]."""
    slope_sds: FloatArray
    """Its sd, [nodes, widths]."""
    curvatures: FloatArray
    """Second derivative at the target, [nodes, widths]."""
    curvature_sds: FloatArray
    """Its sd, [nodes, widths]."""

    def log_alpha(self, index: int) -> Estimate:
        """Where (in ln alpha) the mean of ln L0 is the target (mean response)."""
        return estimate(self.weights, self.means[:, index], self.covariances[:, index, index])

    def next_run(self, index: int) -> Estimate:
        """The same with the noise of one further run added: wider than the mean response."""
        extra = (self.sigma / self.slopes[:, index]) ** 2
        variances = self.covariances[:, index, index] + extra
        return estimate(self.weights, self.means[:, index], variances)

    def elasticity(self, index: int) -> Estimate:
        """The derivative of ln L0 by ln alpha at the target."""
        return estimate(self.weights, self.slopes[:, index], self.slope_sds[:, index] ** 2)

    def noise(self) -> float:
        """Posterior mean of sigma, the sd of ln L0 between runs."""
        return float(self.weights @ self.sigma)

    def bounded(self, index: int) -> bool:
        """Whether the slope is known well enough for an interval (Fieller's g below 1)."""
        held = float(self.weights @ (self.slopes[:, index] >= _FLATTEST))
        return held <= _MOST_HELD and self.elasticity(index).high < 0


def fit_local(cells: Sequence[LocalCell], prior: ShapePrior = DEFAULT_PRIOR) -> LocalFit:
    """Fits all cells, each of which must bracket its target.

    Raises:
        AnalysisError: No cell, or a target that is not bracketed.
    """
    if not cells:
        raise AnalysisError("cells must hold at least one width, but got none.")
    centres = np.array([secant(cell) for cell in cells])
    brackets = np.array([bracket(cell) for cell in cells])
    posterior = _posterior(cells, centres, prior)
    for _ in range(_CENTRING_ROUNDS):
        mean = np.tensordot(normalised(posterior.log_weights), posterior.coefficients, axes=1)
        moved = np.clip(centres + _newton_step(mean), brackets[:, 0], brackets[:, 1])
        if np.max(np.abs(moved - centres)) < _CENTRED:
            break
        centres = moved
        posterior = _posterior(cells, centres, prior)
    return _collect(cells, posterior, centres)


def _newton_step(coefficients: FloatArray) -> FloatArray:
    """Change of t that brings the height to 0, with the slope kept away from 0."""
    slope = np.minimum(coefficients[..., 1], _FLATTEST)
    return -coefficients[..., 0] / slope


def _posterior(cells: Sequence[LocalCell], centres: FloatArray, prior: ShapePrior) -> _Posterior:
    parts = [_posterior_of(cells, centres, prior, bend) for bend in prior.bends]
    return _Posterior(
        log_weights=np.concatenate([part.log_weights for part in parts]),
        sigma=np.concatenate([part.sigma for part in parts]),
        powers=np.concatenate([part.powers for part in parts]),
        coefficients=np.concatenate([part.coefficients for part in parts]),
        covariances=np.concatenate([part.covariances for part in parts]),
    )


def _posterior_of(
    cells: Sequence[LocalCell], centres: FloatArray, prior: ShapePrior, bend: Bend
) -> _Posterior:
    grams, projections, squares, n = _sufficient_statistics(cells, centres, prior, bend.power)
    log_width = np.log([cell.latent_dim for cell in cells])
    mean = np.tile([0.0, prior.slope[0], bend.mean, 0.0, 0.0], len(cells))
    pull = projections - grams @ mean
    misfit = squares - 2 * float(projections @ mean) + float(mean @ grams @ mean)
    sds = (prior.slope[1], *bend.sds)
    covariance = np.array(
        [_prior_covariance(log_width, sds, scale) for scale in prior.difference_scales]
    )
    sigma = prior.noise[0] * np.exp(prior.noise[1] * _SIGMA_STEPS)
    noise = sigma[None, :, None, None] ** 2
    precision = np.linalg.inv(covariance)[:, None] + grams / noise
    spread = np.linalg.inv(precision)
    shift = spread @ (pull / noise[..., 0])[..., None]
    gain = shift[..., 0] @ pull / sigma**2
    log_det = np.linalg.slogdet(covariance)[1][:, None] + np.linalg.slogdet(precision)[1]
    log_likelihood = -0.5 * (misfit / sigma**2 - gain + log_det) - n * np.log(sigma)
    log_prior = math.log(bend.weight) - 0.5 * _SIGMA_STEPS**2
    nodes, shape = log_likelihood.size, (len(cells), _ORDERS)
    return _Posterior(
        log_weights=(log_likelihood + log_prior).reshape(nodes),
        sigma=np.tile(sigma, len(covariance)),
        powers=np.full(nodes, bend.power),
        coefficients=(mean + shift[..., 0]).reshape(nodes, *shape),
        covariances=spread.reshape(nodes, *shape, *shape),
    )


def _sufficient_statistics(
    cells: Sequence[LocalCell], centres: FloatArray, prior: ShapePrior, power: float
) -> tuple[FloatArray, FloatArray, float, int]:
    """Gram matrix, projections, sum of squares and number of the runs inside the window."""
    size = len(cells) * _ORDERS
    grams, projections = np.zeros((size, size)), np.zeros(size)
    squares, n = 0.0, 0
    for index, cell in enumerate(cells):
        t = cell.log_alpha - centres[index]
        third = float(np.sort(np.abs(t))[:3].max())
        near = np.abs(t) <= max(prior.window, min(third, _FARTHEST))
        basis = t[near, None] ** np.arange(_ORDERS) / _FACTORIALS
        if power:
            basis[:, 1] = np.expm1(power * t[near]) / power
        y = cell.log_l0[near] - cell.log_target
        if cell.weights is not None:
            root = np.sqrt(cell.weights[near])
            basis, y = root[:, None] * basis, root * y
        block = slice(index * _ORDERS, (index + 1) * _ORDERS)
        grams[block, block] = basis.T @ basis
        projections[block] = basis.T @ y
        squares += float(y @ y)
        n += int(near.sum())
    return grams, projections, squares, n


def _prior_covariance(log_width: FloatArray, sds: Sequence[float], scale: float) -> FloatArray:
    """Of all widths' coefficients, [widths * orders] squared; heights are free."""
    widths = len(log_width)
    centred = log_width - log_width.mean()
    difference = scale**2 * (np.outer(centred, centred) + 0.25 * np.eye(widths))
    covariance = np.zeros((widths, _ORDERS, widths, _ORDERS))
    covariance[:, 0, :, 0] = 100.0 * np.eye(widths)
    for order, sd in enumerate(sds, start=1):
        covariance[:, order, :, order] = sd**2 + difference
    return covariance.reshape(widths * _ORDERS, widths * _ORDERS)


def _collect(cells: Sequence[LocalCell], posterior: _Posterior, centres: FloatArray) -> LocalFit:
    slopes = np.minimum(posterior.coefficients[:, :, 1], _FLATTEST)
    heights = posterior.covariances[:, :, 0, :, 0]
    slope_variances = _variances(posterior, 1, 1)
    powers = posterior.powers[:, None]
    curvature_variances = (
        _variances(posterior, 2, 2)
        + 2 * powers * _variances(posterior, 1, 2)
        + powers**2 * slope_variances
    )
    return LocalFit(
        latent_dims=tuple(cell.latent_dim for cell in cells),
        weights=normalised(posterior.log_weights),
        sigma=posterior.sigma,
        means=centres + _newton_step(posterior.coefficients),
        covariances=heights / (slopes[:, :, None] * slopes[:, None, :]),
        slopes=slopes,
        slope_sds=np.sqrt(slope_variances),
        curvatures=posterior.coefficients[:, :, 2] + powers * slopes,
        curvature_sds=np.sqrt(curvature_variances),
    )


def _variances(posterior: _Posterior, order: int, other: int) -> FloatArray:
    """Covariance of two of a width's own derivatives, [nodes, widths]."""
    return np.einsum("kww->kw", posterior.covariances[:, :, order, :, other])
