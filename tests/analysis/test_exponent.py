import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from analysis.bracketing import LocalCell
from analysis.errors import AnalysisError
from analysis.exponent import fit_exponent, pairwise_exponents, theory_exponent
from analysis.local import LocalFit, fit_local

MakeCell = Callable[..., LocalCell]
WIDTHS = (512, 1024, 2048, 4096)


def known(log_alpha: Sequence[float], sd: float, widths: Sequence[int] = WIDTHS) -> LocalFit:
    """A local fit whose ln alpha are independent normals of one sd."""
    n = len(log_alpha)
    return LocalFit(
        latent_dims=tuple(widths),
        weights=np.ones(1),
        sigma=np.full(1, 0.03),
        means=np.array([log_alpha], dtype=np.float64),
        covariances=(sd**2 * np.eye(n))[None],
        slopes=np.full((1, n), -1.0),
        slope_sds=np.full((1, n), 0.1),
        curvatures=np.zeros((1, n)),
        curvature_sds=np.full((1, n), 0.1),
    )


def test_fit_exponent_exact_line_is_recovered():
    fit = fit_exponent(known([0.3 * math.log(width) for width in WIDTHS], 1e-6))
    assert fit.beta.value == pytest.approx(0.3, abs=1e-4)


def test_fit_exponent_mean_is_least_squares_for_equal_errors():
    log_alpha = [1.0, 0.7, 0.75, 0.4]
    slope = float(np.polyfit(np.log(WIDTHS), log_alpha, 1)[0])
    fit = fit_exponent(known(log_alpha, 0.02))
    assert fit.beta.value == pytest.approx(slope, abs=1e-6)
    assert fit.line_mean[1] == pytest.approx(slope, abs=1e-6)


def test_fit_exponent_scattered_widths_have_an_interval_like_students_t():
    log_alpha = [1.0, 0.75, 0.75, 0.4]
    fit = fit_exponent(known(log_alpha, 1e-4))
    x = np.log(WIDTHS) - np.mean(np.log(WIDTHS))
    residual = log_alpha - np.polyval(np.polyfit(x, log_alpha, 1), x)
    half = float(stats.t.ppf(0.975, df=2)) * np.sqrt(residual @ residual / 2 / (x @ x))
    assert (fit.beta.high - fit.beta.low) / 2 == pytest.approx(half, rel=0.35)


def test_fit_exponent_two_widths_leave_the_scatter_to_its_prior():
    fit = fit_exponent(known([1.0, 0.8], 0.01, (512, 1024)))
    # The root mean square of a half-Cauchy of scale 0.05 that ends at 1.
    expected = math.sqrt(0.05 * (1 / math.atan(1 / 0.05) - 0.05))
    assert fit.tau == pytest.approx(expected, rel=0.05)


def test_fit_exponent_prediction_widens_away_from_the_widths():
    fit = fit_exponent(known([1.0, 0.75, 0.75, 0.4], 0.02))
    sds = [fit.predict(width)[1] for width in (1448, 8192, 65536)]
    assert sds == sorted(sds)


def test_fit_exponent_one_width_is_refused():
    with pytest.raises(AnalysisError, match="widths must be at least two"):
        fit_exponent(known([1.0], 0.1, (512,)))


def test_fit_exponent_end_to_end_interval_holds_the_truth(make_cell: MakeCell):
    rng = np.random.default_rng(0)
    cells: list[LocalCell] = []
    for width in WIDTHS:
        alpha = (width / 1024) ** -0.25 * np.array([0.5, 1.0, 2.0])
        l0 = 64 * (alpha / (width / 1024) ** -0.25) ** -1.1
        cells.append(make_cell(alpha, l0 * np.exp(rng.normal(scale=0.03, size=3)), 64, width))
    beta = fit_exponent(fit_local(cells)).beta
    assert beta.contains(-0.25)
    assert not beta.contains(0.5)


def test_theory_exponent_depends_on_the_kind_of_target():
    assert (theory_exponent(0.05), theory_exponent(64)) == (-0.5, 0.0)


def test_pairwise_exponents_are_between_neighbours():
    found = pairwise_exponents([2048, 512, 1024], [math.log(4), 0.0, math.log(2)])
    assert [(narrow, wide) for narrow, wide, _ in found] == [(512, 1024), (1024, 2048)]
    assert [exponent for *_, exponent in found] == pytest.approx([1.0, 1.0])
