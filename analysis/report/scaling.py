"""The exponent in width from all widths, without each of them, and from each pair."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.exponent import fit_exponent, pairwise_exponents
from analysis.local import LocalFit
from analysis.results import Refit


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentRow:
    """One exponent and what it comes from."""

    label: str
    """What it comes from."""
    kind: str
    """all, left out or pair."""
    value: float
    """The exponent."""
    low: float | None = None
    """Lower end of its 95 % interval; None for a pair."""
    high: float | None = None
    """Upper end."""


def exponent_rows(fit: Refit) -> list[ExponentRow]:
    """All exponents that may be named; empty where the gate allows none.

    Leaving a width out keeps the curve shape that all widths were fitted with.
    """
    if fit.exponent is None or fit.local is None:
        return []
    beta, local = fit.exponent.beta, fit.local
    n = len(local.latent_dims)
    rows = [
        ExponentRow(
            label=f"all {n} widths", kind="all", value=beta.value, low=beta.low, high=beta.high
        )
    ]
    if n > 2:
        rows += [_without(local, index) for index in range(n)]
    points = [local.log_alpha(index).value for index in range(n)]
    rows += [
        ExponentRow(label=f"{low} to {high}", kind="pair", value=value)
        for low, high, value in pairwise_exponents(local.latent_dims, points)
    ]
    return rows


def _without(local: LocalFit, index: int) -> ExponentRow:
    keep = np.delete(np.arange(len(local.latent_dims)), index)
    rest = replace(
        local,
        latent_dims=tuple(local.latent_dims[each] for each in keep),
        means=local.means[:, keep],
        covariances=local.covariances[:, keep][:, :, keep],
        slopes=local.slopes[:, keep],
        slope_sds=local.slope_sds[:, keep],
        curvatures=local.curvatures[:, keep],
    )
    beta = fit_exponent(rest).beta
    label = f"without {local.latent_dims[index]}"
    return ExponentRow(
        label=label, kind="left out", value=beta.value, low=beta.low, high=beta.high
    )
