import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.bracketing import LocalCell
from analysis.errors import AnalysisError
from analysis.local import fit_local

MakeCell = Callable[..., LocalCell]

# log-log interpolation between the neighbouring runs, by hand.
MINILM_ALPHA = {512: 3.15, 1024: 2.70, 2048: 2.38, 4096: 2.06}


def minilm_cells(minilm: pd.DataFrame, target_fraction: float) -> list[LocalCell]:
    return [
        LocalCell(
            latent_dim=int(str(width)),
            log_alpha=np.log(runs["l1_alpha"].to_numpy()),
            log_l0=np.log(runs["l0"].to_numpy()),
            target=target_fraction * int(str(width)),
        )
        for width, runs in minilm.groupby("latent_dim")
    ]


def power_cell(make_cell: MakeCell, noise: float, seed: int, latent_dim: int = 1024) -> LocalCell:
    alpha = np.exp(np.linspace(-1, 1, 5))
    errors = np.random.default_rng(seed).normal(scale=noise, size=5)
    return make_cell(alpha, 64 * alpha**-1.2 * np.exp(errors), 64, latent_dim)


def test_fit_local_measured_curves_agree_with_interpolation(minilm: pd.DataFrame):
    fit = fit_local(minilm_cells(minilm, 0.05))
    found = [fit.log_alpha(index).exp().value for index in range(4)]
    assert found == pytest.approx(list(MINILM_ALPHA.values()), rel=0.05)


def test_fit_local_steep_curve_near_its_collapse_goes_by_the_neighbouring_runs(
    make_cell: MakeCell,
):
    # Runs of a sweep at width 1024; the last two elasticities are -2.9 and -4.2.
    cell = make_cell([3.047, 5.171, 5.565, 7.897], [17.52, 7.457, 6.02, 1.368], 6, 1024)
    found = fit_local([cell]).log_alpha(0).exp()
    assert found.value == pytest.approx(5.571, rel=0.01)  # on the line through its neighbours
    assert found.contains(5.571)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_fit_local_stretched_exponential_is_exact_at_wide_spacing(
    make_cell: MakeCell, power: float
):
    alpha = np.array([0.3, 0.9, 2.7])
    l0 = 64 * np.exp(-1.5 * np.expm1(power * np.log(alpha)) / power)
    assert fit_local([make_cell(alpha, l0, 64)]).log_alpha(0).value == pytest.approx(0, abs=0.02)


def test_fit_local_noise_free_power_law_is_exact_and_sure(make_cell: MakeCell):
    fit = fit_local([power_cell(make_cell, 0.0, 0)])
    estimate = fit.log_alpha(0)
    assert estimate.value == pytest.approx(0, abs=2e-3)
    assert estimate.high - estimate.low < 0.08
    assert fit.elasticity(0).value == pytest.approx(-1.2, abs=0.02)


def test_fit_local_next_run_is_wider_than_mean_response(make_cell: MakeCell):
    fit = fit_local([power_cell(make_cell, 0.03, 1)])
    mean, one_run = fit.log_alpha(0), fit.next_run(0)
    assert one_run.high - one_run.low > 1.3 * (mean.high - mean.low)


def test_fit_local_more_noise_gives_wider_intervals(make_cell: MakeCell):
    widths = [
        fit_local([power_cell(make_cell, noise, 2)]).log_alpha(0) for noise in (0.01, 0.05, 0.2)
    ]
    lengths = [interval.high - interval.low for interval in widths]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 2 * lengths[0]


def test_fit_local_noise_is_learned_from_replicates(make_cell: MakeCell):
    rng = np.random.default_rng(3)
    alpha = np.repeat([0.5, 1.0, 2.0], 20)
    cell = make_cell(alpha, 64 * alpha**-1.2 * np.exp(rng.normal(scale=0.1, size=60)), 64)
    assert fit_local([cell]).noise() == pytest.approx(0.1, rel=0.25)


def test_fit_local_widths_share_what_they_know(make_cell: MakeCell):
    one = power_cell(make_cell, 0.03, 4)
    alone = fit_local([one]).log_alpha(0)
    others = [power_cell(make_cell, 0.03, 5 + k, 1024 * 2 ** (k + 1)) for k in range(3)]
    together = fit_local([one, *others]).log_alpha(0)
    assert together.high - together.low < alone.high - alone.low


def test_fit_local_scaling_alpha_moves_only_alpha(make_cell: MakeCell):
    cell = power_cell(make_cell, 0.03, 6)
    moved = LocalCell(latent_dim=1024, log_alpha=cell.log_alpha + 3, log_l0=cell.log_l0, target=64)
    there, here = fit_local([moved]).log_alpha(0), fit_local([cell]).log_alpha(0)
    assert [there.low - 3, there.value - 3, there.high - 3] == pytest.approx(
        [here.low, here.value, here.high], abs=1e-8
    )


def test_fit_local_counts_and_fractions_agree(make_cell: MakeCell):
    cell = power_cell(make_cell, 0.03, 7)
    scaled = LocalCell(
        latent_dim=1024,
        log_alpha=cell.log_alpha,
        log_l0=cell.log_l0 - math.log(1024),
        target=64 / 1024,
    )
    assert fit_local([scaled]).log_alpha(0).value == pytest.approx(
        fit_local([cell]).log_alpha(0).value, abs=1e-9
    )


def test_fit_local_wide_spacing_has_an_unknown_slope(make_cell: MakeCell):
    cell = make_cell([0.001, 0.01, 0.1], [364, 124, 36], 153.6, 3072)
    assert not fit_local([cell]).bounded(0)


def test_fit_local_far_run_hardly_matters(make_cell: MakeCell):
    near = make_cell([0.7, 1.0, 1.4], [100, 64, 40], 64)
    with_far = make_cell([0.7, 1.0, 1.4, 500], [100, 64, 40, 39], 64)
    assert fit_local([with_far]).log_alpha(0).value == pytest.approx(
        fit_local([near]).log_alpha(0).value, abs=1e-6
    )


def test_fit_local_unbracketed_cell_is_refused(make_cell: MakeCell):
    with pytest.raises(AnalysisError, match="target_l0 must lie between"):
        fit_local([make_cell([1, 2], [100, 50], 10)])


def test_fit_local_no_cell_is_refused():
    with pytest.raises(AnalysisError, match="cells must hold at least one width"):
        fit_local([])


def test_fit_local_runs_dozens_of_decades_apart_give_alpha_between_them(make_cell: MakeCell):
    alphas = [1e-30, 1e-20, 1e-10, 1e10, 1e20, 1e30]
    fit = fit_local([make_cell(alphas, [800, 283, 154, 100, 71, 54], target=150)])

    assert math.log(1e-10) < fit.log_alpha(0).value < math.log(1e10)
