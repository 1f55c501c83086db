"""Ways to choose the next alpha: ours, Optuna's samplers, bisection, the guide's rule.

Each gets the same interval and the same first trial, its middle, and sees the same L0.
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


Search = Generator[float, float, None]
"""Yields ln alpha, is sent ln L0."""


def ours(task: Task) -> Search:
    """The root finder with the theory's sd of 0.5, as the sweep uses it."""
    component = PriorComponent(name="prior", mean=task.prior, sd=0.5)
    beliefs = Beliefs(components=mixture([component]))
    root = Root(latent_dim=task.latent_dim, target=task.target, bounds=task.bounds)
    observations: list[Observation] = []
    while True:
        ln_alpha = propose(observations, [], beliefs, root).ln_alpha
        ln_l0 = yield ln_alpha
        observations.append(observe(ln_alpha=ln_alpha, latent_dim=task.latent_dim, l0=exp(ln_l0)))


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
    "tpe": by_optuna(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "gp": by_optuna(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "random": by_optuna(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "bisection": bisection,
    "bisection (linear alpha)": linear_bisection,
    "guide": guide_rule,
}
