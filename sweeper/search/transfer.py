"""What other widths and budgets of a study say about the alpha of a new one.

The error in ln effective alpha of a rule (`alpha_rule`), delta, is regressed on ln width and on ln
exposure (learning rate times steps): a line whose slopes are believed small, plus a smooth drift,
so that neighbours count most. The prediction for the new cell is the rule plus delta there, with
its sd.

Shapes: G groups of trials (one width and about one budget each).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log, log2

import numpy as np

from sweeper.search.alpha_rule import THEORY, AlphaRule, Situation
from sweeper.search.curve_model import Array, ShapePrior
from sweeper.search.observations import Observation
from sweeper.search.posterior import CENTRAL_68, Posterior, Root, infer, nearest
from sweeper.search.prior import PriorComponent

WIDTH_SLOPE_SD = 0.3
"""sd of d(delta) / d(ln width): measured exponents differ from the rule's by up to 0.7, mostly
by less than 0.3."""
DRIFT_SD = 0.1
"""sd of delta about its line: a factor of 1.1 (assumption)."""
BUDGET_CURVATURE_SD = 0.15
"""sd of d^2(delta) / d(ln exposure)^2. The rules' own second derivatives at the reference,
-budget_exponent * budget_decay, are 0.25, 0.17 and 0.09 (measured: benchmarks.recipe)."""
DRIFT_LENGTH = 1.0
"""In ln width, over which the drift forgets."""
OTHER_WIDTH_SHAPE_SD = 0.2
"""sd of ln elasticity between neighbouring widths (measured: 0.1 to 0.2)."""
LEAST_SHAPE_SD = 0.1
"""Sd of ln elasticity however many widths tell it: assumption."""
LEAST_SD = 1e-3
"""Of what sampled curves agree on."""
TRANSFER_SAMPLES = 256
"""Curves sampled for each group: its mean and sd need no more."""
MOST_GROUPS = 8
"""Groups used, the nearest to the new cell; 10,000 trials then cost no more than a few hundred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What, beside the width, moves alpha."""

    d_in: int
    """Input dimension."""
    learning_rate: float
    """Peak learning rate of the new cell."""
    total_steps: int
    """Its training steps."""
    rule: AlphaRule = THEORY
    """What alpha is expected to follow from width to width and budget to budget."""

    def situation(self, latent_dim: int, target_count: float) -> Situation:
        """This recipe at a width and a target."""
        return Situation(
            d_in=self.d_in,
            latent_dim=latent_dim,
            target_count=target_count,
            learning_rate=self.learning_rate,
            total_steps=self.total_steps,
        )

    @property
    def exposure(self) -> float:
        """learning_rate * total_steps."""
        return self.learning_rate * self.total_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A study's opinion on a new cell."""

    component: PriorComponent
    """Named `study`."""
    shape: ShapePrior
    """With the rule's elasticity, moved by what groups of trials differ from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """One group's alpha* and its curve's steepness, as errors of the rule."""

    ln_width: float
    ln_exposure: float
    delta: float
    delta_sd: float
    steeper: float
    """ln of the elasticity over the rule's."""
    steeper_precision: float
    """1 / sd^2 of it, the group's own runs alone; 0: they say nothing."""


def transfer(
    observations: Sequence[Observation],
    *,
    target_l0: float,
    latent_dim: int,
    recipe: Recipe,
    weight: float = 4.0,
) -> Transfer | None:
    """The study's component for a new (width, target, budget); None without other trials.

    Args:
        observations: Trials of any width and budget; those without a recipe of their own count as
            run with `recipe`. Not those that the cell's own root finder has.
        target_l0: Below 1 a fraction of the latents, from 1 on a count; for every width alike.
        latent_dim: The new cell's width.
        recipe: The new cell's.
        weight: Prior weight beside a component of weight one (assumption: four times the rule).
    """
    groups = _group(observations, recipe)
    if not groups:
        return None
    chosen = _nearest_groups(groups, target_l0, latent_dim, recipe)
    findings = [_find(tuple(group), target_l0, recipe) for group in chosen]
    delta, sd = _regress(findings, recipe.rule, log(latent_dim), log(recipe.exposure))
    here = recipe.situation(latent_dim, count(target_l0, latent_dim))
    effective = recipe.rule.ln_effective_for(here) + delta
    mean = recipe.rule.ln_alpha_of(effective, latent_dim, recipe.exposure)
    sd *= exp(recipe.rule.ln_slope(mean, latent_dim, recipe.exposure))
    component = PriorComponent(name="study", mean=mean, sd=sd, weight=weight)
    expected_shape = recipe.rule.shape(mean, latent_dim, recipe.exposure)
    return Transfer(component=component, shape=_shape(findings, expected_shape, log(latent_dim)))


def count(target_l0: float, latent_dim: int) -> float:
    """The target as a count of latents."""
    return target_l0 * latent_dim if target_l0 < 1 else target_l0


def at_recipe(observation: Observation, recipe: Recipe) -> Observation:
    """The observation moved to the recipe's exposure by its rule's budget term.

    Its noise grows by the term's own spread, times an elasticity of 1.5.
    """
    here, there = _exposure(observation, recipe), recipe.exposure
    spread = 1.5 * recipe.rule.budget_exponent_sd * log(there / here)
    return replace(
        observation,
        ln_alpha=recipe.rule.at_exposure(
            observation.ln_alpha, observation.latent_dim, here, there
        ),
        noise_sd=float(np.hypot(observation.noise_sd, spread)),
        learning_rate=recipe.learning_rate,
        total_steps=recipe.total_steps,
    )


def is_near(observation: Observation, recipe: Recipe) -> bool:
    """Whether the observation's exposure is the recipe's to the nearest factor of two."""
    return _octave(observation, recipe) == 0


def _octave(observation: Observation, recipe: Recipe) -> int:
    return round(log2(_exposure(observation, recipe) / recipe.exposure))


def _exposure(observation: Observation, recipe: Recipe) -> float:
    rate = observation.learning_rate or recipe.learning_rate
    return rate * (observation.total_steps or recipe.total_steps)


def _group(
    observations: Sequence[Observation], recipe: Recipe
) -> dict[tuple[int, int], list[Observation]]:
    """Trials by width and by exposure to the nearest factor of two from the new cell's."""
    groups: defaultdict[tuple[int, int], list[Observation]] = defaultdict(list)
    for observation in observations:
        groups[observation.latent_dim, _octave(observation, recipe)].append(observation)
    return groups


def _nearest_groups(
    groups: dict[tuple[int, int], list[Observation]],
    target_l0: float,
    latent_dim: int,
    recipe: Recipe,
) -> list[list[Observation]]:
    """The groups nearest to the new cell, their trials moved to one exposure each."""

    def distance(key: tuple[int, int]) -> tuple[float, int, int]:
        width, octave = key
        return abs(log(width / latent_dim)) + abs(octave) * log(2), width, octave

    chosen = sorted(groups, key=distance)[:MOST_GROUPS]
    found: list[list[Observation]] = []
    for width, octave in chosen:
        steps = max(1, round(recipe.total_steps * 2.0**octave))
        one = replace(recipe, total_steps=steps)
        telling = nearest(groups[width, octave], log(count(target_l0, width)))
        found.append([at_recipe(o, one) for o in telling])
    return found


@lru_cache(maxsize=256)
def _find(group: tuple[Observation, ...], target_l0: float, recipe: Recipe) -> _Finding:
    """Alpha* and steepness of one group, the rule being its prior."""
    first = group[0]
    own = replace(
        recipe,
        learning_rate=first.learning_rate or recipe.learning_rate,
        total_steps=first.total_steps or recipe.total_steps,
    )
    target = min(count(target_l0, first.latent_dim), 0.99 * first.latent_dim)
    situation, rule = own.situation(first.latent_dim, target), recipe.rule
    expected = rule.ln_alpha(situation)
    # Three times the rule's sd, since the regression has the rule already; but no wider, or a
    # single run that missed by a fifth could as well lie on a flat curve, whose root is far away.
    wide = [PriorComponent(name=rule.name, mean=expected, sd=3 * rule.sd)]
    root = Root(latent_dim=first.latent_dim, target=target, bounds=(-50.0, 50.0))
    shape = rule.shape(expected, first.latent_dim, own.exposure)
    posterior = infer(group, wide, shape, root, TRANSFER_SAMPLES)
    quantiles = np.quantile(posterior.roots, CENTRAL_68).tolist()
    here = (first.latent_dim, own.exposure)
    low, middle, high = (rule.ln_effective(alpha, *here) for alpha in quantiles)
    steeper, precision = 0.0, 0.0
    if len({o.ln_alpha for o in group}) > 1:
        before = infer((), wide, shape, root, TRANSFER_SAMPLES)
        ln_elasticity, precision = _told(posterior, before)
        steeper = ln_elasticity - (rule.shape(quantiles[1], *here).ln_elasticity or 0.0)
    return _Finding(
        ln_width=log(first.latent_dim),
        ln_exposure=log(own.exposure),
        delta=middle - rule.ln_effective_for(situation),
        delta_sd=max(0.5 * (high - low), LEAST_SD),
        steeper=steeper,
        steeper_precision=precision,
    )


def _told(posterior: Posterior, before: Posterior) -> tuple[float, float]:
    """What runs say of ln elasticity, and its precision: the belief before them taken off again.

    Both beliefs are taken for Gaussians.
    """
    middle, sd = _middle_and_sd(np.log(posterior.curves.elasticity_at_target()))
    first, first_sd = _middle_and_sd(np.log(before.curves.elasticity_at_target()))
    gained = sd**-2 - first_sd**-2
    if gained <= 0:
        return middle, 0.0
    return (middle * sd**-2 - first * first_sd**-2) / gained, gained


def _middle_and_sd(values: Array) -> tuple[float, float]:
    """Median and half the central 68 %: a single run leaves tails that a variance would heed."""
    low, middle, high = np.quantile(values, CENTRAL_68)
    return float(middle), max(float(high - low) / 2, LEAST_SD)


def _regress(
    findings: Sequence[_Finding], rule: AlphaRule, ln_width: float, ln_exposure: float
) -> tuple[float, float]:
    """Mean and sd of delta at the new cell: a Gaussian process of line and drift."""
    x = np.array([f.ln_width for f in findings] + [ln_width]) - ln_width
    b = np.array([f.ln_exposure for f in findings] + [ln_exposure]) - ln_exposure
    covariance: Array = (
        rule.sd**2
        + WIDTH_SLOPE_SD**2 * np.outer(x, x)
        + rule.budget_exponent_sd**2 * np.outer(b, b)
        + BUDGET_CURVATURE_SD**2 * np.outer(b**2 / 2, b**2 / 2)
        + DRIFT_SD**2 * np.exp(-np.abs(np.subtract.outer(x, x)) / DRIFT_LENGTH)
    )
    noise = np.diag([f.delta_sd**2 for f in findings])
    known = covariance[:-1, :-1] + noise
    cross = covariance[-1, :-1]
    gain = np.linalg.solve(known, cross)
    mean = float(gain @ [f.delta for f in findings])
    variance = float(covariance[-1, -1] - gain @ cross)
    return mean, variance**0.5


def _shape(findings: Sequence[_Finding], prior: ShapePrior, ln_width: float) -> ShapePrior:
    """The rule's elasticity, moved as the groups' differ from it, as far as each is near."""
    precision, weighted = 0.0, 0.0
    if prior.ln_elasticity is not None:
        precision = prior.ln_elasticity_sd**-2
    for finding in findings:
        if finding.steeper_precision == 0:
            continue
        doublings = max(1.0, abs(finding.ln_width - ln_width) / log(2))
        variance = 1 / finding.steeper_precision + (OTHER_WIDTH_SHAPE_SD * doublings) ** 2
        precision += 1 / variance
        weighted += finding.steeper / variance
    if precision == 0:
        return prior
    return replace(
        prior,
        ln_elasticity=(prior.ln_elasticity or 0.0) + weighted / precision,
        ln_elasticity_sd=max(precision**-0.5, LEAST_SHAPE_SD),
    )
