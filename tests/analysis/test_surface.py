import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.surface import Surface, SurfacePoint, SurfaceRuns
from analysis.surface_prior import SurfacePrior

WIDTHS, BUDGETS, ALPHAS = (512, 1024, 2048), (0.3, 0.6, 1.2), (1.0, 2.0, 4.0)


def simulated(noise: float = 0.0, seed: int = 0, **changes: float) -> SurfaceRuns:
    """A power law in alpha, width and budget: exponents 0.25 and -0.5, elasticity -1.3."""
    rng = np.random.default_rng(seed)
    grid = [(w, b, a) for w in WIDTHS for b in BUDGETS for a in ALPHAS]
    w, b, a = np.log(np.array(grid)).T
    slope = -1.3 + changes.get("slope_per_width", 0.0) * (w - math.log(1024))
    u = a - 0.25 * (w - math.log(1024)) + 0.5 * (b - math.log(0.6)) - math.log(2.0)
    y = (
        math.log(64) + slope * u + rng.normal(scale=noise, size=len(a))
        if noise
        else (math.log(64) + slope * u)
    )
    return SurfaceRuns(log_alpha=a, log_width=w, log_budget=b, log_l0=y)


def ask(surface: Surface, width: float, budget: float, target: float) -> SurfacePoint:
    return surface.at(
        log_width=math.log(width), log_budget=math.log(budget), log_target=math.log(target)
    )


def test_surface_power_law_is_recovered_with_its_exponents():
    point = ask(Surface(simulated()), 1024, 0.6, 64)
    assert point.log_alpha.exp().value == pytest.approx(2.0, rel=0.01)
    assert point.width_exponent is not None
    assert point.budget_exponent is not None
    assert point.width_exponent.value == pytest.approx(0.25, abs=0.02)
    assert point.budget_exponent.value == pytest.approx(-0.5, abs=0.02)
    assert point.elasticity.value == pytest.approx(-1.3, abs=0.02)
    assert point.outside == ()


def test_surface_fraction_target_has_the_exponent_that_its_count_adds():
    surface = Surface(simulated())
    width, budget, target = math.log(1024), math.log(0.6), math.log(64)
    count, fraction = (
        surface.at(
            log_width=width, log_budget=budget, log_target=target, is_fraction=is_fraction
        ).width_exponent
        for is_fraction in (False, True)
    )
    assert count is not None
    assert fraction is not None
    assert fraction.value - count.value == pytest.approx(-1 / 1.3, abs=0.01)


def test_surface_noisy_runs_have_intervals_that_hold_the_truth():
    point = ask(Surface(simulated(noise=0.03, seed=1)), 1024, 0.6, 64)
    assert point.log_alpha.contains(math.log(2.0))
    assert point.budget_exponent is not None
    assert point.budget_exponent.contains(-0.5)
    assert not point.budget_exponent.contains(-0.3)


def test_surface_next_run_is_wider():
    point = ask(Surface(simulated(noise=0.03, seed=1)), 1024, 0.6, 64)
    mean, one_run = point.log_alpha, point.next_run
    assert one_run.high - one_run.low > mean.high - mean.low


@pytest.mark.parametrize(
    ("width", "budget", "target", "outside"),
    [
        (1024, 4.8, 64, ("budget",)),
        (16384, 0.6, 64, ("width",)),
        (1024, 0.6, 2, ("L0",)),
    ],
)
def test_surface_extrapolation_is_named_and_wider(
    width: float, budget: float, target: float, outside: tuple[str, ...]
):
    surface = Surface(simulated(noise=0.03, seed=2))
    inside, far = ask(surface, 1024, 0.6, 64), ask(surface, width, budget, target)
    assert far.outside == outside
    assert far.log_alpha.high - far.log_alpha.low > inside.log_alpha.high - inside.log_alpha.low


def test_surface_shape_that_changes_with_width_is_followed():
    surface = Surface(simulated(slope_per_width=-0.3))
    slopes = [ask(surface, width, 0.6, 64).elasticity.value for width in (512, 2048)]
    assert slopes[1] - slopes[0] == pytest.approx(-0.3 * math.log(4), rel=0.2)


def test_surface_pairs_that_scatter_raise_the_scatter():
    runs = simulated(noise=0.01, seed=3)
    pairs = np.unique(
        np.column_stack([runs.log_width, runs.log_budget]), axis=0, return_inverse=True
    )
    shifts = np.random.default_rng(4).normal(scale=0.15, size=9)
    moved = SurfaceRuns(
        log_alpha=runs.log_alpha,
        log_width=runs.log_width,
        log_budget=runs.log_budget,
        log_l0=runs.log_l0 + shifts[pairs[1].reshape(-1)],
    )
    assert ask(Surface(moved), 1024, 0.6, 64).scatter > 0.06
    assert ask(Surface(runs), 1024, 0.6, 64).scatter < 0.04


def test_surface_one_width_and_budget_has_no_exponents():
    runs = simulated()
    one = runs.keep((runs.log_width == math.log(1024)) & (runs.log_budget == math.log(0.6)))
    point = ask(Surface(one), 1024, 0.6, 64)
    assert (point.width_exponent, point.budget_exponent) == (None, None)


def test_surface_other_width_than_the_only_one_is_refused():
    runs = simulated()
    one = Surface(runs.keep(runs.log_width == math.log(1024)))
    with pytest.raises(AnalysisError, match="width must be 1024, the only one with runs"):
        ask(one, 2048, 0.6, 64)


def test_surface_too_few_runs_is_refused():
    with pytest.raises(AnalysisError, match="runs must be three or more at two alphas or more"):
        Surface(simulated().keep(np.arange(27) < 2))


def test_surface_vague_prior_lets_the_runs_speak():
    point = Surface(simulated(noise=0.01, seed=5), SurfacePrior(exponents=(0.0, 0.0))).at(
        log_width=math.log(1024), log_budget=math.log(0.6), log_target=math.log(64)
    )
    assert point.budget_exponent is not None
    assert point.budget_exponent.value == pytest.approx(-0.5, abs=0.05)
