"""The guide's numbers as a refit gives them, and what its other data would have said."""

import math

import numpy as np
from scipy.optimize import root_scalar

from analysis import guide
from analysis.audit.evidence import Evidence
from analysis.audit.scaling_claims import two_point_exponent


def golden_numbers(evidence: Evidence) -> dict[str, float]:
    """Every number of the guide that its data give, unrounded.

    The keys ending in `_jobs_...` add the jobs that the guide left out of its curve. A value that
    does not exist for the data at hand is NaN.
    """
    curve, target = evidence.curve, evidence.target
    numbers = {
        "curve_rate": curve.rate,
        "curve_amplitude": curve.amplitude,
        "curve_degrees_of_freedom": 0.0,
        "alpha_at_5_percent": curve.alpha(target),
        "alpha_at_5_percent_printed_constants": guide.alpha_at(target),
        "alpha_at_4.5_percent": curve.alpha(0.9 * target),
        "alpha_at_5.5_percent": curve.alpha(1.1 * target),
        "exponent": two_point_exponent(),
        "exponent_degrees_of_freedom": 0.0,
        "dead_fraction_of_7556_alive": 1 - 7556 / evidence.jobs[1].latent_dim,
    }
    for row in guide.COMMON_CONFIGURATIONS:
        numbers[f"law_{row.latent_dim}"] = guide.calculate_optimal_l1_alpha(row.latent_dim)
    return numbers | _with_the_other_jobs(evidence)


def _with_the_other_jobs(evidence: Evidence) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for chosen in ((1, 3, 4), (1, 2, 3, 4)):
        name = "_".join(str(number) for number in chosen)
        slope, intercept, r_squared = _line(evidence, chosen, log_alpha=False)
        numbers[f"curve_rate_jobs_{name}"] = -slope
        numbers[f"curve_amplitude_jobs_{name}"] = math.exp(intercept)
        numbers[f"curve_r_squared_jobs_{name}"] = r_squared
    for chosen in ((1, 3), (1, 4), (1, 3, 4)):
        name = "_".join(str(number) for number in chosen)
        numbers[f"power_slope_jobs_{name}"] = _line(evidence, chosen, log_alpha=True)[0]
    ceiling, half_point, slope = _hill(evidence)
    return numbers | {
        "hill_ceiling_jobs_1_3_4": ceiling,
        "hill_half_point_jobs_1_3_4": half_point,
        "hill_slope_jobs_1_3_4": slope,
    }


def _line(
    evidence: Evidence, chosen: tuple[int, ...], *, log_alpha: bool
) -> tuple[float, float, float]:
    """Least squares of ln L0 on alpha or ln alpha: slope, intercept, R squared."""
    alphas = np.array([evidence.jobs[number].l1_alpha for number in chosen])
    x = np.log(alphas) if log_alpha else alphas
    y = np.log([evidence.jobs[number].l0 for number in chosen])
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - (slope * x + intercept)
    spread = float(((y - y.mean()) ** 2).sum())
    r_squared = 1 - float((residuals**2).sum()) / spread if spread > 0 else math.nan
    return float(slope), float(intercept), r_squared


def _hill(evidence: Evidence) -> tuple[float, float, float]:
    """L0 = ceiling / (1 + (alpha / half)^slope), exactly through jobs 1, 3 and 4."""
    points = sorted(
        (evidence.jobs[number].l1_alpha, evidence.jobs[number].l0) for number in (1, 3, 4)
    )
    (a, l0_a), (b, l0_b), (c, l0_c) = points
    if not l0_a > l0_b > l0_c:
        return math.nan, math.nan, math.nan

    def slope(ceiling: float, pair: tuple[float, float, float, float]) -> float:
        alpha_low, l0_low, alpha_high, l0_high = pair
        rise = math.log(ceiling / l0_high - 1) - math.log(ceiling / l0_low - 1)
        return rise / math.log(alpha_high / alpha_low)

    def bend(ceiling: float) -> float:
        return slope(ceiling, (a, l0_a, b, l0_b)) - slope(ceiling, (b, l0_b, c, l0_c))

    low, high = l0_a * (1 + 1e-9), 1e6
    if bend(low) * bend(high) > 0:
        return math.nan, math.nan, math.nan
    ceiling = float(root_scalar(bend, bracket=(low, high), xtol=1e-14).root)
    steepness = slope(ceiling, (a, l0_a, c, l0_c))
    half = a / (ceiling / l0_a - 1) ** (1 / steepness)
    return ceiling, half, steepness
