"""What a law takes from a refit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.local import LocalFit
from analysis.mixture import Z_95
from analysis.results import Refit

# Assumption: the sd of an exponent that one width cannot give; as for the widths outside.
_EXPONENT_SD_UNKNOWN = 0.7
# Assumption: the sd of a curvature whose fit did not keep it; the largest, over widths and targets
# of 2 to 15 %, in fits of tests/data/l0_curves_minilm_layer3.csv (0.07 to 0.19).
_CURVATURE_SD_UNKNOWN = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthShape:
    """The local curve at one fitted width."""

    latent_dim: int
    """Width."""
    log_alpha: float
    """Ln alpha for the law's target."""
    slope: float
    """Elasticity b at the target."""
    slope_sd: float
    """Its sd."""
    curvature: float
    """Second derivative c."""
    curvature_sd: float = _CURVATURE_SD_UNKNOWN
    """Its sd, over all kinds of curve that the fit sums over; law files from before have none."""
    l0_low: float
    """Smallest L0 of its runs."""
    l0_high: float
    """Largest L0 of its runs."""


def shapes(fit: Refit, local: LocalFit) -> tuple[WidthShape, ...]:
    """The local curve of every bracketed width."""
    observed = {width.latent_dim: width.l0 for width in fit.widths}
    return tuple(
        WidthShape(
            latent_dim=latent_dim,
            log_alpha=local.log_alpha(index).value,
            slope=float(local.weights @ local.slopes[:, index]),
            slope_sd=float(local.weights @ local.slope_sds[:, index]),
            curvature=float(local.weights @ local.curvatures[:, index]),
            curvature_sd=_curvature_sd(local, index),
            l0_low=min(observed[latent_dim]),
            l0_high=max(observed[latent_dim]),
        )
        for index, latent_dim in enumerate(local.latent_dims)
    )


def _curvature_sd(local: LocalFit, index: int) -> float:
    """Within the kinds of curve and between them."""
    curvatures = local.curvatures[:, index]
    between = (curvatures - local.weights @ curvatures) ** 2
    return math.sqrt(float(local.weights @ (local.curvature_sds[:, index] ** 2 + between)))


def line_of_one(
    local: LocalFit, exponent: float
) -> tuple[tuple[float, float], tuple[tuple[float, float], tuple[float, float]]]:
    """One width's alpha, with the exponent of theory and a wide sd in place of a measured one."""
    mean = float(local.weights @ local.means[:, 0])
    spread = local.weights @ (local.covariances[:, 0, 0] + (local.means[:, 0] - mean) ** 2)
    variance = _EXPONENT_SD_UNKNOWN**2
    return (mean, exponent), ((float(spread), 0.0), (0.0, variance))


def intervals(fit: Refit) -> dict[str, Any]:
    """95 % intervals of beta and of alpha at every fitted width, as the refit reports them."""
    stars: Sequence[dict[str, Any]] = [
        {"latent_dim": width.latent_dim, **width.alpha_star.to_json()}
        for width in fit.widths
        if width.alpha_star is not None
    ]
    beta = None if fit.exponent is None else fit.exponent.beta.to_json()
    return {"beta": beta, "alpha_star": stars}


def own_log_alpha(intervals: Mapping[str, Any], latent_dim: int) -> tuple[float, float] | None:
    """Mean and sd of ln alpha by the runs of one width; None where they give no interval.

    Args:
        intervals: As `intervals` makes them.
        latent_dim: Width.
    """
    for star in intervals.get("alpha_star", ()):
        if star["latent_dim"] == latent_dim:
            return math.log(star["value"]), math.log(star["high"] / star["low"]) / (2 * Z_95)
    return None
