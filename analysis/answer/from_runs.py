"""Alpha by the runs themselves, and why they allow none."""

import math
from dataclasses import replace

import pandas as pd

from analysis.answer.alpha_answer import AlphaAnswer, known_bounds
from analysis.answer.from_law import answer_from_law
from analysis.answer.planned_training import PlannedTraining
from analysis.budget import study_surface
from analysis.errors import AnalysisError
from analysis.gate import Side, Status
from analysis.groups import differing_columns
from analysis.law import Law
from analysis.results import Refit, WidthResult
from analysis.selection import aims_elsewhere
from analysis.units import target_count


def answering_group(fit: Refit, latent_dim: int) -> Refit:
    """The group of runs that answers for a width, and a note that names it.

    The largest of those whose own runs bracket the target at this width; where none does, the
    largest of all.
    """
    if not fit.others:
        return fit
    groups = (fit, *fit.others)
    own = (each for each in groups if _brackets(each, latent_dim))
    chosen = next(own, fit)
    differing = differing_columns(each.recipe for each in groups)
    note = f"this answer is that of the runs with {chosen.recipe.describe(differing)}"
    led = fit.led_by(chosen)
    return replace(led, notes=(note, *led.notes))


def _brackets(fit: Refit, latent_dim: int) -> bool:
    width = fit.width(latent_dim)
    return width is not None and width.bracketed


def answer_from_width(fit: Refit, width: WidthResult) -> AlphaAnswer:
    """The alpha of a width's own runs.

    Raises:
        AnalysisError: They allow none.
    """
    if width.point is None or width.target_count is None:
        raise AnalysisError(refusal(fit, width, width.latent_dim))
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


def answer_at_budget(
    trials: pd.DataFrame, fit: Refit, latent_dim: int, planned: PlannedTraining
) -> AlphaAnswer:
    """From the surface where the study's budgets have an exponent, else by the assumed one.

    Raises:
        AnalysisError: The runs allow no alpha for this width, or say nothing of that training.
    """
    recipe = fit.recipe.to_json()
    if fit.budget is None:
        width = fit.width(latent_dim)
        if fit.exponent is None and (width is None or width.alpha_star is None):
            raise AnalysisError(refusal(fit, width, latent_dim))
        return answer_from_own_law(fit, latent_dim, planned)
    aimed = trials[~aims_elsewhere(trials, fit.target_l0)]
    surface = study_surface(aimed, recipe=fit.recipe)
    budget = planned.budget(recipe, surface.budget_unit)
    point = surface.alpha_for(latent_dim, fit.target_l0, budget)
    log_alpha = point.log_alpha
    low, high, unbounded = known_bounds(log_alpha.low, log_alpha.high)
    outside = [f"extrapolated in {name}" for name in point.outside]
    return AlphaAnswer(
        latent_dim=latent_dim,
        target_count=target_count(fit.target_l0, latent_dim),
        alpha=math.exp(log_alpha.value),
        low=low,
        high=high,
        units=fit.units.value,
        basis=f"the surface over {len(surface.pairs())} pairs of width and budget",
        status=Status.provisional.value,
        recipe=planned.in_recipe(recipe),
        notes=(*unbounded, *outside, *surface.notes, *fit.notes),
    )


def answer_from_own_law(
    fit: Refit, latent_dim: int, planned: PlannedTraining | None = None
) -> AlphaAnswer:
    """By the law of these runs, with what a reader of them must know.

    Raises:
        AnalysisError: They allow no law, or it says nothing of that training.
    """
    law = Law.from_refit(fit)
    answer = answer_from_law(law, latent_dim, fit.target_l0, "these runs", planned)
    return replace(answer, notes=(*answer.notes, *fit.notes))


def held_against_runs(answer: AlphaAnswer, fit: Refit, width: WidthResult) -> AlphaAnswer:
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
            raise AnalysisError(refusal(fit, width, width.latent_dim, contradiction))
    return replace(answer, notes=(*width.notes, *answer.notes))


def refusal(
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
