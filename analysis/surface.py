"""The surface ln L0 over (ln alpha, ln width, ln budget), with a shape that changes over it.

Budget is learning rate times steps: what moves alpha more than anything else. Around the point
asked for, ln L0 is a Taylor series in all three coordinates to the third order (and the fourth in
ln alpha), whose derivatives have the priors of `SurfacePrior`; every pair of width and budget may
lie off it by a scatter tau. Sigma and tau are summed over on a grid; the rest is linear and
Gaussian. From the series at ln L0 = ln target come alpha, and its exponents

    d ln alpha / d ln width = -(d ln L0 / d ln width) / (d ln L0 / d ln alpha),

and the same for the budget. They differ from target to target and from place to place: there is
no single exponent.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.arrays import FloatArray
from analysis.errors import AnalysisError
from analysis.mixture import Estimate, estimate, normalised, ratio_variance
from analysis.surface_prior import ORDER_IN_ALPHA, SurfacePrior, multi_indices, prior_of_term

_ALPHA, _WIDTH, _BUDGET = range(3)
_ROUNDS = 25
_CENTRED = 1e-9
# No step of the search for alpha is longer than this factor.
_LONGEST_STEP = math.log(4.0)
_STEEPEST, _FLATTEST = -5.0, -0.1


_SIGMA_STEPS = np.linspace(-2.5, 2.5, 9)
_TAU_STEPS = np.linspace(0.0, 2.5, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceRuns:
    """The runs behind a surface; arrays of one length."""

    log_alpha: FloatArray
    """Ln alpha."""
    log_width: FloatArray
    """Ln latent_dim."""
    log_budget: FloatArray
    """Ln of learning rate times steps, or of steps alone where the rate is one for all."""
    log_l0: FloatArray
    """Ln L0, as a count."""

    def __len__(self) -> int:
        """The number of runs."""
        return len(self.log_alpha)

    def keep(self, mask: npt.NDArray[np.bool_]) -> "SurfaceRuns":
        """The runs that a Boolean mask keeps."""
        return SurfaceRuns(
            log_alpha=self.log_alpha[mask],
            log_width=self.log_width[mask],
            log_budget=self.log_budget[mask],
            log_l0=self.log_l0[mask],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfacePoint:
    """What the surface says at one width, budget and target."""

    log_alpha: Estimate
    """Ln alpha for the target, the scatter of an unseen (width, budget) pair included."""
    next_run: Estimate
    """The same for one further run, its noise included."""
    elasticity: Estimate
    """Derivative of ln L0 by ln alpha."""
    width_exponent: Estimate | None
    """Of alpha in width at this target; None with one width."""
    budget_exponent: Estimate | None
    """Of alpha in the budget; None with one budget."""
    scatter: float
    """Posterior mean of tau, in ln L0."""
    noise: float
    """Posterior mean of sigma, in ln L0."""
    outside: tuple[str, ...]
    """Which of L0, width and budget lie outside the runs: the point is an extrapolation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Posterior:
    """At every point of the grid of (sigma, tau)."""

    log_weights: FloatArray  # [nodes]
    sigma: FloatArray  # [nodes]
    tau: FloatArray  # [nodes]
    means: FloatArray  # [nodes, terms]
    covariances: FloatArray  # [nodes, terms, terms]


class Surface:
    """A surface over a set of runs; each question is answered by an expansion around it."""

    def __init__(self, runs: SurfaceRuns, prior: SurfacePrior | None = None) -> None:
        """Checks the runs.

        Raises:
            AnalysisError: Fewer than three runs, or all at one alpha.
        """
        if len(runs) < 3 or len(np.unique(runs.log_alpha)) < 2:
            raise AnalysisError(
                f"runs must be three or more at two alphas or more, but got {len(runs)}."
            )
        self.runs = runs
        self.prior = SurfacePrior() if prior is None else prior
        self._has_width = len(np.unique(runs.log_width)) > 1
        self._has_budget = len(np.unique(runs.log_budget)) > 1
        self._indices = multi_indices(has_width=self._has_width, has_budget=self._has_budget)
        pairs = np.column_stack([runs.log_width, runs.log_budget])
        _, inverse, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        self._pair, self._pair_sizes = inverse.reshape(-1), sizes.astype(np.float64)

    def at(
        self, *, log_width: float, log_budget: float, log_target: float, is_fraction: bool = False
    ) -> SurfacePoint:
        """Alpha and its exponents at one width, budget and target.

        Args:
            log_width: Ln latent_dim.
            log_budget: Ln of the budget, in the runs' unit.
            log_target: Ln of the target as a count, at this width.
            is_fraction: Whether the target is a fraction of the width, so that its count rises
                with the width; it changes the exponent in width and nothing else.

        Raises:
            AnalysisError: Another width or budget is asked for than the only one there is.
        """
        self._refuse_unseen(log_width, log_budget)
        centre = np.array([self._first_guess(log_target), log_width, log_budget])
        posterior = self._posterior(centre)
        for _ in range(_ROUNDS):
            height, slope = normalised(posterior.log_weights) @ posterior.means[:, :2]
            step = (log_target - height) / float(np.clip(slope, _STEEPEST, _FLATTEST))
            step = float(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP))
            if abs(step) < _CENTRED:
                break
            centre[_ALPHA] += step
            posterior = self._posterior(centre)
        return self._point(posterior, centre, log_target, 1.0 if is_fraction else 0.0)

    def _refuse_unseen(self, log_width: float, log_budget: float) -> None:
        for name, asked, seen, many in (
            ("width", log_width, self.runs.log_width, self._has_width),
            ("budget", log_budget, self.runs.log_budget, self._has_budget),
        ):
            if not many and abs(asked - float(seen[0])) > 1e-9:
                raise AnalysisError(
                    f"{name} must be {math.exp(float(seen[0])):.6g}, the only one with runs, "
                    f"but got {math.exp(asked):.6g}."
                )

    def _first_guess(self, log_target: float) -> float:
        nearest = int(np.argmin(np.abs(self.runs.log_l0 - log_target)))
        return float(self.runs.log_alpha[nearest])

    def _posterior(self, centre: FloatArray) -> _Posterior:
        """The Gaussian posterior of the derivatives at `centre`, at every (sigma, tau).

        Every pair of width and budget has an offset of its own. Their block of the precision is
        diagonal, so they are eliminated, and what is inverted has the size of the series.
        """
        basis = self._basis(centre)
        terms, n = basis.shape[1], len(basis)
        mean, sds = self._prior_of(terms)
        residual = self.runs.log_l0 - basis @ mean
        sums = self._pair_sums(np.column_stack([basis, residual]))
        gram, pull = basis.T @ basis, basis.T @ residual
        sigma, tau, log_prior = self._grid()
        noise = sigma[:, None] ** 2
        # Precision of the offsets, [nodes, pairs], and what they take from the others' equations.
        offsets = self._pair_sizes / noise + 1 / tau[:, None] ** 2
        taken = np.einsum("pi,np,pj->nij", sums, 1 / (offsets * noise**2), sums)
        precision = gram / noise[..., None] + np.diag(1 / sds**2) - taken[:, :terms, :terms]
        projection = pull / noise - taken[:, :terms, terms]
        covariance = np.linalg.inv(precision)
        shift = np.einsum("nij,nj->ni", covariance, projection)
        misfit = float(residual @ residual) / sigma**2 - taken[:, terms, terms]
        misfit -= np.einsum("ni,ni->n", shift, projection)
        log_det = np.linalg.slogdet(precision)[1] + 2 * float(np.sum(np.log(sds)))
        log_det += np.sum(np.log(offsets * tau[:, None] ** 2), axis=1)
        return _Posterior(
            log_weights=-0.5 * (misfit + log_det) - n * np.log(sigma) + log_prior,
            sigma=sigma,
            tau=tau,
            means=mean + shift,
            covariances=covariance,
        )

    def _pair_sums(self, columns: FloatArray) -> FloatArray:
        """Sums over the runs of each (width, budget) pair, [pairs, columns]."""
        sums = np.zeros((len(self._pair_sizes), columns.shape[1]))
        np.add.at(sums, self._pair, columns)
        return sums

    def _grid(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sigma, tau and the log prior at every node."""
        median, spread = self.prior.noise
        least = 1e-4  # keeps 0 out of a division; far below any noise
        tau_steps, sigma_steps = np.meshgrid(_TAU_STEPS, _SIGMA_STEPS, indexing="ij")
        sigma = median * np.exp(spread * sigma_steps)
        tau = np.maximum(self.prior.scatter * tau_steps, least)
        log_prior = -0.5 * (sigma_steps**2 + tau_steps**2)
        return sigma.ravel(), tau.ravel(), log_prior.ravel()

    def _basis(self, centre: FloatArray) -> FloatArray:
        """Each term of the series at each run, [runs, terms]."""
        runs = self.runs
        away = np.column_stack([runs.log_alpha, runs.log_width, runs.log_budget]) - centre
        away[:, _ALPHA] -= away[:, 1:] @ np.array(self.prior.exponents)
        powers = [np.ones_like(away)]  # each over its factorial
        for order in range(1, ORDER_IN_ALPHA + 1):
            powers.append(powers[-1] * away / order)
        return np.column_stack(
            [powers[i][:, 0] * powers[j][:, 1] * powers[k][:, 2] for i, j, k in self._indices]
        )

    def _prior_of(self, terms: int) -> tuple[FloatArray, FloatArray]:
        mean, sds = np.zeros(terms), np.zeros(terms)
        for at, index in enumerate(self._indices):
            mean[at], sds[at] = prior_of_term(index, self.prior)
        return mean, sds

    def _point(
        self, posterior: _Posterior, centre: FloatArray, log_target: float, rise: float
    ) -> SurfacePoint:
        weights = normalised(posterior.log_weights)
        means, covariances = posterior.means, posterior.covariances
        sigma, tau = posterior.sigma, posterior.tau
        slopes = np.clip(means[:, 1], _STEEPEST, _FLATTEST)
        log_alpha = centre[_ALPHA] + (log_target - means[:, 0]) / slopes
        variance = (covariances[:, 0, 0] + tau**2) / slopes**2
        slope_variance = covariances[:, 1, 1]
        return SurfacePoint(
            log_alpha=estimate(weights, log_alpha, variance),
            next_run=estimate(weights, log_alpha, variance + (sigma / slopes) ** 2),
            elasticity=estimate(weights, means[:, 1], slope_variance),
            width_exponent=self._exponent(_WIDTH, weights, means, covariances, rise),
            budget_exponent=self._exponent(_BUDGET, weights, means, covariances, 0.0),
            scatter=float(weights @ tau),
            noise=float(weights @ sigma),
            outside=self._outside(centre, log_target),
        )

    def _exponent(
        self,
        axis: int,
        weights: FloatArray,
        means: FloatArray,
        covariances: FloatArray,
        rise: float,
    ) -> Estimate | None:
        """(rise of ln target - derivative by the axis) / slope, its variance by the delta method.

        The derivative is at fixed sheared ln alpha, so the prior's own exponent comes on top.
        """
        wanted = (0, 1, 0) if axis == _WIDTH else (0, 0, 1)
        if wanted not in self._indices:
            return None
        at = self._indices.index(wanted)
        slopes = np.clip(means[:, 1], _STEEPEST, _FLATTEST)
        ratio = (rise - means[:, at]) / slopes
        spread = (covariances[:, at, at], covariances[:, 1, 1], -covariances[:, at, 1])
        variance = ratio_variance(ratio, slopes, spread)
        return estimate(weights, self.prior.exponents[axis - 1] + ratio, variance)

    def _outside(self, centre: FloatArray, log_target: float) -> tuple[str, ...]:
        checks = (
            ("L0", log_target, self.runs.log_l0),
            ("width", float(centre[_WIDTH]), self.runs.log_width),
            ("budget", float(centre[_BUDGET]), self.runs.log_budget),
        )
        slack = 1e-9
        return tuple(
            name
            for name, value, seen in checks
            if not float(seen.min()) - slack <= value <= float(seen.max()) + slack
        )
