import math
from collections.abc import Callable

import pytest

from analysis.bracketing import LocalCell, bracket, mean_by_alpha, secant, torn
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


def test_torn_two_crossings_gives_both_brackets(make_cell: MakeCell):
    cell = make_cell([1, 2, 4, 8, 16], [400, 190, 80, 500, 9], 100)
    found = torn(cell)
    assert found is not None
    assert [end for ends in found for end in ends] == pytest.approx(
        [math.log(2), math.log(4), math.log(8), math.log(16)]
    )
    assert (cell.bracketed, cell.bracketed_once) == (True, False)


def test_torn_crossings_by_noise_are_one(make_cell: MakeCell):
    cell = make_cell([1, 2, 2.05, 2.1, 4], [130, 62, 66, 63, 30], 64)
    assert torn(cell) is None
    assert cell.bracketed_once


@pytest.mark.parametrize("target", [64, 1000])
def test_torn_falling_curve_is_none(make_cell: MakeCell, target: float):
    assert torn(make_cell([1, 2, 4], [100, 50, 25], target)) is None


def test_mean_by_alpha_replicates_are_averaged_in_log(make_cell: MakeCell):
    _, means = mean_by_alpha(make_cell([1, 1, 2], [100, 400, 50], 64))
    assert means == pytest.approx([math.log(200), math.log(50)])


def test_secant_on_a_power_law_is_exact(make_cell: MakeCell):
    cell = make_cell([1, 4], [64, 4], 16)
    assert math.exp(secant(cell)) == pytest.approx(2)


def test_secant_unbracketed_is_refused(make_cell: MakeCell):
    with pytest.raises(AnalysisError, match="target_l0 must lie between the L0 of two runs"):
        secant(make_cell([1, 2], [100, 50], 10))
