"""A bound on what any prior over curves can do: one that knows the benchmark's own curves.

`curves known` is no method. It is told all curves of the benchmark, relative to their targets, and
that the truth is one of them, each as likely as the others; it learns which by the trials. What it
is not told is the truth's width and target, which ours makes use of.
"""

from functools import cache
from math import log

import numpy as np

from benchmarks.search_methods import Search, Task
from benchmarks.search_truths import Truth
from sweeper.search.curve_model import Array
from sweeper.search.prior import PriorComponent, mixture

GRID = 1601
"""Places of the root within the interval: 0.006 apart in ln alpha."""


@cache
def _about_their_targets(truths: tuple[Truth, ...], reach: float) -> tuple[Array, list[Array]]:
    """ln(alpha / alpha*) from -reach to reach, and ln(L0 / target) of every curve there."""
    distance = np.linspace(-reach, reach, 2 * GRID - 1)
    return distance, [
        np.array([truth.ln_l0(x + truth.root) for x in distance]) - log(truth.target)
        for truth in truths
    ]


def curves_known(task: Task, truths: list[Truth]) -> Search:
    """The median of alpha*'s posterior on a grid of roots and curves."""
    roots = np.linspace(*task.bounds, GRID)
    distance, curves = _about_their_targets(tuple(truths), round(roots[-1] - roots[0], 9))
    prior = mixture([PriorComponent(name="prior", mean=task.prior, sd=0.5)])  # as ours
    terms = [np.log(c.weight / c.sd) - 0.5 * ((roots - c.mean) / c.sd) ** 2 for c in prior]
    log_weight = np.tile(np.logaddexp.reduce(terms), (len(curves), 1))
    ln_alpha = task.prior
    while True:
        y = (yield ln_alpha) - log(task.target)
        expected = np.array([np.interp(ln_alpha - roots, distance, curve) for curve in curves])
        log_weight -= 0.5 * ((y - expected) / task.noise_sd) ** 2
        cumulative = np.cumsum(np.exp(log_weight - log_weight.max()).sum(axis=0))
        ln_alpha = float(np.interp(0.5 * cumulative[-1], cumulative, roots))
