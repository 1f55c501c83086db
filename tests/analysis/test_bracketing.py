import math
from collections.abc import Callable

import numpy as np
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


def noisy_cell(noise: float, runs: int, seed: int = 1, leap: float = 0.0) -> LocalCell:
    """Random alphas on L0 = 300 / (1 + alpha)^1.3; from alpha 4 on L0 is exp(leap) as large."""
    rng = np.random.default_rng(seed)
    u = np.sort(rng.uniform(math.log(0.5), math.log(8), runs))
    y = math.log(300) - 1.3 * np.log1p(np.exp(u)) + leap * (u > math.log(4))
    y += noise * rng.standard_normal(runs)
    return LocalCell(latent_dim=1000, log_alpha=u, log_l0=y, target=50.0)


@pytest.mark.parametrize(
    ("noise", "runs", "seed"), [(0.03, 25_000, 1), (0.05, 1000, 1), (0.1, 60, 2)]
)
def test_torn_many_noisy_runs_of_one_curve_is_none(noise: float, runs: int, seed: int):
    assert torn(noisy_cell(noise, runs, seed)) is None


@pytest.mark.parametrize(("noise", "runs"), [(0.05, 1000), (0.1, 300)])
def test_torn_leap_among_many_noisy_runs_gives_both_brackets(noise: float, runs: int):
    found = torn(noisy_cell(noise, runs, leap=math.log(2)))
    assert found is not None
    (first, _), (_, last) = found
    assert math.exp(first) < 2.97 < 4 < math.exp(last)


def test_bracket_falls_by_noise_are_one_from_the_first_to_the_last(make_cell: MakeCell):
    cell = make_cell([1, 2, 2.05, 2.1, 4], [130, 62, 66, 63, 30], 64)
    assert bracket(cell) == pytest.approx((math.log(1), math.log(2.1)))


def test_secant_many_noisy_runs_lies_on_the_line_through_all_of_them():
    assert math.exp(secant(noisy_cell(0.05, 1000))) == pytest.approx(2.97, rel=0.02)
