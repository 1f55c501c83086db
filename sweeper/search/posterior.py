"""What the trials so far say about the curve of one width: curves sampled from its posterior.

A curve is five numbers: ln alpha* (the alpha that gives the target), and the four coordinates of
its shape (`curve_model.decode`).

Shapes: S sampled curves, D coordinates of a curve, N observations, C prior components.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from sweeper.errors import SweepError
from sweeper.search.curve_model import (
    SHAPE_DIMENSIONS,
    Array,
    Curves,
    ShapePrior,
    decode,
    quasi_random,
)
from sweeper.search.observations import SEED_NOISE_SD, Observation, Relation
from sweeper.search.prior import PriorComponent
from sweeper.search.tempering import sample_posterior

SAMPLES = 512
"""Curves sampled; measured: 1024 change no mean of benchmarks/search.py by its error."""
DISCREPANCY = 0.1
"""Error of the curve family, per unit of log distance from the target: assumption."""
CENTRAL_68 = (0.1587, 0.5, 0.8413)
"""Quantiles a standard deviation below, at and above a Gaussian's middle."""
MOST_OBSERVATIONS = 12
"""Trials looked at, the nearest to the target first; further ones say nothing more about it."""
MOST_BOUNDS = 2
"""Of them those that only bound the curve, on each side: assumption."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """What is searched: the alpha that gives one target at one width."""

    latent_dim: int
    """Width."""
    target: float
    """Target L0, a count."""
    bounds: tuple[float, float]
    """Interval that ln alpha_canonical stays in."""
    tolerance: float = 0.05
    """In band means |ln(L0 / target)| <= ln(1 + tolerance)."""
    noise_sd: float = SEED_NOISE_SD
    """Sd of a new trial's ln L0."""

    def __post_init__(self) -> None:
        """Refuses what has no root.

        Raises:
            SweepError: target outside (0, latent_dim), bounds the wrong way round, or a
                tolerance or sd that is not positive.
        """
        if not 0 < self.target < self.latent_dim:
            raise SweepError(
                "target_l0 must be more than 0 and fewer than sae.latent_dim = "
                f"{self.latent_dim} latents, but got {self.target}."
            )
        if not self.bounds[0] < self.bounds[1]:
            raise SweepError(
                f"l1_alpha must be an interval from low to high, but got ln alpha {self.bounds}."
            )
        for name in ("tolerance", "noise_sd"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise SweepError(f"sweep.{name} must be positive, but got {value}.")

    @property
    def ln_target(self) -> float:
        """Log of the target count."""
        return log(self.target)

    @property
    def band(self) -> float:
        """Half width of the band, in ln L0."""
        return log1p(self.tolerance)


@dataclass(frozen=True, kw_only=True, slots=True)
class Posterior:
    """Equally weighted curves, each with its alpha*."""

    curves: Curves
    """Shapes."""
    roots: Array
    """ln alpha* of each, [S]."""
    coordinates: Array
    """What the curves were decoded from, [S, D]: ln alpha*, then the shape's normals."""
    component_weights: dict[str, float]
    """Posterior weight of each prior component."""

    def ln_ratio(self, ln_alpha: float) -> Array:
        """ln(L0 / target) of every curve at one alpha, [S]."""
        return self.curves.ln_ratio(ln_alpha - self.roots)

    def predict(self, ln_alpha: float, noise_sd: float) -> tuple[float, float]:
        """Median and sd of a new trial's ln(L0 / target) at one alpha.

        The sd is half the central 68 % interval, since the tails are long before the curve is
        known.
        """
        low, middle, high = np.quantile(self.ln_ratio(ln_alpha), CENTRAL_68)
        sd = np.sqrt((0.5 * (high - low)) ** 2 + noise_sd**2 + discrepancy(middle) ** 2)
        return float(middle), float(sd)

    def chance_in_band(self, ln_alpha: float, band: float, noise_sd: float) -> Array:
        """P(|ln(L0 / target)| <= band) of a new trial at one alpha, given each curve, [S]."""
        y = self.ln_ratio(ln_alpha)
        return ndtr((band - y) / noise_sd) - ndtr((-band - y) / noise_sd)


def discrepancy(ln_ratio: Array) -> Array:
    """Sd of the family's error where ln(L0 / target) is `ln_ratio`."""
    return DISCREPANCY * np.abs(ln_ratio)


def infer(
    observations: Sequence[Observation],
    components: Sequence[PriorComponent],
    shape_prior: ShapePrior,
    root: Root,
    samples: int = SAMPLES,
) -> Posterior:
    """The posterior of the curve of one width about one target.

    Args:
        observations: Trials of this width and recipe; those run for other targets too.
        components: Prior of ln alpha*, weights summing to one.
        shape_prior: Prior of the curve's shape at the target.
        root: Target and width.
        samples: Number of curves.
    """
    used = nearest(_without_outdone(observations, root.ln_target), root.ln_target)
    density = _Density(used, components, shape_prior, root)
    points = density.sample_prior(samples)
    if used or shape_prior.ln_elasticity is not None:
        points = sample_posterior(points, density.log_prior, density.log_likelihood)
    log_share = density.log_components(points)
    weight = np.exp(log_share - _ln_sum(log_share)[:, None]).mean(axis=0)
    return Posterior(
        curves=density.curves(points),
        roots=points[:, 0],
        coordinates=points,
        component_weights=dict(zip([c.name for c in components], weight.tolist(), strict=True)),
    )


def _without_outdone(observations: Sequence[Observation], ln_target: float) -> list[Observation]:
    """All but projections of ended runs further out than a complete run of the same side.

    A projection may be off by three of its sds (measured: 22.1 where 15.9 would have been, give or
    take 11 %). Beside a complete run that is nearer, all that it adds is a wrong elasticity.
    """

    def outward(observation: Observation) -> float:
        too_sparse = observation.ln_l0 < ln_target
        return observation.ln_alpha if too_sparse else -observation.ln_alpha

    def is_outdone(projection: Observation) -> bool:
        return any(
            o.is_complete
            and o.relation is Relation.equal
            and (o.ln_l0 < ln_target) == (projection.ln_l0 < ln_target)
            and outward(o) < outward(projection)
            for o in observations
        )

    return [
        o
        for o in observations
        if o.is_complete or o.relation is not Relation.equal or not is_outdone(o)
    ]


def nearest(observations: Sequence[Observation], ln_target: float) -> list[Observation]:
    """The trials that say most about the target, in their own order; at most a dozen."""
    if len(observations) <= MOST_OBSERVATIONS:
        return list(observations)

    def distance(place: int) -> tuple[float, float]:
        observation = observations[place]
        # Of bounds on one side the tightest is at the smallest alpha, or at the largest.
        is_above = observation.relation is Relation.above
        alpha = -observation.ln_alpha if is_above else observation.ln_alpha
        return abs(observation.ln_l0 - ln_target), alpha

    places = {relation: list[int]() for relation in Relation}
    for place, observation in enumerate(observations):
        places[observation.relation].append(place)
    bounds = [
        place
        for relation in (Relation.below, Relation.above)
        for place in sorted(places[relation], key=distance)[:MOST_BOUNDS]
    ]
    measured = sorted(places[Relation.equal], key=lambda place: distance(place)[0])
    return [
        observations[place]
        for place in sorted([*measured[: MOST_OBSERVATIONS - len(bounds)], *bounds])
    ]


def _ln_sum(log_terms: Array) -> Array:
    """Log of the sum over the last axis; many times faster than scipy's for a few terms."""
    total: Array = np.logaddexp.reduce(log_terms, axis=-1)
    return total


class _Density:
    """Prior and likelihood of a curve's coordinates."""

    def __init__(
        self,
        observations: Sequence[Observation],
        components: Sequence[PriorComponent],
        shape_prior: ShapePrior,
        root: Root,
    ) -> None:
        self._shape_prior = shape_prior
        self._ln_width_over_target = log(root.latent_dim) - root.ln_target
        self._mean = np.array([c.mean for c in components])
        self._sd = np.array([c.sd for c in components])
        self._weight = np.array([c.weight for c in components])
        exact = [o for o in observations if o.relation is Relation.equal]
        bounds = [o for o in observations if o.relation is not Relation.equal]
        both = exact + bounds
        self._exact = len(exact)
        self._ln_alpha = np.array([o.ln_alpha for o in both])[:, None]
        self._y = np.array([o.ln_l0 - root.ln_target for o in both])[:, None]
        noise = np.array([o.noise_sd for o in both])[:, None]
        self._spread = np.hypot(noise, discrepancy(self._y))
        below = [1.0 if o.relation is Relation.below else -1.0 for o in bounds]
        self._below = np.array(below)[:, None]

    def curves(self, points: Array) -> Curves:
        """The shapes of these points."""
        return decode(points[:, 1:], self._shape_prior, self._ln_width_over_target)

    def sample_prior(self, samples: int) -> Array:
        """Evenly spread points of the prior, [S, D]."""
        unit = quasi_random(samples, SHAPE_DIMENSIONS + 2)
        points = ndtri(unit[:, :-1])
        chosen = np.searchsorted(np.cumsum(self._weight), unit[:, -1])
        chosen = np.minimum(chosen, len(self._weight) - 1)
        points[:, 0] = self._mean[chosen] + self._sd[chosen] * points[:, 0]
        return points

    def log_components(self, points: Array) -> Array:
        """Log of weight times density of each prior component at alpha*, [S, C]."""
        z = (points[:, :1] - self._mean) / self._sd
        return np.log(self._weight / self._sd) - 0.5 * z**2

    def log_prior(self, points: Array) -> Array:
        """Log of the prior density, up to a constant, [S]."""
        shape = 0.5 * (points[:, 1:] ** 2).sum(axis=1)
        return _ln_sum(self.log_components(points)) - shape

    def log_likelihood(self, points: Array) -> Array:
        """Log likelihood of trials and of other curves' elasticity, up to a constant, [S]."""
        curves = self.curves(points)
        z = (self._y - curves.ln_ratio(self._ln_alpha - points[:, 0])) / self._spread
        exact, bounds = z[: self._exact], z[self._exact :]
        trials = log_ndtr(self._below * bounds).sum(axis=0) - 0.5 * (exact**2).sum(axis=0)
        return trials + self._log_elsewhere(curves)

    def _log_elsewhere(self, curves: Curves) -> Array:
        """Log density of what the rule and other curves say about the elasticity, [S]."""
        prior = self._shape_prior
        if prior.ln_elasticity is None:
            return np.zeros(len(curves.power))
        distance = np.log(curves.elasticity_at_target()) - prior.ln_elasticity
        # Cauchy's tails: near a floor a curve is several times flatter than the others (layer 1,
        # standard, 1 % of the latents), and a run or two should be enough to see it.
        return -np.log1p((distance / prior.ln_elasticity_sd) ** 2)
