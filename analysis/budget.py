"""One surface over widths and training budgets, from a trial table.

Runs of several recipes never enter one law; a surface is the one exception, and only for recipes
that differ in learning rate and steps alone: it has their product as a coordinate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.bracketing import LocalCell
from analysis.errors import AnalysisError
from analysis.groups import Recipe, split
from analysis.mixture import Estimate
from analysis.selection import select
from analysis.surface import Surface, SurfacePoint, SurfaceRuns
from analysis.surface_gate import SurfaceGate, judge_surface
from analysis.typed_tables import as_trials
from analysis.units import target_count


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOutWidth:
    """What the surface predicts for a width that it was not shown."""

    latent_dim: int
    """The width."""
    budget: float
    """The budget at which the two are compared."""
    fitted: float
    """Alpha for the target from all runs."""
    predicted: Estimate
    """Alpha for the target from the other widths."""

    @property
    def inside(self) -> bool:
        """Whether the prediction's interval holds the fit of all runs."""
        return self.predicted.contains(self.fitted)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySurface:
    """The surface of one family of a study's runs."""

    surface: Surface
    """The surface itself."""
    runs: pd.DataFrame
    """The runs behind it."""
    budget_unit: str
    """What a budget is: `learning_rate * total_steps`, or `total_steps` where no rate is known."""
    notes: tuple[str, ...]
    """What a reader must know."""

    def budget(self, *, total_steps: int, learning_rate: float | None = None) -> float:
        """A budget in this surface's unit.

        Raises:
            AnalysisError: The learning rate is needed and not given, or a value is not positive.
        """
        if total_steps <= 0:
            raise AnalysisError(f"total_steps must be positive, but got {total_steps!r}.")
        if self.budget_unit == "total_steps":
            return float(total_steps)
        if learning_rate is None or not learning_rate > 0:
            raise AnalysisError(f"learning_rate must be positive, but got {learning_rate!r}.")
        return total_steps * learning_rate

    def alpha_for(self, latent_dim: int, target_l0: float, budget: float) -> SurfacePoint:
        """Alpha with its interval, and the exponents that the runs allow.

        Raises:
            AnalysisError: The target cannot be, or the runs do not say alpha for it at this width
                and budget, see `analysis.surface_gate`.
        """
        if not budget > 0:
            raise AnalysisError(f"budget must be positive, but got {budget!r}.")
        count = target_count(target_l0, latent_dim)
        gate = self.gate(target_l0)
        reason = gate.alpha_reason(latent_dim, budget)
        if reason is not None:
            raise AnalysisError(f"{reason}.")
        point = self.surface.at(
            log_width=math.log(latent_dim),
            log_budget=math.log(budget),
            log_target=math.log(count),
            is_fraction=target_l0 < 1,
        )
        return replace(
            point,
            width_exponent=point.width_exponent if gate.width_reason is None else None,
            budget_exponent=point.budget_exponent if gate.budget_reason is None else None,
        )

    def pairs(self) -> list[tuple[int, float]]:
        """Every (latent_dim, budget) with runs, rising."""
        return sorted(
            {
                (int(width), float(budget))
                for width, budget in zip(
                    self.runs["latent_dim"], _budgets(self.runs, self.budget_unit), strict=True
                )
            }
        )

    def bracketed_pairs(self, target_l0: float) -> list[tuple[int, float]]:
        """Those whose runs lie on both sides of the target."""
        return list(self.gate(target_l0).pairs)

    def gate(self, target_l0: float) -> SurfaceGate:
        """What may be said of a target."""
        budgets = _budgets(self.runs, self.budget_unit)
        cells: dict[tuple[int, float], LocalCell] = {}
        for width, budget in self.pairs():
            own = self.runs[(self.runs["latent_dim"] == width) & np.isclose(budgets, budget)]
            cell = LocalCell(
                latent_dim=width,
                log_alpha=np.log(own["alpha_canonical"].to_numpy(dtype=np.float64)),
                log_l0=np.log(own["l0"].to_numpy(dtype=np.float64)),
                target=target_l0 * width if target_l0 < 1 else target_l0,
            )
            if cell.target <= width:
                cells[width, budget] = cell
        return judge_surface(cells)

    def leave_one_width_out(self, target_l0: float) -> list[LeftOutWidth]:
        """Alpha at each width's middle bracketed budget, predicted from the other widths.

        Empty with fewer than three widths: two others are the least that show a trend. A width
        without which no run but those of another budget is left is passed over.
        """
        widths = sorted({width for width, _ in self.pairs()})
        if len(widths) < 3:
            return []
        bracketed = self.bracketed_pairs(target_l0)
        found: list[LeftOutWidth] = []
        for width in widths:
            own = [budget for other, budget in bracketed if other == width]
            if not own:
                continue
            budget = own[len(own) // 2]
            others = self.surface.runs.keep(self.surface.runs.log_width != math.log(width))
            left = np.unique(others.log_budget)
            if len(left) == 1 and not np.isclose(left[0], math.log(budget)):
                continue
            reduced = Surface(others, self.surface.prior)
            point = reduced.at(
                log_width=math.log(width),
                log_budget=math.log(budget),
                log_target=math.log(target_count(target_l0, width)),
            )
            found.append(
                LeftOutWidth(
                    latent_dim=width,
                    budget=budget,
                    fitted=self.alpha_for(width, target_l0, budget).log_alpha.exp().value,
                    predicted=point.log_alpha.exp(),
                )
            )
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetResult:
    """What the surface says about one target, where the widths and budgets are in the middle."""

    budget_unit: str
    """What a budget is."""
    latent_dim: int
    """The width at which alpha and exponents are given."""
    budget: float
    """The budget at which they are given."""
    point: SurfacePoint
    """Alpha and its exponents there."""
    budgets: tuple[float, ...]
    """All budgets with runs, rising."""
    left_out: tuple[LeftOutWidth, ...]
    """Each width predicted from the others."""
    notes: tuple[str, ...]
    """What a reader must know."""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        width, budget = self.point.width_exponent, self.point.budget_exponent
        return {
            "budget_unit": self.budget_unit,
            "latent_dim": self.latent_dim,
            "budget": self.budget,
            "budgets": list(self.budgets),
            "alpha": self.point.log_alpha.exp().to_json(),
            "next_run": self.point.next_run.exp().to_json(),
            "width_exponent": None if width is None else width.to_json(),
            "budget_exponent": None if budget is None else budget.to_json(),
            "scatter": self.point.scatter,
            "noise": self.point.noise,
            "leave_one_width_out": [
                {
                    "latent_dim": each.latent_dim,
                    "budget": each.budget,
                    "fitted": each.fitted,
                    "predicted": each.predicted.to_json(),
                    "inside": each.inside,
                }
                for each in self.left_out
            ],
            "notes": list(self.notes),
        }


def budget_result(
    trials: pd.DataFrame,
    target_l0: float,
    by: Sequence[str] = (),
    recipe: Recipe | None = None,
) -> BudgetResult:
    """Alpha's exponents in width and budget for one target, with their checks.

    Args:
        trials: A table as `analysis.load_trials` returns it.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        by: Further columns whose runs are never mixed.
        recipe: Whose family is wanted; None for the largest.

    Raises:
        AnalysisError: Fewer than two budgets, or runs that allow no exponent in the budget, see
            `analysis.surface_gate`.
    """
    study = study_surface(trials, by, recipe)
    budgets = {budget for _, budget in study.pairs()}
    if len(budgets) < 2:
        raise AnalysisError(
            f"budgets must be two or more for an exponent, but got {len(budgets)}."
        )
    gate = study.gate(target_l0)
    if gate.budget_reason is not None:
        raise AnalysisError(f"{gate.budget_reason}.")
    latent_dim, budget = middle(gate.full)
    return BudgetResult(
        budget_unit=study.budget_unit,
        latent_dim=latent_dim,
        budget=budget,
        point=study.alpha_for(latent_dim, target_l0, budget),
        budgets=tuple(sorted(budgets)),
        left_out=tuple(study.leave_one_width_out(target_l0)),
        notes=study.notes,
    )


def study_surface(
    trials: pd.DataFrame, by: Sequence[str] = (), recipe: Recipe | None = None
) -> StudySurface:
    """The surface over one family of runs, which differ in width and budget alone.

    Args:
        trials: A table as `analysis.load_trials` returns it.
        by: Further columns whose runs are never mixed.
        recipe: Whose family is wanted; None for the largest.

    Raises:
        AnalysisError: Too few usable runs.
    """
    usable = select(as_trials(trials), by).usable
    usable = usable[(usable["alpha_canonical"] > 0) & _has_budget(usable)]
    families = _families(usable, by)
    if recipe is None:
        runs, chosen = max(families.values(), key=len, default=None), "the largest"
    else:
        runs, chosen = families.get(recipe.without_budget()), "that of the fitted runs"
    if runs is None:
        raise AnalysisError(
            "total_steps must be known for a surface over budgets, and positive like any "
            "learning_rate, but no run has such."
        )
    unit = "learning_rate * total_steps" if runs["learning_rate"].notna().all() else "total_steps"
    if unit == "total_steps" and runs["learning_rate"].notna().any():
        raise AnalysisError(
            "learning_rate must be known for all runs or for none, but is for some."
        )
    notes: list[str] = []
    if len(families) > 1:
        notes.append(f"{len(families)} families of runs; this is {chosen}.")
    if unit == "total_steps":
        notes.append("The learning rate is not recorded: the budget is the number of steps.")
    data = SurfaceRuns(
        log_alpha=np.log(runs["alpha_canonical"].to_numpy(dtype=np.float64)),
        log_width=np.log(runs["latent_dim"].to_numpy(dtype=np.float64)),
        log_budget=np.log(_budgets(runs, unit)),
        log_l0=np.log(runs["l0"].to_numpy(dtype=np.float64)),
    )
    return StudySurface(surface=Surface(data), runs=runs, budget_unit=unit, notes=tuple(notes))


def _has_budget(usable: pd.DataFrame) -> pd.Series:
    """Whether a budget has a logarithm; an unknown learning rate is none of its factors."""
    return (usable["total_steps"] > 0).fillna(value=False) & ~(usable["learning_rate"] <= 0)


def _families(usable: pd.DataFrame, by: Sequence[str]) -> dict[Recipe, pd.DataFrame]:
    """The runs by what they share apart from the budget."""
    rows: dict[Recipe, list[object]] = {}
    for group in split(usable, by):
        rows.setdefault(group.recipe.without_budget(), []).extend(group.runs.index)
    return {shared: usable[usable.index.isin(own)] for shared, own in rows.items()}


def _budgets(runs: pd.DataFrame, unit: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    steps = runs["total_steps"].to_numpy(dtype=np.float64)
    return steps if unit == "total_steps" else steps * runs["learning_rate"].to_numpy(np.float64)


def middle(pairs: Sequence[tuple[int, float]]) -> tuple[int, float]:
    """The pair nearest to the geometric mean of all: where exponents are reported."""
    logs = np.log(np.array(pairs, dtype=np.float64))
    return pairs[int(np.argmin(np.sum((logs - logs.mean(axis=0)) ** 2, axis=1)))]
