"""The terms of the surface's series, and what is assumed about each before the data."""

from dataclasses import dataclass
from itertools import product

_ORDER = 3
ORDER_IN_ALPHA = 4
"""Order of the series in ln alpha alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfacePrior:
    """What is assumed before the data; mean and sd, per unit of the logarithms."""

    exponents: tuple[float, float] = (0.3, -0.45)
    """Of alpha in width and in budget for a count: the series is in ln alpha minus these times the
    other two, so that without other news alpha follows these powers and the curve only shifts;
    measured: +0.1 to +0.7 and -0.4 to -0.6 (tests/data/l0_budget_minilm_layer3.csv)."""
    slope: tuple[float, float] = (-1.2, 1.0)
    """By ln alpha; measured: -0.5 (dense) to -2.9 (sparse)."""
    curvature: tuple[float, float] = (-0.4, 0.5)
    """Twice by ln alpha; measured: -0.1 to -1.6."""
    first: float = 1.0
    """Sd of the derivatives by ln width and by ln budget."""
    mixed: float = 0.25
    """Sd of the other second derivatives; assumption: the elasticity changes by about a quarter
    per factor e of width or budget (measured: -0.15 per ln width at 5 %)."""
    third: float = 0.15
    """Sd of the other third derivatives; assumption: smaller than the second."""
    alpha_high: float = 0.5
    """Sd of the third and fourth derivative by ln alpha alone."""
    noise: tuple[float, float] = (0.03, 0.7)
    """Median of sigma and sd of ln sigma, as in the local fit."""
    scatter: float = 0.1
    """Half-normal scale of tau, the scatter of ln L0 between (width, budget) pairs."""


def multi_indices(*, has_width: bool, has_budget: bool) -> list[tuple[int, int, int]]:
    """Orders of the series' terms in ln alpha, ln width, ln budget; height and slope first."""
    widths = range(_ORDER + 1) if has_width else range(1)
    budgets = range(_ORDER + 1) if has_budget else range(1)
    found = [
        (i, j, k)
        for i, j, k in product(range(ORDER_IN_ALPHA + 1), widths, budgets)
        if i + j + k <= _ORDER or (i, j, k) == (ORDER_IN_ALPHA, 0, 0)
    ]
    return sorted(found, key=lambda index: (sum(index), [-order for order in index]))


def prior_of_term(index: tuple[int, int, int], prior: SurfacePrior) -> tuple[float, float]:
    """Mean and sd of one derivative."""
    order = sum(index)
    if order == 0:
        return 4.0, 10.0  # ln L0 itself: anything
    if index[0] == order:
        return {1: prior.slope, 2: prior.curvature}.get(order, (0.0, prior.alpha_high))
    return 0.0, {1: prior.first, 2: prior.mixed}.get(order, prior.third)
