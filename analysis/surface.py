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
from itertools import product

import numpy as np
import numpy.typing as npt

from analysis.arrays import FloatArray
from analysis.errors import AnalysisError
from analysis.mixture import Estimate, estimate, normalised, ratio_variance
from analysis.surface_prior import SurfacePrior, multi_indices, prior_of_term

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
class _Node:
    log_weight: float
    sigma: float
    tau: float
    mean: FloatArray
    covariance: FloatArray


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
        self._pair = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)

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
        nodes: list[_Node] = []
        for _ in range(_ROUNDS):
            nodes = self._posterior(centre)
            weights = normalised(np.array([node.log_weight for node in nodes]))
            height, slope = weights @ np.array([node.mean[:2] for node in nodes])
            step = (log_target - height) / float(np.clip(slope, _STEEPEST, _FLATTEST))
            step = float(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP))
            if abs(step) < _CENTRED:
                break
            centre[_ALPHA] += step
        return self._point(nodes, centre, log_target, 1.0 if is_fraction else 0.0)

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

    def _posterior(self, centre: FloatArray) -> list[_Node]:
        """The Gaussian posterior of the derivatives at `centre`, at every (sigma, tau)."""
        basis = self._basis(centre)
        terms, pairs = basis.shape[1], int(self._pair.max()) + 1
        design = np.concatenate([basis, np.eye(pairs)[self._pair]], axis=1)
        gram, n = design.T @ design, len(basis)
        mean, sds = self._prior_of(terms)
        mean = np.concatenate([mean, np.zeros(pairs)])
        residual = self.runs.log_l0 - design @ mean
        pull, squares = design.T @ residual, float(residual @ residual)
        nodes: list[_Node] = []
        for (tau_step, tau), (sigma_step, sigma) in product(self._taus(), self._sigmas()):
            variances = np.concatenate([sds**2, np.full(pairs, tau**2)])
            precision = gram / sigma**2 + np.diag(1 / variances)
            shift = np.linalg.solve(precision, pull / sigma**2)
            log_det = float(np.linalg.slogdet(precision)[1]) + float(np.sum(np.log(variances)))
            misfit = squares / sigma**2 - float(shift @ pull) / sigma**2
            log_likelihood = -0.5 * (misfit + log_det) - n * math.log(sigma)
            nodes.append(
                _Node(
                    log_weight=log_likelihood - 0.5 * (sigma_step**2 + tau_step**2),
                    sigma=sigma,
                    tau=tau,
                    mean=(mean + shift)[:terms],
                    covariance=np.linalg.inv(precision)[:terms, :terms],
                )
            )
        return nodes

    def _sigmas(self) -> list[tuple[float, float]]:
        median, spread = self.prior.noise
        return [(float(step), median * math.exp(spread * float(step))) for step in _SIGMA_STEPS]

    def _taus(self) -> list[tuple[float, float]]:
        least = 1e-4  # keeps 0 out of a division; far below any noise
        return [(float(step), max(self.prior.scatter * float(step), least)) for step in _TAU_STEPS]

    def _basis(self, centre: FloatArray) -> FloatArray:
        """Each term of the series at each run, [runs, terms]."""
        runs = self.runs
        away = np.column_stack([runs.log_alpha, runs.log_width, runs.log_budget]) - centre
        away[:, _ALPHA] -= away[:, 1:] @ np.array(self.prior.exponents)
        factorials = np.array([1.0, 1.0, 2.0, 6.0, 24.0])
        return np.column_stack(
            [
                np.prod(away ** np.array(index) / factorials[list(index)], axis=1)
                for index in self._indices
            ]
        )

    def _prior_of(self, terms: int) -> tuple[FloatArray, FloatArray]:
        mean, sds = np.zeros(terms), np.zeros(terms)
        for at, index in enumerate(self._indices):
            mean[at], sds[at] = prior_of_term(index, self.prior)
        return mean, sds

    def _point(
        self, nodes: list[_Node], centre: FloatArray, log_target: float, rise: float
    ) -> SurfacePoint:
        weights = normalised(np.array([node.log_weight for node in nodes]))
        means = np.array([node.mean for node in nodes])
        covariances = np.array([node.covariance for node in nodes])
        sigma = np.array([node.sigma for node in nodes])
        tau = np.array([node.tau for node in nodes])
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
