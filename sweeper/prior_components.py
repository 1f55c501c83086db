"""The prior of one cell: which components speak, and with what weight."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.budget_term import budget_of
from analysis.errors import AnalysisError
from analysis.law import Law
from sae.activations import ActivationStore
from sweeper.errors import SweepError
from sweeper.record import trains_otherwise
from sweeper.search.alpha_rule import THEORY, AlphaRule, Situation, rule_for
from sweeper.search.prior import (
    PriorComponent,
    file_component,
    guide_component,
    mixture,
    rule_component,
)
from sweeper.search.prior_config import PriorKind
from sweeper.settings import Settings


def prior_components(
    settings: Settings, store: ActivationStore, learnt: Sequence[PriorComponent] = ()
) -> list[PriorComponent]:
    """What is expected of ln alpha (canonical) before a cell has run anything.

    Args:
        settings: The cell's configuration.
        store: Its activations, which give d_in and name.
        learnt: What other cells of the study say.

    Raises:
        SweepError: No component can speak.
        AnalysisError: The law file cannot be used for this cell.
    """
    prior = settings.prior
    here = _situation(settings, store)
    guide = guide_component(settings.sae.latent_dim)
    from_file = [] if prior.path is None else [law_component(settings, store, Path(prior.path))]
    chosen = {
        PriorKind.mixture: [*from_file, rule_component(own_rule(settings, store), here), guide],
        PriorKind.theory: [rule_component(THEORY, here)],
        PriorKind.guide: [replace(guide, weight=1.0)],
        PriorKind.file: from_file,
    }
    return mixture([*chosen[prior.kind], *learnt], prior.widening)


def own_rule(settings: Settings, store: ActivationStore) -> AlphaRule:
    """The rule that speaks for the cell."""
    here = _situation(settings, store)
    return rule_for(settings.sae.architecture.value, settings.sae.penalty, here)


def _situation(settings: Settings, store: ActivationStore) -> Situation:
    return Situation(
        d_in=store.d_in,
        latent_dim=settings.sae.latent_dim,
        target_count=settings.target_l0_count,
        learning_rate=settings.trainer.learning_rate,
        total_steps=settings.trainer.total_steps,
    )


def law_component(settings: Settings, store: ActivationStore, path: Path) -> PriorComponent:
    """What a law file says of the cell, moved to its budget and widened where it is not its own.

    The mean moves by the law's own budget term, or by that of the cell's rule where the law has
    none. The sd gets, in quadrature, that term's own spread, and the rule's once for each of:
    other activations, another architecture, another batch size, another recipe (assumption: a
    foreign law is then no worse than the rule).

    Raises:
        SweepError: The file is no law of this penalty and d_in in canonical units.
    """
    law = _load_law(settings, store, path)
    rule = own_rule(settings, store)
    differences = [rule.sd] * len(foreign(settings, store, law))
    latent_dim, target = settings.sae.latent_dim, settings.target_l0
    if law.budget is not None and law.budget.n > 1:  # of one budget it is an assumption
        trainer = settings.trainer
        budget = budget_of(law.budget.unit, trainer.learning_rate, trainer.total_steps)
        mean, sd = law.alpha_for(latent_dim, target, budget=budget)
        return file_component(mean, math.hypot(sd, *differences))
    mean, sd = law.alpha_for(latent_dim, target)
    here = settings.trainer.learning_rate * settings.trainer.total_steps
    there = _exposure(law, otherwise=here)
    spread = [sd, rule.budget_exponent_sd * math.log(here / there), *differences]
    return file_component(rule.at_exposure(mean, latent_dim, there, here), math.hypot(*spread))


def describe_law(settings: Settings, store: ActivationStore) -> str | None:
    """One line: which law file speaks for a cell, and what of it differs; None where none does."""
    prior = settings.prior
    if prior.path is None:
        return None
    different = foreign(settings, store, _load_law(settings, store, Path(prior.path)))
    return f"prior from {prior.path}{widened_words(different)}"


def widened_words(different: Sequence[str]) -> str:
    """What is added to a line on runs from elsewhere; empty where nothing differs."""
    return f"; widened, since these differ: {', '.join(different)}" if different else ""


def _load_law(settings: Settings, store: ActivationStore, path: Path) -> Law:
    try:
        law = Law.load(path, penalty=settings.sae.penalty)
    except AnalysisError as error:
        raise SweepError(f"prior.path: {error}") from error
    d_in = law.recipe.get("d_in")
    if d_in not in (None, store.d_in):
        raise SweepError(
            f"prior.path must hold a law of d_in={store.d_in}, but that of {str(path)!r} is of "
            f"d_in={d_in}."
        )
    return law


def foreign(settings: Settings, store: ActivationStore, law: Law) -> tuple[str, ...]:
    """What of the cell differs from what the law was fitted on, the budget aside."""
    own = {
        "activations": store.name,
        "architecture": settings.sae.architecture.value,
        "batch_size": settings.trainer.batch_size,
    }
    different = [key for key, value in own.items() if law.recipe.get(key) != value]
    columns = law.recipe.get("searched") or {}
    if trains_otherwise(settings, columns.get("recipe"), columns):
        different.append("recipe")
    return tuple(different)


def _exposure(law: Law, *, otherwise: float) -> float:
    """The law's learning rate times steps, where it is known."""
    rate, steps = law.recipe.get("learning_rate"), law.recipe.get("total_steps")
    if rate is None or steps is None:
        return otherwise
    return float(rate) * float(steps)
