"""What a refit returns, and its JSON form."""

from dataclasses import asdict, dataclass, replace

from analysis import next_runs
from analysis.budget import BudgetResult
from analysis.curves import CurveFit, Form, FormScore
from analysis.exponent import GUIDE_EXPONENT, ExponentFit
from analysis.gate import Side, Status, Suggestion
from analysis.groups import Recipe
from analysis.local import LocalFit
from analysis.mixture import Estimate
from analysis.records import Units
from analysis.selection import Exclusion

UNKNOWN = "not recorded, so unknown"
"""Begins the note on what the trials do not say of their recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FormResult:
    """A global form at one width, with its alpha for the target."""

    score: FormScore
    """The fit, with its misfit and what the criteria say about it."""
    alpha: float | None
    """Alpha at the target by this form."""
    reason: str | None
    """Why there is none, such as a target above the form's ceiling."""

    @property
    def fit(self) -> CurveFit:
        """The fit, with its misfit."""
        return self.score.fit

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "form": self.fit.form.value,
            "formula": self.fit.formula,
            "parameters": dict(self.fit.parameters),
            "n": self.fit.n,
            "dof": self.fit.dof,
            # Through its own points every curve passes: no misfit to speak of.
            "rms_log": self.fit.rms_log if self.fit.dof > 0 else None,
            "max_factor": self.fit.max_factor if self.fit.dof > 0 else None,
            "flags": list(self.fit.flags),
            "leave_one_out": self.score.leave_one_out,
            "aicc_stated_noise": self.score.aicc_stated_noise,
            "aicc_free_noise": self.score.aicc_free_noise,
            "weight": self.score.weight,
            "alpha": self.alpha,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class FormAverage:
    """Alpha for the target, averaged over global forms."""

    value: float
    """The weighted mean in ln alpha."""
    log_spread: float
    """The weighted sd of ln alpha between forms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthResult:
    """What one width says."""

    latent_dim: int
    """Width."""
    target_count: float | None
    """The target in latents; None where this width cannot have it."""
    n: int
    """Usable runs."""
    alphas: tuple[float, ...]
    """Alpha of each run, rising."""
    l0: tuple[float, ...]
    """L0 of each run, as a count."""
    rows: tuple[int, ...]
    """Each run's row in the trial table."""
    weights: tuple[float, ...]
    """What each run counts for: 1, or less for one that lies off the curve of the others."""
    bracketed: bool
    """Whether runs lie on both sides of the target."""
    side: Side | None
    """Where alpha lies if they do not."""
    forms: tuple[FormResult, ...]
    """Global forms, the best by leave-one-out first."""
    form_choice: Form | None
    """The form that leave-one-out chooses, where it is defined."""
    average_alpha: FormAverage | None
    """Alpha averaged over the forms by their weights; beside the local fit, never instead."""
    point: float | None
    """Alpha for the target, where it may be named."""
    alpha_star: Estimate | None
    """The same with its interval (mean response), where that may be named."""
    next_run: Estimate | None
    """The same for one further run, its noise included."""
    bootstrap: Estimate | None
    """A second opinion on alpha's interval, from runs drawn again; None with fewer than eight."""
    elasticity: Estimate | None
    """Derivative of ln L0 by ln alpha at the target."""
    reason: str | None
    """Why something is withheld."""
    notes: tuple[str, ...]
    """What a reader must know."""
    suggestions: tuple[Suggestion, ...]
    """What to run next."""

    def to_json(self) -> dict[str, object]:
        """As plain values; `alpha_star` without an interval has null ends."""
        target = self.target_count
        star = self.point if self.alpha_star is None else self.alpha_star.value
        return {
            "cell": f"latent_dim={self.latent_dim}",
            "latent_dim": self.latent_dim,
            "target_count": target,
            "target_fraction": None if target is None else target / self.latent_dim,
            "n": self.n,
            "n_alphas": len(set(self.alphas)),
            "alpha_range": [min(self.alphas), max(self.alphas)] if self.alphas else None,
            "l0_range": [min(self.l0), max(self.l0)] if self.l0 else None,
            "counts_less": [
                {"row": row, "weight": weight}
                for row, weight in zip(self.rows, self.weights, strict=True)
                if weight < 1
            ],
            "bracketed": self.bracketed,
            "side": None if self.side is None else self.side.value,
            "forms": [form.to_json() for form in self.forms],
            "form_choice": None if self.form_choice is None else self.form_choice.value,
            "average_alpha": None if self.average_alpha is None else asdict(self.average_alpha),
            "alpha_star": None if star is None else _ends(star, self.alpha_star),
            "next_run": None if self.next_run is None else self.next_run.to_json(),
            "bootstrap": None if self.bootstrap is None else self.bootstrap.to_json(),
            "elasticity": None if self.elasticity is None else self.elasticity.to_json(),
            "reason": self.reason,
            "notes": list(self.notes),
            "suggestions": [each.to_json() for each in self.suggestions],
        }


def _ends(value: float, interval: Estimate | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {"value": value, "low": low, "high": high}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refit:
    """Everything that one group of runs says about alpha for one target."""

    target_l0: float
    """Below 1 a fraction of latent_dim, from 1 on a count."""
    units: Units
    """Of every alpha in here."""
    recipe: Recipe
    """What it belongs to."""
    status: Status
    """What it may be called."""
    missing: tuple[str, ...]
    """What a law still needs."""
    widths: tuple[WidthResult, ...]
    """By width, rising."""
    noise: float | None
    """Sd of ln L0 between runs, pooled over widths; None without a local fit."""
    exponent: ExponentFit | None
    """Of alpha in width at this target, where it may be named."""
    exponent_reason: str | None
    """Why it is withheld."""
    theory_exponent: float
    """What the energy argument gives."""
    suggestions: tuple[Suggestion, ...]
    """What to run next."""
    exclusions: tuple[Exclusion, ...]
    """Rows of the whole table that no fit uses; only on the first group."""
    notes: tuple[str, ...]
    """What a reader must know."""
    data_hash: str
    """SHA-256 of the runs that entered."""
    budget: BudgetResult | None = None
    """The surface over widths and budgets, for the whole table; only on the first group."""
    budget_reason: str | None = None
    """Why there is none."""
    local: LocalFit | None = None
    """The local fit over the bracketed widths, for plots; not part of the JSON."""
    others: tuple["Refit", ...] = ()
    """Other groups of the same table, never mixed with this one."""

    @property
    def is_one_run(self) -> bool:
        """Whether a single run is all there is: a point, and nothing to draw a curve through."""
        return sum(width.n for width in self.widths) == 1

    def width(self, latent_dim: int) -> WidthResult | None:
        """The result of one width."""
        return next((each for each in self.widths if each.latent_dim == latent_dim), None)

    def led_by(self, group: "Refit") -> "Refit":
        """The fits of the same table with another group in front, one of `others`.

        The budgets of other settings say nothing of its own.
        """
        if group is self:
            return self
        kin = group.recipe.without_budget() == self.recipe.without_budget()
        return replace(
            group,
            budget=self.budget if kin else None,
            budget_reason=self.budget_reason if kin else None,
            exclusions=self.exclusions,
            notes=tuple(dict.fromkeys([*self.notes, *group.notes])),
            others=(self, *(each for each in self.others if each is not group)),
        )

    def command(self, suggestion: Suggestion) -> str | None:
        """The sweep that runs a suggestion; None where alpha is in a foreign file's units."""
        found = next_runs.overrides(
            suggestion, target_l0=self.target_l0, recipe=self.recipe, units=self.units
        )
        return None if found is None else next_runs.command(found)

    @property
    def keys_to_add(self) -> str:
        """What `command` may lack: a recipe has the activations' name, not where they are."""
        name = self.recipe.activations
        has_command = self.units is Units.canonical
        return f"and the keys of the activations, {name}" if has_command and name else ""

    def to_json(self) -> dict[str, object]:
        """As plain values; the same trials give the same bytes."""
        return {
            "target_l0": self.target_l0,
            "units": self.units.value,
            "status": self.status.value,
            "missing": list(self.missing),
            "recipe": self.recipe.to_json(),
            "curves": [width.to_json() for width in self.widths],
            "noise": self.noise,
            "exponent": None if self.exponent is None else self._exponent_json(self.exponent),
            "exponent_reason": self.exponent_reason,
            "budget": None if self.budget is None else self.budget.to_json(),
            "budget_reason": self.budget_reason,
            "suggestions": [
                next_runs.to_json(
                    each, target_l0=self.target_l0, recipe=self.recipe, units=self.units
                )
                for each in self.suggestions
            ],
            "exclusions": [asdict(each) for each in self.exclusions],
            "notes": list(self.notes),
            "data_hash": self.data_hash,
            "other_groups": [other.to_json() for other in self.others],
        }

    def _exponent_json(self, fit: ExponentFit) -> dict[str, object]:
        return {
            **fit.beta.to_json(),
            "widths": list(fit.latent_dims),
            "between_width_scatter": fit.tau,
            "form_tested": len(fit.latent_dims) > 2,
            "guide_exponent": GUIDE_EXPONENT,
            "guide_inside": fit.beta.contains(GUIDE_EXPONENT),
            "theory_exponent": self.theory_exponent,
            "theory_inside": fit.beta.contains(self.theory_exponent),
        }
