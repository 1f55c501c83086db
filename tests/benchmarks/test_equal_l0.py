import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.equal_l0 import MOST_RUNS, Point, fvu_at, reach


def curve(coefficient: float, elasticity: float) -> Point:
    """A power law in both: fvu falls as l0^-0.5."""
    l0 = 100 * coefficient**elasticity
    return Point(coefficient=coefficient, l0=l0, fvu=2 * l0**-0.5)


@settings(deadline=None)
@given(
    start=st.floats(0.3, 3),
    elasticity=st.floats(-3.5, -1),
    target=st.floats(30, 300),
)
def test_fvu_at_reached_points_of_a_power_law_is_the_curves(
    start: float, elasticity: float, target: float
) -> None:
    points = reach(lambda coefficient: curve(coefficient, elasticity), start, -2.0, target)

    assert len(points) < MOST_RUNS
    assert fvu_at(points, target) == pytest.approx(2 * target**-0.5, rel=3e-3)


def test_reach_start_on_target_trains_once() -> None:
    points = reach(lambda coefficient: curve(coefficient, -2.0), 1.0, -2.0, 100.0)

    assert [point.coefficient for point in points] == [1.0]


def test_reach_start_near_target_brackets_it() -> None:
    points = reach(lambda coefficient: curve(coefficient, -2.0), 1.02, -2.0, 100.0)

    assert len(points) == 2
    assert min(point.l0 for point in points) < 100 < max(point.l0 for point in points)


def test_reach_curve_that_never_moves_gives_up() -> None:
    stuck = Point(coefficient=1.0, l0=10.0, fvu=0.5)

    points = reach(lambda _: stuck, 1.0, -2.0, 100.0)

    assert len(points) == MOST_RUNS


def test_reach_wrong_first_elasticity_still_arrives() -> None:
    points = reach(lambda coefficient: curve(coefficient, -5.0), 0.5, -2.0, 100.0)

    assert abs(math.log(points[0].l0 / 100)) < 0.1
