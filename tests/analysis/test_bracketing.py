import math
from collections.abc import Callable

import pytest

from analysis.bracketing import LocalCell, bracket, mean_by_alpha, secant
from analysis.errors import AnalysisError

MakeCell = Callable[..., LocalCell]


def test_bracket_unsorted_runs_finds_the_neighbours(make_cell: MakeCell):
    cell = make_cell([4, 1, 2], [20, 100, 50], 64)
    assert bracket(cell) == pytest.approx((math.log(1), math.log(2)))


@pytest.mark.parametrize("target", [10, 200])
def test_bracket_target_outside_is_none(make_cell: MakeCell, target: float):
    cell = make_cell([1, 2], [100, 50], target)
    assert bracket(cell) is None
    assert not cell.bracketed


def test_bracket_target_on_the_last_run_counts(make_cell: MakeCell):
    assert bracket(make_cell([1, 2], [100, 50], 50)) == pytest.approx((0, math.log(2)))


def test_bracket_rising_curve_is_none(make_cell: MakeCell):
    assert bracket(make_cell([1, 2], [50, 100], 64)) is None


def test_bracket_two_crossings_takes_the_sparser(make_cell: MakeCell):
    cell = make_cell([1, 2, 3, 4], [100, 40, 90, 30], 64)
    assert bracket(cell) == pytest.approx((math.log(3), math.log(4)))


def test_mean_by_alpha_replicates_are_averaged_in_log(make_cell: MakeCell):
    _, means = mean_by_alpha(make_cell([1, 1, 2], [100, 400, 50], 64))
    assert means == pytest.approx([math.log(200), math.log(50)])


def test_secant_on_a_power_law_is_exact(make_cell: MakeCell):
    cell = make_cell([1, 4], [64, 4], 16)
    assert math.exp(secant(cell)) == pytest.approx(2)


def test_secant_unbracketed_is_refused(make_cell: MakeCell):
    with pytest.raises(AnalysisError, match="target_l0 must lie between the L0 of two runs"):
        secant(make_cell([1, 2], [100, 50], 10))
