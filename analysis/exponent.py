"""The exponent of alpha in width for one target, with a between-width scatter.

    ln alpha*_w = intercept + beta * ln(n_w / n_0) + eps_w,    eps_w ~ N(0, tau^2)

The ln alpha*_w and their joint covariance come from the local fit; beta and the intercept have
flat priors, tau a half-Cauchy one of scale 0.05: half of its mass is below 5 %, and its heavy tail
lets widths that scatter more say so (calibrated: benchmarks/coverage.py). Grid over tau and over
the local fit's nodes; given those everything is Gaussian. n_0 is the geometric mean of the widths.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.arrays import FloatArray
from analysis.errors import AnalysisError
from analysis.local import LocalFit
from analysis.mixture import Z_95, Estimate, estimate, normalised

GUIDE_EXPONENT = 6.64
"""The guide's exponent, from one pair of runs."""

_TAU_SCALE = 0.05
_NEGLIGIBLE = 1e-9
# Denser near 0, where the likelihood changes.
_TAUS = np.linspace(0.0, 1.0, 30) ** 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentFit:
    """The posterior of the straight line of ln alpha* on ln width."""

    latent_dims: tuple[int, ...]
    """Widths that entered, rising."""
    reference_width: float
    """n_0."""
    beta: Estimate
    """The exponent."""
    line_mean: tuple[float, float]
    """Posterior mean of (intercept, beta)."""
    line_covariance: tuple[tuple[float, float], tuple[float, float]]
    """Posterior covariance of the two."""
    tau: float
    """Root mean square of the scatter between widths over its posterior, in ln alpha: its square
    is what the variance at a width without runs gains."""
    weights: FloatArray
    """Of the mixture of normals that beta is, [components]."""
    beta_means: FloatArray
    """Its means, [components]."""
    beta_variances: FloatArray
    """Its variances, [components]."""

    def predict(self, latent_dim: float) -> tuple[float, float]:
        """Mean and sd of ln alpha* of a width that has no run, scatter included."""
        x = np.array([1.0, math.log(latent_dim / self.reference_width)])
        mean = float(x @ np.array(self.line_mean))
        variance = float(x @ np.array(self.line_covariance) @ x) + self.tau**2
        return mean, math.sqrt(variance)


def fit_exponent(local: LocalFit) -> ExponentFit:
    """Fits the line through the widths of a local fit.

    Raises:
        AnalysisError: Fewer than two different widths.
    """
    if len(set(local.latent_dims)) < 2:
        raise AnalysisError(
            "widths must be at least two for an exponent, "
            f"but got {', '.join(str(width) for width in local.latent_dims)}."
        )
    log_width = np.log(np.array(local.latent_dims, dtype=np.float64))
    reference = float(np.exp(log_width.mean()))
    heavy = local.weights > _NEGLIGIBLE
    weights, lines, spreads = _posterior(
        log_width, local.weights[heavy], local.means[heavy], local.covariances[heavy]
    )
    line_mean = weights @ lines
    off = lines - line_mean
    total = np.einsum("k,kij->ij", weights, spreads) + np.einsum("k,ki,kj->ij", weights, off, off)
    taus = np.tile(_TAUS, len(weights) // len(_TAUS))
    known = weights > _NEGLIGIBLE
    return ExponentFit(
        latent_dims=tuple(sorted(local.latent_dims)),
        reference_width=reference,
        beta=estimate(weights, lines[:, 1], spreads[:, 1, 1]),
        line_mean=(float(line_mean[0]), float(line_mean[1])),
        line_covariance=(
            (float(total[0, 0]), float(total[0, 1])),
            (float(total[1, 0]), float(total[1, 1])),
        ),
        tau=float(np.sqrt(weights @ taus**2)),
        weights=weights[known],
        beta_means=lines[known, 1],
        beta_variances=spreads[known, 1, 1],
    )


def exponent_through(positions: Sequence[float], alphas: Sequence[Estimate]) -> Estimate:
    """The exponent of independently estimated alphas in anything, scatter between them included.

    Args:
        positions: Where each alpha is, positive and not all the same.
        alphas: Each with its 95 % interval, which stands for a normal distribution of ln alpha.
    """
    ends = np.log([[each.value, each.low, each.high] for each in alphas])
    sds = (ends[:, 2] - ends[:, 1]) / (2 * Z_95)
    weights, lines, spreads = _posterior(
        np.log(np.array(positions)), np.ones(1), ends[None, :, 0], np.diag(sds**2)[None]
    )
    return estimate(weights, lines[:, 1], spreads[:, 1, 1])


def _posterior(
    log_positions: FloatArray, weights: FloatArray, means: FloatArray, covariances: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights, means and covariances of the line's components, over all nodes and taus."""
    design = np.column_stack([np.ones(len(log_positions)), log_positions - log_positions.mean()])
    log_weights, lines, spreads = _lines(design, means, covariances)
    log_weights += np.log(weights)[:, None] + _tau_log_prior()
    return (
        normalised(log_weights.reshape(-1)),
        lines.reshape(-1, 2),
        spreads.reshape(-1, 2, 2),
    )


def _tau_log_prior() -> FloatArray:
    """Half-Cauchy density times the grid's spacing, so that sums stand for integrals."""
    return np.log(np.gradient(_TAUS)) - np.log1p((_TAUS / _TAU_SCALE) ** 2)


def _lines(
    design: FloatArray, means: FloatArray, covariances: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Generalised least squares for every node and tau.

    Returns:
        Log marginal likelihoods under a flat prior [nodes, taus], lines [nodes, taus, 2] and their
        covariances [nodes, taus, 2, 2].
    """
    total = covariances[:, None] + (_TAUS**2)[:, None, None] * np.eye(means.shape[1])
    inverse = np.linalg.inv(total)
    weighted = inverse @ design
    precision = design.T @ weighted
    spreads = np.linalg.inv(precision)
    lines = np.einsum("ktij,ktwj,kw->kti", spreads, weighted, means)
    residuals = means[:, None] - lines @ design.T
    misfit = np.einsum("ktw,ktwv,ktv->kt", residuals, inverse, residuals)
    determinants = np.linalg.slogdet(total)[1] + np.linalg.slogdet(precision)[1]
    return -0.5 * (misfit + determinants), lines, spreads


def theory_exponent(target_l0: float) -> float:
    """The exponent that the energy argument gives at fixed d_in.

    K active latents share the energy E||x||^2 = d_in, so each has a magnitude of about
    sqrt(d_in / K), and alpha for the target is proportional to it: exponent 0 in width for a
    count, -1/2 for a fraction, where K grows with the width.
    """
    return -0.5 if target_l0 < 1 else 0.0


def pairwise_exponents(
    latent_dims: Sequence[int], log_alphas: Sequence[float]
) -> list[tuple[int, int, float]]:
    """The exponent between each two neighbouring widths: (narrower, wider, exponent)."""
    ordered = sorted(zip(latent_dims, log_alphas, strict=True))
    return [
        (n_1, n_2, (u_2 - u_1) / math.log(n_2 / n_1))
        for (n_1, u_1), (n_2, u_2) in pairwise(ordered)
    ]
