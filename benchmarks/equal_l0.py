"""Comparing SAEs at equal L0: move the coefficient until L0 is near, then interpolate fvu."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

EXACT = 0.005
"""ln L0 within which fvu needs no correction (it moves by about half of that)."""
NEAR = 0.1
"""ln L0 within which a point serves to interpolate from; a next one is put as far beyond."""
STRAIGHT = 0.5
"""ln L0 over which ln fvu counts as linear in ln L0 (assumption)."""
REACHED = 0.25
"""ln L0 of the nearest point from the target, beyond which no fvu there is told."""
MOST_RUNS = 6
STEEPEST, FLATTEST = 8.0, 0.3
"""|d ln L0 / d ln coefficient| believed of two points; otherwise the first guess is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One trained SAE."""

    coefficient: float
    """Of the penalty, or k."""
    l0: float
    """Held-out."""
    fvu: float
    """Held-out."""


def reach(
    train: Callable[[float], Point],
    start: float,
    elasticity: float,
    target: float,
    known: Sequence[Point] = (),
) -> list[Point]:
    """Trains at one coefficient after another until fvu can be told at the target L0.

    Args:
        train: Trains at a coefficient.
        start: The first coefficient.
        elasticity: d ln L0 / d ln coefficient, as long as the points do not tell.
        target: L0 wanted.
        known: Points of earlier searches, which spare runs.

    Returns:
        All points, nearest to the target first.
    """
    points = sorted(known, key=lambda point: abs(_distance(point, target))) or [train(start)]
    while len(points) < MOST_RUNS and not _suffices(points, target):
        points.append(train(_next_coefficient(points, elasticity, target)))
        points.sort(key=lambda point: abs(_distance(point, target)))
    return points


def fvu_at(points: Sequence[Point], target: float) -> float:
    """The fvu at the target L0, through the two nearest points, linear in logarithms.

    Args:
        points: Nearest first, as `reach` returns them.
        target: L0 wanted.

    Returns:
        Infinity where no point came near the target.
    """
    nearest = points[0]
    if abs(_distance(nearest, target)) > REACHED:
        return math.inf
    if len(points) == 1 or abs(_distance(nearest, target)) <= EXACT:
        return nearest.fvu
    other = points[1]
    apart = math.log(other.l0 / nearest.l0)
    slope = math.log(other.fvu / nearest.fvu) / apart if apart else 0.0
    return nearest.fvu * math.exp(-slope * _distance(nearest, target))


def _distance(point: Point, target: float) -> float:
    return math.log(max(point.l0, 1e-3) / target)


def _suffices(points: Sequence[Point], target: float) -> bool:
    distances = [abs(_distance(point, target)) for point in points]
    if distances[0] <= EXACT:
        return True
    return len(points) > 1 and distances[0] <= NEAR and distances[1] <= STRAIGHT


def _next_coefficient(points: Sequence[Point], elasticity: float, target: float) -> float:
    nearest = points[0]
    if len(points) > 1:
        elasticity = _slope(nearest, points[1], elasticity)
    distance = _distance(nearest, target)
    aim = -math.copysign(NEAR, distance) if abs(distance) <= NEAR else 0.0
    return nearest.coefficient * math.exp((aim - distance) / elasticity)


def _slope(first: Point, second: Point, believed: float) -> float:
    apart = math.log(second.coefficient / first.coefficient)
    measured = _distance(second, first.l0) / apart if apart else 0.0
    credible = measured * believed > 0 and FLATTEST <= abs(measured) <= STEEPEST
    return measured if credible else believed
