"""The next alpha to try: by the posterior of the curve, kept honest by the bracket."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

import numpy as np

from sweeper.search.bracket import Bracket, find_bracket, stalled
from sweeper.search.curve_model import DEFAULT_SHAPE, ShapePrior
from sweeper.search.observations import Observation, Pending, Relation
from sweeper.search.posterior import Posterior, Root, infer
from sweeper.search.prior import PriorComponent, heaviest

MARGIN = 0.001
"""Share of a bracket next to its ends that is not proposed: they were tried."""
BOUND_MARGIN = 0.35
"""The same next to an end that is a bound, such as a run that diverged: how far off the target it
was is not known, and a step of a thousandth would diverge again."""
SAME = 0.01
"""Distance of ln alpha below which two runs say the same: L0 moves less than between seeds."""
BEYOND = log(1.35)
"""ln(L0 / target) aimed at when a cell is bracketed for the law: 30 to 40 % beyond it."""
LEAST_ELASTICITY = 0.3
"""Below which a step beside the root is not lengthened further (measured: 0.5 and more)."""
ALPHAS_FOR_LAW = 3
"""Distinct alphas a cell needs for its curve."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """An alpha to try, and what is expected of it before it runs."""

    ln_alpha: float
    """ln of the canonical alpha."""
    predicted_ln_l0: float
    """Expected ln L0 (median)."""
    predicted_ln_l0_sd: float
    """Sd of the trial's ln L0 about it, noise included."""
    weights: dict[str, float]
    """Posterior weight of each prior component, before this trial."""
    reason: str
    """`prior`, `model`, `bracket`, `bisection`, `expansion`, `beyond` or `third alpha`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beliefs:
    """What was believed before the cell's own trials."""

    components: Sequence[PriorComponent]
    """Opinions on ln alpha*, weights summing to one (`prior.mixture`)."""
    shape: ShapePrior = DEFAULT_SHAPE
    """Shape of the curve at the target."""


def propose(
    observations: Sequence[Observation],
    pending: Sequence[Pending],
    beliefs: Beliefs,
    root: Root,
) -> Proposal:
    """The alpha to try next.

    Without any trial of this width that is the mean of the heaviest component. Afterwards it is
    the median of alpha*'s posterior, held inside the bracket; a bracket that stops shrinking is
    bisected. With trials pending it is the median of the likeliest gap between them, supposing
    that none of them lands.

    Args:
        observations: Ended trials of this width and recipe, oldest first.
        pending: Running trials of this width.
        beliefs: The prior.
        root: The root to find.
    """
    posterior = infer(observations, beliefs.components, beliefs.shape, root)
    if not observations and not pending:
        return _proposal(heaviest(beliefs.components).mean, posterior, root, "prior")
    wanted = _median_of_gap(posterior, pending, root)
    bracket = find_bracket(observations, root.ln_target)
    if not pending and stalled(observations, root.ln_target):
        return _proposal(bracket.middle, posterior, root, "bisection")
    bounds = {o.ln_alpha for o in observations if o.relation is not Relation.equal}
    held = _apart(_hold(wanted, bracket, bounds), pending, bracket)
    return _proposal(held, posterior, root, "model" if held == wanted else "bracket")


def propose_bracket(
    observations: Sequence[Observation],
    pending: Sequence[Pending],
    beliefs: Beliefs,
    root: Root,
) -> Proposal | None:
    """The alpha that a landed cell still needs before its law can be fitted; None: nothing.

    A cell needs three distinct alphas with complete runs, one on each side of the target. What
    is missing is tried where L0 is expected 35 % beyond the target on that side; a third alpha, on
    the side that has fewer runs outside the band.

    Args:
        observations: Ended trials of this width and recipe.
        pending: Running trials of this width; each is counted where it is expected to end.
        beliefs: The prior.
        root: The root that was found.
    """
    posterior = infer(observations, beliefs.components, beliefs.shape, root)
    ends = {o.ln_alpha: o.ln_l0 - root.ln_target for o in _complete(observations)}
    for trial in pending:
        ends[trial.ln_alpha] = float(np.median(posterior.ln_ratio(trial.ln_alpha)))
    dense = sum(y > 0 for y in ends.values())
    sparse = sum(y < 0 for y in ends.values())
    if dense and sparse and len(ends) >= ALPHAS_FOR_LAW:
        return None
    missing = not (dense and sparse)
    direction = _poorer_side(ends.values(), 0.0 if missing else root.band)
    ln_alpha = _alpha_for(posterior, direction * BEYOND)
    return _proposal(ln_alpha, posterior, root, "beyond" if missing else "third alpha")


def _poorer_side(distances: Collection[float], band: float) -> float:
    """1 where fewer runs are denser than the band than sparser, otherwise -1; 1 of equals."""
    dense = sum(y > band for y in distances)
    sparse = sum(y < -band for y in distances)
    return 1.0 if dense <= sparse else -1.0


def chance_next_lands(
    ln_alpha: float, observations: Sequence[Observation], beliefs: Beliefs, root: Root
) -> float:
    """P(another seed at this alpha ends in band), by the posterior and the noise."""
    posterior = infer(observations, beliefs.components, beliefs.shape, root)
    return float(posterior.chance_in_band(ln_alpha, root.band, root.noise_sd).mean())


def _complete(observations: Sequence[Observation]) -> list[Observation]:
    return [o for o in observations if o.relation is Relation.equal and o.is_complete]


def _median_of_gap(posterior: Posterior, pending: Sequence[Pending], root: Root) -> float:
    """The median of alpha* in the likeliest gap between pending alphas, should none land."""
    roots, weight = posterior.roots, np.ones_like(posterior.roots)
    for trial in pending:
        weight = weight * (1 - posterior.chance_in_band(trial.ln_alpha, root.band, root.noise_sd))
    gap = np.searchsorted(np.sort([trial.ln_alpha for trial in pending]), roots)
    mass = np.bincount(gap, weights=weight)
    inside = gap == np.argmax(mass)
    order = np.argsort(roots[inside], kind="stable")
    cumulative = np.cumsum(weight[inside][order])
    return float(np.interp(0.5 * cumulative[-1], cumulative, roots[inside][order]))


def _hold(ln_alpha: float, bracket: Bracket, bounds: Collection[float]) -> float:
    """The nearest alpha inside the bracket, off its ends: a margin if it is closed.

    Args:
        ln_alpha: What is wanted.
        bracket: The ends.
        bounds: Alphas whose runs only say on which side they are.
    """
    low, high = bracket.low, bracket.high
    if low is not None and high is not None:
        from_low, from_high = (
            (BOUND_MARGIN if end in bounds else MARGIN) * (high - low) for end in (low, high)
        )
        return min(max(ln_alpha, low + from_low), high - from_high)
    if low is not None:
        return max(ln_alpha, low)
    return ln_alpha if high is None else min(ln_alpha, high)


def _apart(ln_alpha: float, pending: Sequence[Pending], bracket: Bracket) -> float:
    """The alpha, or the middle of the widest gap about it where a running trial is at it."""
    running = sorted(trial.ln_alpha for trial in pending)
    if all(abs(ln_alpha - other) > SAME for other in running):
        return ln_alpha
    low = running[0] - BEYOND if bracket.low is None else bracket.low
    high = running[-1] + BEYOND if bracket.high is None else bracket.high
    ends = [low, *(other for other in running if low < other < high), high]
    gaps = [(right - left, (left + right) / 2) for left, right in pairwise(ends)]
    return max(gaps)[1]


def _alpha_for(posterior: Posterior, ln_ratio: float) -> float:
    """Log of the alpha beside the root at which ln(L0 / target) is expected to be `ln_ratio`.

    One step along the tangent at the root: so near to it, the elasticity is known better than the
    curve's ceiling, of which too low a guess would send the step far into the dense.
    """
    elasticity = float(np.median(posterior.curves.elasticity_at_target()))
    return float(np.median(posterior.roots)) - ln_ratio / max(elasticity, LEAST_ELASTICITY)


def _proposal(ln_alpha: float, posterior: Posterior, root: Root, reason: str) -> Proposal:
    inside = min(max(ln_alpha, root.bounds[0]), root.bounds[1])
    mean, sd = posterior.predict(inside, root.noise_sd)
    return Proposal(
        ln_alpha=inside,
        predicted_ln_l0=root.ln_target + mean,
        predicted_ln_l0_sd=sd,
        weights=posterior.component_weights,
        reason=reason,
    )
