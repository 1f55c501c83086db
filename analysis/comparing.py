"""Studies side by side, cell by cell: what each found, and what it cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.console import records_of
from analysis.differences import units_notes
from analysis.errors import AnalysisError
from analysis.groups import Recipe
from analysis.refitting import refit
from analysis.report.data import ReportData, prepare, trials_to_band
from analysis.report.plots.pareto import pareto_front
from analysis.results import Refit, WidthResult
from analysis.selection import GROUP_COLUMNS
from analysis.sources import Source, is_storage, names_of
from analysis.tolerance import tolerance_of
from analysis.trials import load_trials

CELL = (*GROUP_COLUMNS, "searched", "units", "latent_dim")
"""The columns that make a cell; `searched` is what else divides runs, as text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Several studies by one target."""

    target_l0: float
    """Below 1 a fraction of latent_dim, from 1 on a count."""
    cells: pd.DataFrame
    """One row per cell and study; rows of one cell stand together."""
    fronts: pd.DataFrame
    """The runs that no run of the same study and architecture beats in both L0 and fvu."""
    notes: tuple[str, ...]
    """What makes alphas incomparable: units that are not canonical."""

    @property
    def cell_columns(self) -> list[str]:
        """The columns in which rows of one cell agree."""
        return list(CELL)

    @property
    def also_differ(self) -> list[str]:
        """Those that tell cells apart here, apart from architecture, steps and width."""
        usual = ("architecture", "total_steps", "latent_dim")
        return [name for name in CELL if name not in usual and len(self.cells[name].unique()) > 1]


def compare_studies(
    sources: Sequence[Source],
    target_l0: float,
    study_names: Sequence[str] = (),
    *,
    tolerance: float | None = None,
) -> Comparison:
    """Joins studies by cell: all that divides runs, and the width.

    Args:
        sources: Studies' folders or tables of trials; each is named by its path's last part, and
            the folders above it where that part is another's too.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        study_names: Which sweep, where storages hold several: one for all, or one for each.
        tolerance: In band: |ln(l0 / target)| <= ln(1 + tolerance); None for each study's own.

    Raises:
        AnalysisError: A source cannot be read or has no usable run, or is named twice.
    """
    cells: list[dict[str, object]] = []
    fronts: list[pd.DataFrame] = []
    fits: dict[str, Refit] = {}
    for name, source, study_name in _named(sources, study_names):
        trials = load_trials(source, study_name=study_name)
        fits[name] = refit(trials, target_l0=target_l0)
        data = prepare(trials, fits[name], tolerance_of(source, trials, tolerance))
        cells += [_cell(name, data, fit, width) for fit in data.fits for width in fit.widths]
        fronts.append(_front(name, data))
    counts = ("d_in", "batch_size", "total_steps", "trials_to_band")
    table = pd.DataFrame(cells).astype(dict.fromkeys(counts, "Int64"))
    table = table.sort_values([*CELL, "study"], kind="stable", ignore_index=True)
    return Comparison(
        target_l0=target_l0,
        cells=table,
        fronts=pd.concat(fronts, ignore_index=True),
        notes=units_notes(fits),
    )


def _named(
    sources: Sequence[Source], study_names: Sequence[str]
) -> Iterator[tuple[str, Source, str | None]]:
    """Every study's name, source, and which sweep of it."""
    if len(study_names) > 1:
        if len(study_names) != len(sources):
            raise AnalysisError(
                f"study_name must be given once, or once for each of {len(sources)} sources, "
                f"but got {', '.join(study_names)}."
            )
        if len(set(study_names)) == len(study_names):
            yield from zip(study_names, sources, study_names, strict=True)
            return
    chosen = study_names if len(study_names) > 1 else _of_storages(sources, *study_names)
    yield from zip(names_of(sources), sources, chosen, strict=True)


def _of_storages(sources: Sequence[Source], study_name: str | None = None) -> list[str | None]:
    """One name for each source: for all storages, or, where there is none, for all to refuse."""
    storages = [is_storage(source) for source in sources]
    return [study_name if is_one or not any(storages) else None for is_one in storages]


def _cell(study: str, data: ReportData, fit: Refit, width: WidthResult) -> dict[str, object]:
    trials = data.trials_of(fit, width)
    counted = data.rows(width) if trials.empty else trials
    landed = data.landed(width)
    best = records_of(landed.iloc[:1])[0] if len(landed) else {}
    star = width.alpha_star
    return {
        **fit.recipe.columns(),
        "searched": _searched(fit.recipe),
        "units": fit.units.value,
        "latent_dim": width.latent_dim,
        "study": study,
        "alpha": width.point,
        "alpha_low": None if star is None else star.low,
        "alpha_high": None if star is None else star.high,
        "status": fit.status.value,
        "trials": len(counted),
        "trials_to_band": trials_to_band(trials),
        "in_band": len(landed),
        "tokens": _sum(counted["tokens"]),
        "wall_s": _sum(counted["wall_s"]),
        "best_fvu": best.get("fvu"),
        "best_l0": best.get("l0"),
        "best_dead": best.get("dead_fraction"),
        "reason": width.reason,
    }


def _searched(recipe: Recipe) -> str | None:
    """What divides runs beside the record's own columns, as text; None where nothing does."""
    own = recipe.columns()
    others = [f"{name}={value}" for name, value in recipe.dividers().items() if name not in own]
    return ", ".join(others) or None


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
