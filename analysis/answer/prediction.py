"""Alpha for a width, a target and a budget, from what there is: a study, a table, a law."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.answer.alpha_answer import AlphaAnswer
from analysis.answer.from_law import answer_from_law
from analysis.answer.from_runs import (
    answer_at_budget,
    answer_from_own_law,
    answer_from_width,
    answering_group,
    held_against_runs,
    refusal,
)
from analysis.answer.planned_training import PlannedTraining
from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.refitting import refit
from analysis.sources import Source, name_of
from analysis.trials import load_trials
from analysis.units import target_count
from analysis.where import keep_where


def predict(  # noqa: PLR0913 - the source, and the rest by name
    source: Source | pd.DataFrame | Law,
    *,
    latent_dim: int,
    target_l0: float,
    total_steps: int | None = None,
    learning_rate: float | None = None,
    study_name: str | None = None,
    where: Sequence[str] = (),
) -> AlphaAnswer:
    """Alpha for any width, target and training budget, in the source's own units.

    Args:
        source: A law or a law file; a trial table, or what `analysis.load_trials` takes.
        latent_dim: Width.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        total_steps: Of the run that is planned; None for that of the runs behind the answer.
        learning_rate: The same for its peak learning rate.
        study_name: Which sweep, where a storage holds several.
        where: `column=value` each: trials with other values are left out, see `analysis.where`.

    Raises:
        AnalysisError: The source cannot be read, or allows no alpha; the message says what to run.
            A condition of `where` keeps no trial, or the source is a law, which has none.
    """
    target_count(target_l0, latent_dim)
    planned = PlannedTraining(total_steps=total_steps, learning_rate=learning_rate)
    if isinstance(source, Law):
        _refuse_choices(where, study_name)
        return answer_from_law(source, latent_dim, target_l0, "the law", planned)
    if not isinstance(source, pd.DataFrame) and _is_law(source):
        _refuse_choices(where, study_name)
        law = Law.load(source, units=None)
        return answer_from_law(law, latent_dim, target_l0, f"{name_of(source)}", planned)
    if isinstance(source, pd.DataFrame) and study_name is None:
        trials = source
    else:
        trials = load_trials(source, study_name=study_name)
    trials = keep_where(trials, where)
    fit = answering_group(refit(trials, target_l0=target_l0), latent_dim)
    if planned.differs_from(fit.recipe.to_json()):
        return answer_at_budget(trials, fit, latent_dim, planned)
    width = fit.width(latent_dim)
    if width is not None and width.bracketed:
        return answer_from_width(fit, width)
    if fit.exponent is None:
        raise AnalysisError(refusal(fit, width, latent_dim))
    answer = answer_from_own_law(fit, latent_dim)
    return answer if width is None else held_against_runs(answer, fit, width)


def _refuse_choices(where: Sequence[str], study_name: str | None) -> None:
    named = () if study_name is None else (study_name,)
    for option, values in (("where", where), ("study_name", named)):
        if values:
            raise AnalysisError(
                f"{option} must be left out for a law, which has no trials, "
                f"but got {', '.join(values)}."
            )


def _is_law(source: Source) -> bool:
    """Whether a file is a law, not a trial record; a folder never is."""
    path = Path(source)
    return path.suffix == ".json" and path.name != "result.json" and path.is_file()
