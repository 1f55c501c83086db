import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from analysis.bracketing import LocalCell
from analysis.gate import Side, Status, judge_cell, judge_exponent

MakeCell = Callable[..., LocalCell]


def cell_of(make_cell: MakeCell, latent_dim: int, target: float = 64) -> LocalCell:
    return make_cell([1, 2, 4], [100, 50, 25], target, latent_dim)


def test_judge_cell_no_run_says_nothing(make_cell: MakeCell):
    gate = judge_cell(make_cell([], [], 64))
    assert (gate.point, gate.reason) == (False, "no usable run")
    assert gate.suggestions[0].l1_alpha is None


def test_judge_cell_one_alpha_allows_no_curve_and_asks_for_a_second(make_cell: MakeCell):
    gate = judge_cell(make_cell([2], [100], 64))
    assert (gate.point, gate.interval) == (False, False)
    assert str(gate.reason).startswith("1 alpha")
    assert float(gate.suggestions[0].l1_alpha or 0) > 2


def test_judge_cell_one_alpha_on_target_asks_for_a_second(make_cell: MakeCell):
    gate = judge_cell(make_cell([2], [64], 64))
    assert gate.side is None
    assert gate.suggestions[0].l1_alpha == pytest.approx(3)


def test_judge_cell_two_alphas_gives_a_point_without_interval(make_cell: MakeCell):
    gate = judge_cell(make_cell([1, 2], [100, 50], 64))
    assert (gate.bracketed, gate.point, gate.interval) == (True, True, False)
    assert "0 d.o.f." in str(gate.reason)
    assert 1 < float(gate.suggestions[0].l1_alpha or 0) < 2


def test_judge_cell_three_alphas_around_the_target_gives_an_interval(make_cell: MakeCell):
    gate = judge_cell(cell_of(make_cell, 512))
    assert (gate.point, gate.interval, gate.reason) == (True, True, None)
    assert gate.suggestions == ()


def test_judge_cell_two_crossings_has_no_interval_and_asks_for_a_replicate(make_cell: MakeCell):
    gate = judge_cell(make_cell([1, 2, 4, 8, 16], [400, 190, 80, 500, 9], 100))
    assert (gate.bracketed, gate.point, gate.interval) == (True, True, False)
    assert "from alpha 2 to 4 and from alpha 8 to 16" in str(gate.reason)
    assert gate.suggestions[0].l1_alpha == pytest.approx(8)
    assert gate.suggestions[0].seed == 1


def test_judge_exponent_width_with_two_crossings_does_not_count(make_cell: MakeCell):
    cells = [cell_of(make_cell, width) for width in (512, 1024)]
    wild = make_cell([1, 2, 4, 8, 16], [400, 190, 40, 500, 9], 64, 2048)
    gate = judge_exponent([*cells, wild], all_converged=True, log_alphas=[0.5, 0.5])
    assert gate.allowed
    assert "one crossing of the target at width 2048 (it has two)" in gate.missing


@pytest.mark.parametrize(("target", "side"), [(10, Side.above), (400, Side.below)])
def test_judge_cell_target_outside_names_the_side_and_a_run_beyond(
    make_cell: MakeCell, target: float, side: Side
):
    gate = judge_cell(cell_of(make_cell, 512, target))
    suggested = float(gate.suggestions[0].l1_alpha or 0)
    assert (gate.point, gate.side) == (False, side)
    assert "lies outside the runs' L0 (25 to 100)" in str(gate.reason)
    assert suggested > 4 if side is Side.above else suggested < 1


def test_judge_cell_target_beyond_the_means_of_replicates_says_so(make_cell: MakeCell):
    gate = judge_cell(make_cell([1, 2, 2], [12, 6.3, 5.95], 6))
    assert gate.reason == "target 6 lies outside the mean L0 at each alpha (6.122 to 12)"


def test_judge_cell_suggestion_brackets_at_the_usual_elasticity(make_cell: MakeCell):
    gate = judge_cell(cell_of(make_cell, 512, 10))
    alpha = float(gate.suggestions[0].l1_alpha or 0)
    assert 25 * (alpha / 4) ** -1.2 < 10


def test_judge_cell_suggestion_stays_within_a_factor_of_eight(make_cell: MakeCell):
    gate = judge_cell(make_cell([1, 2], [1000, 900], 0.001))
    assert gate.suggestions[0].l1_alpha == pytest.approx(16)


def test_judge_cell_suggestion_stays_below_the_alpha_that_left_nothing(make_cell: MakeCell):
    cell = replace(make_cell([1, 1.5], [150, 100], 64), log_alpha_bound=math.log(2.0))
    suggested = float(judge_cell(cell).suggestions[0].l1_alpha or 0)
    assert suggested == pytest.approx(math.sqrt(1.5 * 2.0))


def test_judge_cell_rising_curve_is_refused(make_cell: MakeCell):
    gate = judge_cell(make_cell([1, 2], [50, 100], 64))
    assert gate.reason == "L0 does not fall with alpha through the target"


def judge(cells: list[LocalCell], converged: bool | None = True):
    known = [math.log(1.6) for cell in cells if cell.bracketed]
    return judge_exponent(cells, all_converged=converged, log_alphas=known)


def test_judge_exponent_one_width_is_refused_and_asks_for_another(make_cell: MakeCell):
    gate = judge([cell_of(make_cell, 512)])
    assert not gate.allowed
    assert gate.reason == "1 bracketed width: an exponent needs two, a law 4"
    assert [(each.latent_dim, each.l1_alpha) for each in gate.suggestions] == [
        (1024, pytest.approx(1.6))
    ]


def test_judge_exponent_two_widths_is_allowed_but_no_law(make_cell: MakeCell):
    gate = judge([cell_of(make_cell, width) for width in (512, 1024)])
    assert gate.allowed
    assert gate.status is Status.provisional
    assert gate.missing == ("2 more bracketed widths",)


def test_judge_exponent_four_bracketed_converged_widths_is_a_law(make_cell: MakeCell):
    gate = judge([cell_of(make_cell, width) for width in (512, 1024, 2048, 4096)])
    assert (gate.status, gate.missing, gate.suggestions) == (Status.law, (), ())


def test_judge_exponent_a_width_of_two_alphas_is_no_law(make_cell: MakeCell):
    cells = [cell_of(make_cell, width) for width in (512, 1024, 2048)]
    gate = judge([*cells, make_cell([1, 4], [100, 25], 64, 4096)])
    assert gate.allowed
    assert gate.missing == ("3 alphas at width 4096 (it has 2)",)


def test_judge_exponent_two_alphas_at_every_width_is_refused(make_cell: MakeCell):
    gate = judge([make_cell([1, 4], [100, 25], 64, width) for width in (512, 1024)])
    assert not gate.allowed
    assert gate.reason == "no width has the 3 alphas that an interval needs"


@pytest.mark.parametrize(
    ("converged", "missing"),
    [
        (None, "a record of whether the runs converged"),
        (False, "converged runs (some had not)"),
    ],
)
def test_judge_exponent_without_convergence_is_no_law(
    make_cell: MakeCell, converged: bool | None, missing: str
):
    gate = judge([cell_of(make_cell, width) for width in (512, 1024, 2048, 4096)], converged)
    assert (gate.status, gate.missing) == (Status.provisional, (missing,))


def test_judge_exponent_unbracketed_width_is_missing_and_its_run_suggested(make_cell: MakeCell):
    cells = [cell_of(make_cell, width) for width in (512, 1024, 2048)]
    gate = judge([*cells, cell_of(make_cell, 4096, 10)])
    assert gate.missing == (
        "runs on both sides of the target at width 4096",
        "1 more bracketed width",
    )
    assert [each.latent_dim for each in gate.suggestions] == [4096]
    assert set(gate.suggestions[0].to_json()) == {
        "latent_dim",
        "l1_alpha",
        "why",
        "times_the_steps",
        "seed",
    }


def test_judge_exponent_no_bracketed_width_suggests_no_alpha_for_a_new_one(make_cell: MakeCell):
    gate = judge([cell_of(make_cell, 512, 10)])
    assert gate.suggestions[-1].l1_alpha is None


def test_judge_exponent_widths_close_together_are_no_law(make_cell: MakeCell):
    cells = [cell_of(make_cell, width) for width in (1000, 1001, 1002, 1003)]
    gate = judge_exponent(cells, all_converged=True, log_alphas=[0.5] * 4)
    assert gate.status is Status.provisional
    assert gate.missing == ("widths over a factor of 4 (these span 1.003)",)
    assert gate.suggestions[0].latent_dim == 2006
