"""Alpha for a target by a local fit of ln L0 on ln alpha, jointly over the widths of a study.

Around each width's own solution u* (u = ln alpha, t = u - u*) the curve is a Taylor series,

    ln L0 = ln target + b t + c t^2 / 2 + d t^3 / 6 + e t^4 / 24 + noise,

whose height is free in every width and whose shape (b, c, d, e) has a prior. The prior is what
weights runs by their closeness to the target: the further a run is, the more of it the uncertain
higher terms explain. Widths share a mean shape, and differ from it by a trend in ln width and a
scatter, both of a size r that is learned. Noise sigma and r are summed over on a grid, which gives
intervals with tails as heavy as Student's t. All else is linear and Gaussian, in closed form.

The prior's numbers, all per unit of ln alpha, are stated in `ShapePrior`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays import FloatArray
from analysis.bracketing import LocalCell, bracket, secant
from analysis.errors import AnalysisError
from analysis.mixture import Estimate, estimate, normalised

_FACTORIALS = np.array([1.0, 1.0, 2.0, 6.0, 24.0])
_ORDERS = len(_FACTORIALS)
_CENTRING_ROUNDS = 12
_CENTRED = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapePrior:
    """What is assumed about curves before the data."""

    slope: tuple[float, float] = (-1.0, 1.5)
    """Elasticity at the target, mean and sd; measured: -0.5 (dense) to -2.9 (sparse) in
    tests/data/l0_curves_minilm_layer3.csv, and -0.1 to -2.5 on toy SAEs."""
    curvature: tuple[float, float] = (-0.4, 0.7)
    """Second derivative, mean and sd; measured in the same file: -0.1 to -1.6."""
    third: tuple[float, float] = (0.0, 0.7)
    """Third derivative; assumption: of the size of the curvature's spread."""
    fourth: tuple[float, float] = (0.0, 1.0)
    """Fourth derivative; assumption: as the third, a little wider."""
    noise: tuple[float, float] = (0.03, 0.7)
    """Median of sigma, the sd of ln L0 between seeds, and the sd of ln sigma; 3 % is a stated
    default, measured on toy SAEs: 1.2 %."""
    difference_scales: tuple[float, ...] = (0.02, 0.1, 0.3)
    """The sizes r of shape differences between widths that are summed over, equally likely."""
    window: float = 2.5
    """Runs further than this from the target in ln alpha (a factor of 12) are left out."""


DEFAULT_PRIOR = ShapePrior()

_SIGMA_STEPS = np.linspace(-3.0, 3.0, 13)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Node:
    """The posterior at one point of the grid of (sigma, r)."""

    log_weight: float
    sigma: float
    coefficients: FloatArray  # [widths, orders]
    covariance: FloatArray  # [widths, orders, widths, orders]


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
        estimated = self.elasticity(index)
        return estimated.high < 0


def fit_local(cells: Sequence[LocalCell], prior: ShapePrior = DEFAULT_PRIOR) -> LocalFit:
    """Fits all cells, each of which must bracket its target.

    Raises:
        AnalysisError: No cell, or a target that is not bracketed.
    """
    if not cells:
        raise AnalysisError("cells must hold at least one width, but got none.")
    centres = np.array([secant(cell) for cell in cells])
    brackets = np.array([bracket(cell) for cell in cells])
    third = prior.third
    nodes: list[_Node] = []
    for _ in range(_CENTRING_ROUNDS):
        nodes = _posterior(cells, centres, prior, third)
        weights = normalised(np.array([node.log_weight for node in nodes]))
        mean = np.einsum("k,kwo->wo", weights, np.array([node.coefficients for node in nodes]))
        moved = np.clip(centres + _newton_step(mean), brackets[:, 0], brackets[:, 1])
        if np.max(np.abs(moved - centres)) < _CENTRED:
            break
        centres = moved
    return _collect(cells, nodes, centres)


def _newton_step(coefficients: FloatArray) -> FloatArray:
    """Change of t that brings the height to 0, with the slope kept away from 0."""
    slope = np.minimum(coefficients[..., 1], -0.05)
    return -coefficients[..., 0] / slope


def _posterior(
    cells: Sequence[LocalCell], centres: FloatArray, prior: ShapePrior, third: tuple[float, float]
) -> list[_Node]:
    """The Gaussian posterior of all coefficients at every (sigma, r)."""
    grams, projections, squares, n = _sufficient_statistics(cells, centres, prior)
    log_width = np.log([cell.latent_dim for cell in cells])
    mean = np.tile(
        [0.0, prior.slope[0], prior.curvature[0], third[0], prior.fourth[0]], len(cells)
    )
    nodes: list[_Node] = []
    for scale in prior.difference_scales:
        covariance = _prior_covariance(log_width, prior, third, scale)
        precision = np.linalg.inv(covariance)
        log_det = float(np.linalg.slogdet(covariance)[1])
        for step, sigma in _sigmas(prior):
            posterior_precision = precision + grams / sigma**2
            pull = projections / sigma**2 - grams @ mean / sigma**2
            shift = np.linalg.solve(posterior_precision, pull)
            misfit = squares - 2 * projections @ mean + mean @ grams @ mean
            log_det_posterior = float(np.linalg.slogdet(posterior_precision)[1])
            quadratic = float(misfit / sigma**2 - shift @ pull)
            log_likelihood = -0.5 * (quadratic + log_det + log_det_posterior) - n * math.log(sigma)
            shape = (len(cells), _ORDERS)
            nodes.append(
                _Node(
                    log_weight=log_likelihood - 0.5 * step**2,
                    sigma=sigma,
                    coefficients=(mean + shift).reshape(shape),
                    covariance=np.linalg.inv(posterior_precision).reshape(shape + shape),
                )
            )
    return nodes


def _sigmas(prior: ShapePrior) -> list[tuple[float, float]]:
    median, spread = prior.noise
    return [(float(step), median * math.exp(spread * float(step))) for step in _SIGMA_STEPS]


def _sufficient_statistics(
    cells: Sequence[LocalCell], centres: FloatArray, prior: ShapePrior
) -> tuple[FloatArray, FloatArray, float, int]:
    """Gram matrix, projections, sum of squares and number of the runs inside the window."""
    size = len(cells) * _ORDERS
    grams, projections = np.zeros((size, size)), np.zeros(size)
    squares, n = 0.0, 0
    for index, cell in enumerate(cells):
        t = cell.log_alpha - centres[index]
        near = np.abs(t) <= max(prior.window, float(np.sort(np.abs(t))[:3].max()))
        basis = t[near, None] ** np.arange(_ORDERS) / _FACTORIALS
        y = cell.log_l0[near] - cell.log_target
        block = slice(index * _ORDERS, (index + 1) * _ORDERS)
        grams[block, block] = basis.T @ basis
        projections[block] = basis.T @ y
        squares += float(y @ y)
        n += int(near.sum())
    return grams, projections, squares, n


def _prior_covariance(
    log_width: FloatArray, prior: ShapePrior, third: tuple[float, float], scale: float
) -> FloatArray:
    """Of all widths' coefficients, [widths * orders] squared; heights are free."""
    widths = len(log_width)
    centred = log_width - log_width.mean()
    difference = scale**2 * (np.outer(centred, centred) + 0.25 * np.eye(widths))
    sds = (prior.slope[1], prior.curvature[1], third[1], prior.fourth[1])
    covariance = np.zeros((widths, _ORDERS, widths, _ORDERS))
    covariance[:, 0, :, 0] = 100.0 * np.eye(widths)
    for order, sd in enumerate(sds, start=1):
        covariance[:, order, :, order] = sd**2 + difference
    return covariance.reshape(widths * _ORDERS, widths * _ORDERS)


def _collect(cells: Sequence[LocalCell], nodes: Sequence[_Node], centres: FloatArray) -> LocalFit:
    coefficients = np.array([node.coefficients for node in nodes])
    covariances = np.array([node.covariance for node in nodes])
    slopes = np.minimum(coefficients[:, :, 1], -0.05)
    heights = covariances[:, :, 0, :, 0]
    return LocalFit(
        latent_dims=tuple(cell.latent_dim for cell in cells),
        weights=normalised(np.array([node.log_weight for node in nodes])),
        sigma=np.array([node.sigma for node in nodes]),
        means=centres + _newton_step(coefficients),
        covariances=heights / (slopes[:, :, None] * slopes[:, None, :]),
        slopes=slopes,
        slope_sds=np.sqrt(np.einsum("kww->kw", covariances[:, :, 1, :, 1])),
        curvatures=coefficients[:, :, 2],
    )
