"""T3 to T9: what the answer rests on, as tables."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.along import alpha_along, dividing_columns
from analysis.audit import audit
from analysis.console import records_of
from analysis.exponent import GUIDE_EXPONENT
from analysis.mixture import Z_95
from analysis.report.belief import prior_belief
from analysis.report.data import ReportData, trials_to_band
from analysis.report.scaling import exponent_rows
from analysis.report.svg import Absent
from analysis.results import WidthResult


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckTable:
    """One table with its reading."""

    name: str
    """File name without ending."""
    title: str
    """Heading."""
    reading: str
    """How to read it, in a sentence."""
    frame: pd.DataFrame
    """The table."""


def check_tables(data: ReportData) -> tuple[CheckTable | Absent, ...]:
    """All of them, or why one is not there; for the largest group of runs."""
    makers: tuple[tuple[str, str, str, Callable[[ReportData], pd.DataFrame], str], ...] = (
        (
            "forms", "Curve forms",
            "Leave-one-out is the error of ln L0 at alphas the form was not shown; alpha is that "
            "form's own, beside the local fit and never instead of it.",
            _forms, "no width allows a curve",
        ),
        (
            "scaling", "The exponent in width",
            "Leaving a width out keeps the shared curve shape.",
            _scaling, data.fit.exponent_reason or "there is no exponent",
        ),
        (
            "along", "Alpha along other columns",
            "All else that divides runs is the same, but for what changes together with the "
            "column; the exponent is of alpha in the column.",
            _along, "the runs do not differ in anything but width, alpha and seed",
        ),
        (
            "belief", "Before and after",
            "Prior as the first trial's prediction implies it; bits are log2 of how much narrower "
            "ln alpha became.",
            _belief, "no width has both a prediction from before its runs and an interval",
        ),
        (
            "replicates", "Replicates",
            "The same run with other seeds: what one run cannot tell.",
            _replicates, "no configuration was run with two seeds",
        ),
        (
            "efficiency", "Trials until a run landed",
            "Of all trials of the width, also those that no fit uses.",
            _efficiency, "the trials have no numbers, so no order",
        ),
        (
            "warnings", "Excluded runs and warnings",
            "Rows that no fit uses, and what the fits noted.",
            _warnings, "nothing is excluded and nothing is noted",
        ),
        (
            "audit", "The guide's claims, recomputed",
            "From the guide's own data; sae-analysis audit prints the same.",
            _audit, "",
        ),
    )  # fmt: skip
    made: list[CheckTable | Absent] = []
    for name, title, reading, make, reason in makers:
        frame = make(data)
        made.append(
            Absent(name=name, title=title, reason=reason)
            if frame.empty
            else CheckTable(name=name, title=title, reading=reading, frame=frame)
        )
    return tuple(made)


def _forms(data: ReportData) -> pd.DataFrame:
    """T3."""
    return pd.DataFrame(
        [
            {
                "width": width.latent_dim,
                "form": each.fit.form.value,
                "chosen": each.fit.form == width.form_choice,
                "d.o.f.": each.fit.dof,
                "rms ln L0": each.fit.rms_log if each.fit.dof > 0 else None,
                "leave-one-out": each.score.leave_one_out,
                "AICc at 3 %": each.score.aicc_stated_noise,
                "weight": each.score.weight,
                "alpha": each.alpha if width.point is not None else None,
                "note": "; ".join(each.fit.flags) or each.reason,
            }
            for width in data.fit.widths
            for each in width.forms
        ]
    )


def _scaling(data: ReportData) -> pd.DataFrame:
    """T4."""
    fit = data.fit
    rows: list[dict[str, Any]] = [
        {"from": row.label, "exponent": row.value, "low": row.low, "high": row.high}
        for row in exponent_rows(data, fit)
    ]
    if fit.exponent is None:
        return pd.DataFrame(rows)
    beta = fit.exponent.beta
    for label, value in (("theory", fit.theory_exponent), ("the guide", GUIDE_EXPONENT)):
        inside = "inside" if beta.contains(value) else "outside"
        rows.append({"from": f"{label}: {inside} the interval", "exponent": value})
    rows.append({"from": "scatter of ln alpha between widths", "exponent": fit.exponent.tau})
    if fit.budget is not None and fit.budget.point.budget_exponent is not None:
        by_budget = fit.budget.point.budget_exponent
        rows.append(
            {
                "from": f"in {fit.budget.budget_unit}, at width {fit.budget.latent_dim}",
                "exponent": by_budget.value,
                "low": by_budget.low,
                "high": by_budget.high,
            }
        )
    return pd.DataFrame(rows)


def _along(data: ReportData) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for each in (
        found for name in dividing_columns(data.fit) for found in alpha_along(data.fit, name)
    ):
        shared = {"width": each.latent_dim, "column": each.column}
        rows += [
            {
                **shared,
                "value": str(point.value),
                "alpha": point.alpha,
                "low": None if point.interval is None else point.interval.low,
                "high": None if point.interval is None else point.interval.high,
            }
            for point in each.points
        ]
        if each.exponent is not None:
            ends = {"low": each.exponent.low, "high": each.exponent.high}
            rows.append({**shared, "value": "exponent", "alpha": each.exponent.value, **ends})
        for name in each.changes_with:
            rows.append({**shared, "value": f"{name} changes with it"})
    return pd.DataFrame(rows)


def _belief(data: ReportData) -> pd.DataFrame:
    """T5."""
    rows: list[dict[str, Any]] = []
    for width in data.fit.widths:
        before, star = prior_belief(data, width), width.alpha_star
        if before is None or star is None:
            continue
        sd = math.log(star.high / star.low) / (2 * Z_95)
        rows.append(
            {
                "width": width.latent_dim,
                "alpha before": math.exp(before.mean),
                "before low": math.exp(before.mean - Z_95 * before.sd),
                "before high": math.exp(before.mean + Z_95 * before.sd),
                "alpha": star.value,
                "shift in sd": (math.log(star.value) - before.mean) / before.sd,
                "bits gained": math.log2(before.sd / sd),
                **_weights(data, width),
            }
        )
    return pd.DataFrame(rows)


def _weights(data: ReportData, width: WidthResult) -> dict[str, str]:
    """The prior's component weights at a width's first and last trial."""
    rows = data.rows(width).dropna(subset=["trial", "prior_weights"])
    texts = rows.sort_values("trial", kind="stable")["prior_weights"].tolist()
    if not texts:
        return {}
    ends = {"weights before": texts[0], "weights after": texts[-1]}
    return {name: _weights_text(str(text)) for name, text in ends.items()}


def _weights_text(text: str) -> str:
    try:
        content = json.loads(text)
        return ", ".join(f"{name} {100 * float(share):.0f} %" for name, share in content.items())
    except (AttributeError, TypeError, ValueError):
        return text


def _replicates(data: ReportData) -> pd.DataFrame:
    """T8."""
    apart = dict.fromkeys(
        name for fit in data.fits for name in (*fit.recipe.columns(), *dict(fit.recipe.searched))
    )
    keys = [*apart, "latent_dim", "alpha_canonical"]
    used = data.trials.loc[data.trials["used"], [*keys, "seed", "l0"]]
    if used["seed"].nunique() < 2:
        return pd.DataFrame()
    used = used[used.groupby(keys, dropna=False)["seed"].transform("nunique") > 1]
    rows: list[dict[str, Any]] = []
    squares, freedom = 0.0, 0
    for _, runs in used.groupby(keys, dropna=False, sort=True):
        logs = np.log(runs["l0"].to_numpy(dtype=np.float64))
        first = records_of(runs.iloc[:1])[0]
        squares += float(((logs - logs.mean()) ** 2).sum())
        freedom += len(logs) - 1
        rows.append(
            {
                "width": str(first["latent_dim"]),
                "alpha": first["alpha_canonical"],
                "steps": first["total_steps"],
                "runs": len(logs),
                "mean L0": math.exp(logs.mean()),
                "sd of ln L0": float(logs.std(ddof=1)),
            }
        )
    if freedom:
        pooled = {"runs": freedom + len(rows), "sd of ln L0": math.sqrt(squares / freedom)}
        rows.append({"width": "pooled", **pooled})
    return pd.DataFrame(rows)


def _efficiency(data: ReportData) -> pd.DataFrame:
    """T9."""
    rows: list[dict[str, Any]] = []
    for width in data.fit.widths:
        trials = data.trials_of(data.fit, width)
        if trials.empty:
            continue
        rows.append(
            {
                "width": width.latent_dim,
                "trials": len(trials),
                "until in band": trials_to_band(trials),
            }
        )
    return pd.DataFrame(rows)


def _warnings(data: ReportData) -> pd.DataFrame:
    """T7."""
    excluded = data.trials[~data.trials["used"]]
    rows = [
        {"where": row["label"], "what": f"not used: {row['why_not']}"}
        for row in records_of(excluded[["label", "why_not"]])
    ]
    for fit in data.fits:
        rows += [
            {"where": f"width {width.latent_dim}", "what": note}
            for width in fit.widths
            for note in (*((width.reason,) if width.reason else ()), *width.notes)
        ]
        rows += [{"where": "fit", "what": note} for note in fit.notes]
    return pd.DataFrame(rows).drop_duplicates() if rows else pd.DataFrame()


def _audit(data: ReportData) -> pd.DataFrame:
    """T6."""
    del data
    return audit().table().drop(columns="degrees_of_freedom")
