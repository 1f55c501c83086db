import math

import numpy as np
import pytest

from sweeper.adjusted_fvu import SLOPE, FvuPoint, adjusted_fvu, fvu_point, local_slope


def point(recipe: str, log_error: float, ln_fvu: float) -> FvuPoint:
    return FvuPoint(recipe=recipe, log_error=log_error, ln_fvu=ln_fvu)


def test_local_slope_without_two_runs_of_a_recipe_is_the_documented_one() -> None:
    assert local_slope([]) == pytest.approx(SLOPE)
    assert local_slope([point("a", 0.3, -1), point("b", -0.3, -2)]) == pytest.approx(SLOPE)


def test_local_slope_is_that_of_the_cells_own_curves() -> None:
    runs = [
        point(recipe, error, level - 0.8 * error)
        for recipe, level in (("a", -1.0), ("b", -2.0))
        for error in np.linspace(-0.6, 0.6, 7)
    ]
    assert local_slope(runs) == pytest.approx(-0.8, abs=0.01)


def test_local_slope_leaves_far_runs_out() -> None:
    assert local_slope([point("a", 3.0, 0), point("a", -3.0, -9)]) == pytest.approx(SLOPE)


def test_adjusted_fvu_of_one_curve_is_the_same_everywhere() -> None:
    at_target = 0.3
    for error in (-0.5, 0.0, 0.05):
        measured = at_target * math.exp(-0.4 * error)
        assert adjusted_fvu(measured, error, -0.4) == pytest.approx(at_target)


@pytest.mark.parametrize(
    "record",
    [
        {"state": "diverged"},
        {"state": "complete", "l0_log_error": None, "fvu": 0.9},
        {"state": "complete", "l0_log_error": 0.1, "fvu": None},
    ],
)
def test_fvu_point_of_a_run_without_l0_or_fvu_is_none(record: dict[str, object]) -> None:
    assert fvu_point(record, "a") is None
