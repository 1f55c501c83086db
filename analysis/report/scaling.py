"""The exponent in width from all widths, without each of them, and from each pair."""

from dataclasses import dataclass

from analysis.exponent import pairwise_exponents
from analysis.report.data import ReportData
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


def exponent_rows(data: ReportData, fit: Refit) -> list[ExponentRow]:
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
    rows += [
        ExponentRow(
            label=f"without {width}",
            kind="left out",
            value=without.beta.value,
            low=without.beta.low,
            high=without.beta.high,
        )
        for width, without in data.without(fit)
    ]
    points = [local.log_alpha(index).value for index in range(n)]
    rows += [
        ExponentRow(label=f"{low} to {high}", kind="pair", value=value)
        for low, high, value in pairwise_exponents(local.latent_dims, points)
    ]
    return rows
