from collections.abc import Callable

import numpy as np
import pytest

from analysis.bootstrap import DIFFERENT, bootstrap_alpha
from analysis.bracketing import LocalCell
from analysis.local import fit_local

MakeCell = Callable[..., LocalCell]


def noisy_cell(make_cell: MakeCell, n: int, noise: float, seed: int) -> LocalCell:
    """Runs on a curve through 64 at alpha 2."""
    rng = np.random.default_rng(seed)
    alpha = 2 * np.exp(rng.uniform(-1, 1, size=n))
    return make_cell(alpha, 64 * (alpha / 2) ** -1.2 * np.exp(noise * rng.normal(size=n)), 64)


def test_bootstrap_alpha_covers_the_truth_about_as_often_as_it_says(make_cell: MakeCell):
    found = [bootstrap_alpha(noisy_cell(make_cell, 20, 0.05, seed)) for seed in range(60)]
    inside = [each.contains(np.log(2)) for each in found if each is not None]
    assert len(inside) == 60
    assert 0.85 < np.mean(inside) <= 1.0


def test_bootstrap_alpha_more_noise_is_wider(make_cell: MakeCell):
    quiet, loud = (bootstrap_alpha(noisy_cell(make_cell, 20, s, 1)) for s in (0.01, 0.1))
    assert quiet is not None
    assert loud is not None
    assert loud.high - loud.low == pytest.approx(10 * (quiet.high - quiet.low), rel=0.2)


def test_bootstrap_alpha_same_runs_give_the_same_interval(make_cell: MakeCell):
    cell = noisy_cell(make_cell, 12, 0.05, 2)
    assert bootstrap_alpha(cell) == bootstrap_alpha(cell)


@pytest.mark.parametrize("n", [3, 7])
def test_bootstrap_alpha_few_runs_have_none(make_cell: MakeCell, n: int):
    assert bootstrap_alpha(noisy_cell(make_cell, n, 0.05, 3)) is None


def test_bootstrap_alpha_replicates_of_two_alphas_have_none(make_cell: MakeCell):
    assert bootstrap_alpha(make_cell([1, 4] * 5, [100, 30] * 5, 64)) is None


@pytest.mark.parametrize("n", [12, 120, 250])
def test_bootstrap_alpha_clean_runs_seldom_differ_from_the_fit(n: int):
    alpha = np.geomspace(0.5, 8, n)
    clean = np.log(300) - 1.3 * np.log1p(alpha)
    ratios: list[float] = []
    for seed in range(25):
        noise = 0.03 * np.random.default_rng(seed).normal(size=n)
        cell = LocalCell(
            latent_dim=1000, log_alpha=np.log(alpha), log_l0=clean + noise, target=50.0
        )
        fitted, drawn = fit_local([cell]).log_alpha(0), bootstrap_alpha(cell)
        assert drawn is not None
        ratios.append((drawn.high - drawn.low) / (fitted.high - fitted.low))
    beyond = [not 1 / DIFFERENT <= ratio <= DIFFERENT for ratio in ratios]
    assert np.mean(beyond) <= 0.05
