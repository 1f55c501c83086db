"""Ways to choose the next alpha: ours, Optuna's samplers, bisection, the guide's rule.

Each gets the same interval and the same first trial, its middle, and sees the same L0. One more,
`shape known`, is no method but a bound: it is told what nobody can know.
"""

import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import exp, log

import numpy as np
import optuna

from sweeper.search.observations import Observation, observe
from sweeper.search.posterior import Root
from sweeper.search.prior import PriorComponent, mixture
from sweeper.search.root_finder import Beliefs, propose

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a method is told before its first trial."""

    latent_dim: int
    target: float
    prior: float
    """ln alpha."""
    bounds: tuple[float, float]
    """ln alpha: two decades either way of the prior."""
    seed: int
    shape: Callable[[float], float]
    """ln(alpha / alpha*) -> ln(L0 / target): for `shape known` alone."""
    noise_sd: float
    """Of ln L0."""


ORACLE_GRID = 4001
"""Points of `shape known`: 0.0023 apart in ln alpha."""

Search = Generator[float, float, None]
"""Yields ln alpha, is sent ln L0."""


def _components(task: Task) -> list[PriorComponent]:
    """The theory's sd of 0.5, as the sweep uses it."""
    return mixture([PriorComponent(name="prior", mean=task.prior, sd=0.5)])


def ours(task: Task) -> Search:
    """The root finder, which is told how noisy L0 is."""
    beliefs = Beliefs(components=_components(task))
    root = Root(
        latent_dim=task.latent_dim,
        target=task.target,
        bounds=task.bounds,
        noise_sd=task.noise_sd,
    )
    observations: list[Observation] = []
    while True:
        ln_alpha = propose(observations, [], beliefs, root).ln_alpha
        ln_l0 = yield ln_alpha
        found = observe(
            ln_alpha=ln_alpha,
            latent_dim=task.latent_dim,
            l0=exp(ln_l0),
            noise_sd=task.noise_sd,
        )
        observations.append(found)


def shape_known(task: Task) -> Search:
    """What is left to search once the curve is known but for where it lies: the same prior.

    The median of alpha*'s posterior on a grid. Where `ours` needs more trials than this, it is to
    learn the curve's shape; what this one needs beyond two trials is the noise.
    """
    roots = np.linspace(*task.bounds, ORACLE_GRID)
    distance = np.linspace(-1.0, 1.0, 2 * ORACLE_GRID - 1) * (roots[-1] - roots[0])
    curve = np.array([task.shape(x) for x in distance])
    terms = [
        np.log(c.weight / c.sd) - 0.5 * ((roots - c.mean) / c.sd) ** 2 for c in _components(task)
    ]
    log_weight = np.logaddexp.reduce(terms)
    ln_alpha = task.prior
    while True:
        y = (yield ln_alpha) - log(task.target)
        expected = np.interp(ln_alpha - roots, distance, curve)
        log_weight = log_weight - 0.5 * ((y - expected) / task.noise_sd) ** 2
        cumulative = np.cumsum(np.exp(log_weight - log_weight.max()))
        ln_alpha = float(np.interp(0.5 * cumulative[-1], cumulative, roots))


def bisection(task: Task) -> Search:
    """Halves the interval of ln alpha; its middle, the first trial, is the prior."""
    low, high = task.bounds
    while True:
        middle = 0.5 * (low + high)
        ln_l0 = yield middle
        if ln_l0 > log(task.target):
            low = middle
        else:
            high = middle


def linear_bisection(task: Task) -> Search:
    """Halves the interval of alpha itself, after a first trial at the prior."""
    low, high = (exp(bound) for bound in task.bounds)
    alpha = exp(task.prior)
    while True:
        ln_l0 = yield log(alpha)
        if ln_l0 > log(task.target):
            low = alpha
        else:
            high = alpha
        alpha = 0.5 * (low + high)


def guide_rule(task: Task) -> Search:
    """The guide's advice: 20 to 30 % more alpha if too dense, less if too sparse."""
    generator = np.random.default_rng(task.seed)
    ln_alpha = task.prior
    while True:
        ln_l0 = yield ln_alpha
        step = log(generator.uniform(1.2, 1.3))
        ln_alpha += step if ln_l0 > log(task.target) else -step
        ln_alpha = min(max(ln_alpha, task.bounds[0]), task.bounds[1])


def by_optuna(sampler: Callable[[int], optuna.samplers.BaseSampler]) -> Callable[[Task], Search]:
    """Minimises |ln(L0 / target)| over log alpha, the prior enqueued."""

    def search(task: Task) -> Search:
        study = optuna.create_study(sampler=sampler(task.seed))
        low, high = (exp(bound) for bound in task.bounds)
        study.enqueue_trial({"l1_alpha": exp(task.prior)})
        while True:
            trial = study.ask()
            ln_l0 = yield log(trial.suggest_float("l1_alpha", low, high, log=True))
            study.tell(trial, abs(ln_l0 - log(task.target)))

    return search


METHODS: dict[str, Callable[[Task], Search]] = {
    "ours": ours,
    "shape known": shape_known,
    "tpe": by_optuna(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "gp": by_optuna(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "random": by_optuna(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "bisection": bisection,
    "bisection (linear alpha)": linear_bisection,
    "guide": guide_rule,
}
