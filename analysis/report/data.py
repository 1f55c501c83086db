"""What a report is made of: the trials as the target judges them, and the fits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import formatting as show
from analysis.console import records_of
from analysis.exponent import ExponentFit
from analysis.report.leaving_out import exponents_without
from analysis.results import Refit, WidthResult
from analysis.targets import DEFAULT_TOLERANCE, count_or_nan
from analysis.typed_tables import as_trials
from analysis.verdict import ROUNDING

MOST_POINTS = 400
"""Points of one figure; more are thinned out evenly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """Trials and fits, ready to be shown."""

    trials: pd.DataFrame
    """The trial table, and per row: `label`, `wanted` (the target in latents at this width),
    `log_error` (ln of L0 over it), `landed` (in band), `used` (by the fits), `why_not`, `counts`
    (what a used run weighs: 1, or less where it lies off the curve)."""
    fit: Refit
    """The largest group's fit."""
    tolerance: float
    """In band: |ln(l0 / target)| <= ln(1 + tolerance)."""

    study: Path | None
    """The study's folder, where the runs' histories are; None where there is none."""

    left_out: tuple[tuple[tuple[int, ExponentFit], ...], ...]
    """For each of the fits: the exponent without each width in turn, by that width."""

    @property
    def fits(self) -> tuple[Refit, ...]:
        """All groups' fits, the largest first."""
        return (self.fit, *self.fit.others)

    @property
    def shown(self) -> tuple[Refit, ...]:
        """Those with a section and figures of their own: the first, and all of several runs."""
        return (self.fit, *(other for other in self.fit.others if not other.is_one_run))

    @property
    def by_fraction(self) -> bool:
        """Whether the target is a fraction of the latents."""
        return self.fit.target_l0 < 1

    def without(self, fit: Refit) -> tuple[tuple[int, ExponentFit], ...]:
        """The exponent of one group without each width in turn."""
        return next(
            each for other, each in zip(self.fits, self.left_out, strict=True) if other is fit
        )

    def rows(self, width: WidthResult) -> pd.DataFrame:
        """The runs behind one width's result, with the columns that figures and tables show."""
        return self.trials.loc[list(width.rows), _RUN_COLUMNS]

    def group(self, fit: Refit) -> pd.DataFrame:
        """The runs behind one group's fit."""
        return self.trials.loc[sorted(row for width in fit.widths for row in width.rows)]

    def excluded(self, fit: Refit) -> pd.DataFrame:
        """The runs that no fit uses and that may be of one group's recipe."""
        return self.trials[~self.trials["used"] & fit.recipe.may_hold(self.trials)]

    def trials_of(self, fit: Refit, width: WidthResult) -> pd.DataFrame:
        """All numbered trials of one width in their order, also those that no fit uses."""
        outside = self.excluded(fit)
        rows = pd.concat([self.trials.loc[list(width.rows)], outside]).dropna(subset=["trial"])
        own = rows[(rows["latent_dim"] == width.latent_dim).fillna(value=False)]
        return own.sort_values("trial", kind="stable").drop_duplicates("trial")

    def landed(self, width: WidthResult) -> pd.DataFrame:
        """The runs of one width that are in band, the lowest fvu first."""
        rows = self.rows(width)
        return rows[rows["landed"]].sort_values(["fvu", "label"], kind="stable")


def prepare(
    trials: pd.DataFrame,
    fit: Refit,
    tolerance: float = DEFAULT_TOLERANCE,
    study: Path | None = None,
) -> ReportData:
    """Judges every trial by the fit's target and marks what the fits used."""
    why_not = {exclusion.row: exclusion.reason for exclusion in fit.exclusions}
    frame = as_trials(trials).copy()
    frame["label"] = [
        f"trial {number}" if pd.notna(number) else f"row {row}"
        for row, number in zip(frame.index, frame["trial"], strict=True)
    ]
    frame["wanted"] = [
        math.nan if pd.isna(width) else count_or_nan(fit.target_l0, int(width))
        for width in frame["latent_dim"]
    ]
    ratio = (frame["l0"] / frame["wanted"]).where(frame["l0"] > 0)
    frame["log_error"] = np.log(ratio)
    frame["landed"] = (frame["log_error"].abs() <= math.log1p(tolerance) + ROUNDING) & (
        frame["state"].fillna("") == "complete"
    )
    frame["why_not"] = [why_not.get(int(row), "") for row in frame.index]
    frame["used"] = frame["why_not"] == ""
    counts = {
        row: weight
        for each in (fit, *fit.others)
        for width in each.widths
        for row, weight in zip(width.rows, width.weights, strict=True)
    }
    frame["counts"] = [counts.get(int(row), math.nan) for row in frame.index]
    left_out = tuple(exponents_without(each) for each in (fit, *fit.others))
    return ReportData(trials=frame, fit=fit, tolerance=tolerance, study=study, left_out=left_out)


def trials_to_band(trials: pd.DataFrame) -> int | None:
    """How many of ordered trials there were up to the first in band; None where none is."""
    landed = np.flatnonzero(trials["landed"].to_numpy(dtype=bool))
    return int(landed[0]) + 1 if len(landed) else None


def latent_dims(fit: Refit) -> list[int]:
    """All widths of a group, rising."""
    return [width.latent_dim for width in fit.widths]


def thin(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows, evenly spaced: more points than that only make a figure heavy."""
    if len(rows) <= most:
        return rows
    kept = np.linspace(0, len(rows) - 1, most).round().astype(int)
    return rows.iloc[kept]


_RUN_COLUMNS = [
    "trial", "label", "latent_dim", "alpha_canonical", "l0", "fvu", "dead_fraction", "wanted",
    "log_error", "landed", "why_not", "counts", "predicted_l0", "predicted_l0_sd", "prior_weights",
    "tokens", "wall_s",
]  # fmt: skip
_TITLED = ["label", "latent_dim", "alpha_canonical", "l0", "fvu", "why_not", "counts"]


def point_titles(rows: pd.DataFrame) -> list[str]:
    """What hovering over each run says."""
    return [
        f"{row['label']}: width {show.count(row['latent_dim'])}, "
        f"alpha {show.number(row['alpha_canonical'])}, L0 {show.number(row['l0'])}, "
        f"fvu {show.number(row['fvu'])}"
        + (f", not used: {row['why_not']}" if row["why_not"] else "")
        + (f", off the curve: counts {show.number(row['counts'])}" if _is_light(row) else "")
        for row in records_of(rows[_TITLED])
    ]


def _is_light(row: Mapping[str, Any]) -> bool:
    return row["counts"] is not None and row["counts"] < 1
