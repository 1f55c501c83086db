"""Studies side by side, cell by cell: what each found, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.console import records_of
from analysis.errors import AnalysisError
from analysis.refitting import refit
from analysis.report.data import ReportData, prepare
from analysis.report.plots.pareto import pareto_front
from analysis.results import Refit, WidthResult
from analysis.sources import Source, name_of
from analysis.trials import load_trials

_CELL = ("architecture", "penalty", "activations", "total_steps", "latent_dim")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Several studies by one target."""

    target_l0: float
    """Below 1 a fraction of latent_dim, from 1 on a count."""
    cells: pd.DataFrame
    """One row per cell and study; rows of one cell stand together."""
    fronts: pd.DataFrame
    """The runs that no run of the same study and architecture beats in both L0 and fvu."""


def compare_studies(sources: Sequence[Source], target_l0: float) -> Comparison:
    """Joins studies by cell: architecture, penalty, activations, steps and width.

    Args:
        sources: Studies' folders or tables of trials; each is named by its path's last part.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.

    Raises:
        AnalysisError: A source cannot be read or has no usable run, or two have the same name.
    """
    names = [name_of(source) for source in sources]
    if len(set(names)) < len(names):
        raise AnalysisError(f"studies must have different names, but got {', '.join(names)}.")
    cells: list[dict[str, object]] = []
    fronts: list[pd.DataFrame] = []
    for name, source in zip(names, sources, strict=True):
        trials = load_trials(source)
        data = prepare(trials, refit(trials, target_l0=target_l0))
        cells += [_cell(name, data, fit, width) for fit in data.fits for width in fit.widths]
        fronts.append(_front(name, data))
    table = pd.DataFrame(cells).astype({"trials_to_band": "Int64", "total_steps": "Int64"})
    table = table.sort_values([*_CELL, "study"], kind="stable", ignore_index=True)
    return Comparison(
        target_l0=target_l0, cells=table, fronts=pd.concat(fronts, ignore_index=True)
    )


def _cell(study: str, data: ReportData, fit: Refit, width: WidthResult) -> dict[str, object]:
    rows = data.rows(width)
    landed = data.landed(width)
    best = records_of(landed.iloc[:1])[0] if len(landed) else {}
    star = width.alpha_star
    ordered = rows.sort_values("trial", kind="stable")
    first = np.flatnonzero(ordered["landed"].to_numpy(dtype=bool))
    numbered = rows["trial"].notna().all() and len(first) > 0
    return {
        **{name: getattr(fit.recipe, name) for name in _CELL[:-1]},
        "latent_dim": width.latent_dim,
        "study": study,
        "alpha": width.point,
        "alpha_low": None if star is None else star.low,
        "alpha_high": None if star is None else star.high,
        "units": fit.units.value,
        "status": fit.status.value,
        "trials": width.n,
        "trials_to_band": int(first[0]) + 1 if numbered else None,
        "in_band": len(landed),
        "tokens": _sum(rows["tokens"]),
        "wall_s": _sum(rows["wall_s"]),
        "best_fvu": best.get("fvu"),
        "best_l0": best.get("l0"),
        "best_dead": best.get("dead_fraction"),
        "reason": width.reason,
    }


def _sum(column: "pd.Series[float]") -> float | None:
    """The total, or None where it is not recorded for every run."""
    return None if column.isna().any() else float(column.sum())


def _front(study: str, data: ReportData) -> pd.DataFrame:
    used = data.trials[data.trials["used"]].dropna(subset=["fvu", "l0"])
    columns = ["architecture", "latent_dim", "label", "alpha_canonical", "l0", "fvu"]
    names = used["architecture"].fillna("")
    fronts = [pareto_front(part)[columns] for _, part in used.groupby(names, sort=True)]
    joined = pd.concat(fronts) if fronts else used[columns]
    return joined.assign(study=study)
