"""The alpha for a width, a target and a budget, from what there is: a study, a table, a law."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.budget import study_surface
from analysis.budget_term import STEPS, budget_of
from analysis.errors import AnalysisError
from analysis.gate import Side, Status
from analysis.law import Law
from analysis.refitting import refit
from analysis.results import Refit, WidthResult
from analysis.sources import Source, name_of
from analysis.trials import load_trials
from analysis.units import (
    ActivationScale,
    assumption,
    canonical_factor,
    needs_norms,
    target_count,
)

_Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaAnswer:
    """Alpha for one width and one target, and how it is known."""

    latent_dim: int
    """Width."""
    target_count: float
    """The target in latents."""
    alpha: float
    """In `units`."""
    low: float | None
    """Lower end of its 95 % interval; None where the runs allow none."""
    high: float | None
    """Upper end of it."""
    units: str
    """A convention's name; `canonical` and `as_given` as in `analysis.records.Units`."""
    basis: str
    """What it rests on, in words."""
    status: str
    """law or provisional."""
    recipe: Mapping[str, Any]
    """What it holds for; null for what the runs do not say."""
    notes: tuple[str, ...]
    """What a reader must know."""


def predict(
    source: Source | pd.DataFrame | Law,
    *,
    latent_dim: int,
    target_l0: float,
    total_steps: int | None = None,
    learning_rate: float | None = None,
    study_name: str | None = None,
) -> AlphaAnswer:
    """Alpha for any width, target and training budget, in the source's own units.

    Args:
        source: A law or a law file; a trial table, or what `analysis.load_trials` takes.
        latent_dim: Width.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        total_steps: Of the run that is planned; None for that of the runs behind the answer.
        learning_rate: The same for its peak learning rate.
        study_name: Which sweep, where a storage holds several.

    Raises:
        AnalysisError: The source cannot be read, or allows no alpha; the message says what to run.
    """
    target_count(target_l0, latent_dim)
    planned = Planned(total_steps=total_steps, learning_rate=learning_rate)
    if isinstance(source, Law):
        return _from_law(source, latent_dim, target_l0, "the law", planned)
    if not isinstance(source, pd.DataFrame) and _is_law(source):
        law = Law.load(source, units=None)
        return _from_law(law, latent_dim, target_l0, f"{name_of(source)}", planned)
    if isinstance(source, pd.DataFrame):
        trials = source
    else:
        trials = load_trials(source, study_name=study_name)
    fit = refit(trials, target_l0=target_l0)
    if planned.differs_from(fit.recipe.to_json()):
        return _at_budget(trials, fit, latent_dim, planned)
    width = fit.width(latent_dim)
    if width is not None and width.bracketed:
        return _from_width(fit, width)
    if fit.exponent is None:
        raise AnalysisError(_refusal(fit, width, latent_dim))
    answer = _from_law(Law.from_refit(fit), latent_dim, target_l0, "these runs")
    return answer if width is None else _beside_runs(answer, fit, width)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """The training of the run that alpha is wanted for; None as in the runs behind the answer."""

    total_steps: int | None = None
    """Steps."""
    learning_rate: float | None = None
    """Peak learning rate."""

    def in_recipe(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe with the plan's values in place of its own."""
        own = {"total_steps": self.total_steps, "learning_rate": self.learning_rate}
        return {**recipe, **{name: value for name, value in own.items() if value is not None}}

    def differs_from(self, recipe: Mapping[str, Any]) -> bool:
        """Whether the plan is another training than the recipe's."""
        return self.in_recipe(recipe) != dict(recipe)

    def budget(self, recipe: Mapping[str, Any], unit: str) -> float:
        """The budget that is planned.

        Raises:
            AnalysisError: Neither the plan nor the recipe says the steps or the learning rate, or
                they are not positive.
        """
        known = self.in_recipe(recipe)
        found = budget_of(unit, known.get("learning_rate"), known.get("total_steps"))
        if found is None:
            raise AnalysisError(f"{unit} must be known for a budget, but the runs do not say it.")
        if not found > 0:
            raise AnalysisError(f"{unit} must be positive, but got {found!r}.")
        if unit == STEPS and self.learning_rate is not None:
            raise AnalysisError(
                "learning_rate must be left out where the runs do not record theirs, "
                f"but got {self.learning_rate!r}."
            )
        return found


def _at_budget(trials: pd.DataFrame, fit: Refit, latent_dim: int, planned: Planned) -> AlphaAnswer:
    """From the surface where the study has several budgets, else by the assumed exponent."""
    recipe = fit.recipe.to_json()
    if fit.budget is None:
        law = Law.from_refit(fit)
        return _from_law(law, latent_dim, fit.target_l0, "these runs", planned)
    surface = study_surface(trials)
    budget = planned.budget(recipe, surface.budget_unit)
    point = surface.alpha_for(latent_dim, fit.target_l0, budget)
    alpha = point.log_alpha.exp()
    outside = [f"extrapolated in {name}" for name in point.outside]
    return AlphaAnswer(
        latent_dim=latent_dim,
        target_count=target_count(fit.target_l0, latent_dim),
        alpha=alpha.value,
        low=alpha.low,
        high=alpha.high,
        units=fit.units.value,
        basis=f"the surface over {len(surface.pairs())} pairs of width and budget",
        status=Status.provisional.value,
        recipe=planned.in_recipe(recipe),
        notes=(*outside, *surface.notes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Activations:
    """The data that alpha is wanted for, as far as conversions need it."""

    name: str | None
    """As a recipe has it; None where the manifest does not say."""
    scale: ActivationScale
    """Norms of the raw activations."""


def convert(
    answer: AlphaAnswer, objective: str, activations: Activations | None = None
) -> AlphaAnswer:
    """The same alpha in another convention's units.

    Args:
        answer: In canonical units.
        objective: The convention's name, for example saelens.
        activations: The data whose norms the convention needs; None where it needs none.

    Raises:
        AnalysisError: The answer is not in canonical units, the convention does not exist, it
            needs norms that are not given or are other data's, or has no equivalent of the
            penalty's alpha.
    """
    if answer.units != "canonical":
        raise AnalysisError(
            f"units must be canonical to convert alpha to {objective}, but got {answer.units}."
        )
    if activations is None and needs_norms(objective):
        raise AnalysisError(
            f"activations must name the folder of the data for {objective} units, whose norms "
            "they need (--activations), but got none."
        )
    notes = [] if activations is None else _other_data(answer.recipe, activations)
    penalty = answer.recipe.get("penalty")
    if penalty is None:
        notes.append("The penalty is not recorded; alpha is converted as an L1's.")
    assumed = assumption(objective)
    factor = canonical_factor(
        objective,
        None if activations is None else activations.scale,
        answer.latent_dim,
        penalty=penalty or "l1",
    )
    return replace(
        answer,
        alpha=answer.alpha * factor,
        low=None if answer.low is None else answer.low * factor,
        high=None if answer.high is None else answer.high * factor,
        units=objective,
        notes=(*answer.notes, *notes, *([] if assumed is None else [assumed])),
    )


def _other_data(recipe: Mapping[str, Any], activations: Activations) -> list[str]:
    """What is to be said where the norms may not be those of the runs' data.

    Raises:
        AnalysisError: They cannot be: the dimension is another.
    """
    d_in, name = recipe.get("d_in"), recipe.get("activations")
    if d_in is not None and activations.scale.d_in != d_in:
        raise AnalysisError(
            f"activations must have the d_in of the runs, {d_in}, but got "
            f"{activations.scale.d_in}."
        )
    if None not in (name, activations.name) and name != activations.name:
        return [f"Converted by the norms of {activations.name}; the runs are on {name}."]
    return []


def read_activations(folder: Path) -> Activations:
    """The norms and the name in the manifest of a folder of activations.

    Raises:
        AnalysisError: There is no manifest.json, or it lacks a norm.
    """
    path = folder / "manifest.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Activations(
            name=content.get("name"),
            scale=ActivationScale(
                d_in=int(content["d_in"]),
                centred_rms_norm=float(content["centred_rms_norm"]),
                raw_mean_norm=float(content["raw_mean_norm"]),
                raw_rms_norm=float(content["raw_rms_norm"]),
            ),
        )
    except OSError as error:
        raise AnalysisError(f"activations must hold a manifest.json, but: {error}.") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"{path} must hold d_in and three norms, but: {error!r}.") from None


def _is_law(source: Source) -> bool:
    """Whether a file is a law, not a trial record; a folder never is."""
    path = Path(source)
    return path.suffix == ".json" and path.name != "result.json" and path.is_file()


def _from_width(fit: Refit, width: WidthResult) -> AlphaAnswer:
    if width.point is None or width.target_count is None:
        raise AnalysisError(_refusal(fit, width, width.latent_dim))
    star = width.alpha_star
    reason = () if width.reason is None else (width.reason,)
    return AlphaAnswer(
        latent_dim=width.latent_dim,
        target_count=width.target_count,
        alpha=width.point,
        low=None if star is None else star.low,
        high=None if star is None else star.high,
        units=fit.units.value,
        basis=f"{width.n} runs of this width",
        status=fit.status.value,
        recipe=fit.recipe.to_json(),
        notes=(*reason, *width.notes, *fit.notes),
    )


def _from_law(
    law: Law, latent_dim: int, target_l0: float, basis: str, planned: Planned | None = None
) -> AlphaAnswer:
    planned = planned or Planned()
    budget, about_budget = _law_budget(law, planned)
    mean, sd = law.alpha_for(latent_dim, target_l0, budget=budget)
    widths = [shape.latent_dim for shape in law.shapes]
    outside = not min(widths) <= latent_dim <= max(widths)
    where = "extrapolated from" if outside else "between"
    listed = f"widths {min(widths)} to {max(widths)}"
    if len(widths) == 1:
        listed = f"the single width {widths[0]}, with theory's exponent"
    return AlphaAnswer(
        latent_dim=latent_dim,
        target_count=target_count(target_l0, latent_dim),
        alpha=math.exp(mean),
        low=math.exp(mean - _Z_95 * sd),
        high=math.exp(mean + _Z_95 * sd),
        units=law.units.value,
        basis=f"{basis}, {where} {listed}",
        status=law.status.value,
        recipe=planned.in_recipe(law.recipe),
        notes=(*about_budget, *(f"a law still needs: {each}" for each in law.missing)),
    )


def _beside_runs(answer: AlphaAnswer, fit: Refit, width: WidthResult) -> AlphaAnswer:
    """The law's answer for a width whose own runs bound alpha on one side.

    Raises:
        AnalysisError: They say that alpha lies on the other side.
    """
    runs = [each for each in zip(width.alphas, width.l0, strict=True) if each[0] > 0]
    if width.side is not None and runs:
        alpha, l0 = max(runs) if width.side is Side.above else min(runs)
        if (answer.alpha <= alpha) if width.side is Side.above else (answer.alpha >= alpha):
            contradiction = (
                f"the law of the other widths says {answer.alpha:.4g}, but at alpha {alpha:.4g} "
                f"L0 is {l0:.4g} here, so that alpha lies {width.side} it"
            )
            raise AnalysisError(_refusal(fit, width, width.latent_dim, contradiction))
    return replace(answer, notes=(*width.notes, *answer.notes))


def _law_budget(law: Law, planned: Planned) -> tuple[float | None, tuple[str, ...]]:
    """The planned budget, if it is another than the law's, and how alpha gets there."""
    if not planned.differs_from(law.recipe):
        return None, ()
    if law.budget is None:
        raise AnalysisError(
            "total_steps and learning_rate must be the law's own, which has no budget term, "
            f"but got {planned.total_steps!r} and {planned.learning_rate!r}."
        )
    term = law.budget
    budget = planned.budget(law.recipe, term.unit)
    source = f"from runs at {term.n} budgets" if term.n > 1 else "assumed: one budget was run"
    return budget, (
        f"alpha goes as ({term.unit})^{term.exponent:.2f} (sd {term.se:.2f}, {source})",
    )


def _refusal(
    fit: Refit, width: WidthResult | None, latent_dim: int, contradiction: str | None = None
) -> str:
    """Why no alpha may be named, and the run that would help most."""
    reason = f"no usable run has this width and {fit.exponent_reason}"
    suggestions = fit.suggestions
    if width is not None:
        reason = contradiction or width.reason or "the target is not bracketed"
        suggestions = width.suggestions or suggestions
    text = f"no alpha may be named for latent_dim {latent_dim}: {reason}"
    if not suggestions:
        return f"{text}."
    first = suggestions[0]
    at = "" if first.l1_alpha is None else f" at alpha {first.l1_alpha:.3g}"
    return f"{text}; run width {first.latent_dim}{at} ({first.why})."
