import math
from collections.abc import Callable

import pytest

from analysis.bracketing import LocalCell
from analysis.surface_gate import Pair, SurfaceGate, judge_surface

MakeCell = Callable[..., LocalCell]


def gate(*pairs: Pair) -> SurfaceGate:
    return SurfaceGate(pairs=pairs, full=pairs)


def test_judge_surface_counts_bracketed_pairs_and_those_with_three_alphas(make_cell: MakeCell):
    found = judge_surface(
        {
            (512, 0.3): make_cell([1, 2, 4], [60, 40, 20], 32),
            (512, 0.6): make_cell([1, 2], [50, 30], 32),
            (512, 1.2): make_cell([1, 2, 4], [30, 20, 10], 32),
        }
    )
    assert found == SurfaceGate(pairs=((512, 0.3), (512, 0.6)), full=((512, 0.3),))


def test_gate_two_budgets_of_one_width_allows_their_exponent_alone():
    found = gate((1024, 0.3), (1024, 0.6))
    assert found.budget_reason is None
    assert found.width_reason == (
        "widths that bracket the target must be two or more for an exponent, but got 1"
    )


def test_gate_widths_and_budgets_that_change_together_allow_no_exponent():
    found = gate((512, 0.3), (1024, 0.6), (2048, 1.2))
    assert "must not change together" in str(found.width_reason)
    assert "must not change together" in str(found.budget_reason)


def test_gate_a_corner_of_pairs_allows_both_exponents_and_any_alpha():
    found = gate((512, 0.3), (512, 0.6), (1024, 0.3))
    assert (found.width_reason, found.budget_reason) == (None, None)
    assert found.alpha_reason(8192, 4.8) is None


@pytest.mark.parametrize(
    ("width", "budget", "allowed"),
    [(512, 0.3, True), (512, 1.2, True), (1024, 0.3, False), (1024, 1.2, False)],
)
def test_gate_two_budgets_of_one_width_allow_alpha_at_that_width(
    width: int, budget: float, allowed: bool
):
    assert (gate((512, 0.3), (512, 0.6)).alpha_reason(width, budget) is None) is allowed


def test_gate_no_pair_with_three_alphas_allows_nothing():
    found = SurfaceGate(pairs=((512, 0.3), (1024, 0.6)), full=())
    reasons = {found.width_reason, found.budget_reason, found.alpha_reason(512, 0.3)}
    assert reasons == {found.reason}
    assert "3 alphas or more" in str(found.reason)


def test_gate_nothing_bracketed_allows_nothing():
    assert "must be bracketed at some width" in str(gate().alpha_reason(512, math.e))
