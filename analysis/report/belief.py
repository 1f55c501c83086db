"""What was believed about alpha before a width's first trial, as its record implies it."""

import math
from dataclasses import dataclass

from analysis.console import records_of
from analysis.report.data import ReportData
from analysis.results import WidthResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Belief:
    """A normal distribution of ln alpha for the target."""

    mean: float
    """Its mean."""
    sd: float
    """Its standard deviation."""


def prior_belief(data: ReportData, width: WidthResult) -> Belief | None:
    """The belief behind the first trial's prediction, moved from L0 to alpha along the curve.

    The record holds the L0 predicted at the alpha that was proposed; the elasticity fitted
    afterwards turns it into the alpha then expected to hit the target. None where the first trial
    has no prediction, or the elasticity is not known.
    """
    rows = data.rows(width).dropna(subset=["trial", "predicted_l0", "predicted_l0_sd"])
    rows = rows[(rows["predicted_l0"] > 0) & (rows["alpha_canonical"] > 0)]
    if rows.empty or width.elasticity is None or width.target_count is None:
        return None
    first = records_of(rows.sort_values("trial", kind="stable").iloc[:1])[0]
    slope = abs(width.elasticity.value)
    excess = math.log(first["predicted_l0"] / width.target_count)
    return Belief(
        mean=math.log(first["alpha_canonical"]) + excess / slope,
        sd=first["predicted_l0_sd"] / slope,
    )
