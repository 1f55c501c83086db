"""The prior of one cell: which components speak, and with what weight."""

import math
from dataclasses import replace
from pathlib import Path

from analysis.law import Law
from sae.activations import ActivationStore
from sweeper.search.prior import (
    BUDGET_EXPONENT,
    BUDGET_EXPONENT_SD,
    THEORY_SD,
    PriorComponent,
    PriorKind,
    file_component,
    guide_component,
    mixture,
    theory_component,
)
from sweeper.settings import Settings


def prior_components(
    settings: Settings, store: ActivationStore, target_count: float | None = None
) -> list[PriorComponent]:
    """What is expected of ln alpha (canonical) before a cell has run anything.

    Args:
        settings: The cell's configuration.
        store: Its activations, which give d_in and name.
        target_count: L0 to aim at; None for the settings' own target.

    Raises:
        SweepError: No component can speak.
        AnalysisError: The law file cannot be used for this cell.
    """
    prior = settings.prior
    target_count = target_count or settings.target_l0_count
    theory = theory_component(
        store.d_in,
        target_count,
        settings.trainer.learning_rate,
        settings.trainer.total_steps,
    )
    guide = guide_component(settings.sae.latent_dim)
    from_file = (
        []
        if prior.path is None
        else [law_component(settings, store, target_count, Path(prior.path))]
    )
    chosen = {
        PriorKind.mixture: [*from_file, theory, guide],
        PriorKind.theory: [theory],
        PriorKind.guide: [replace(guide, weight=1.0)],
        PriorKind.file: from_file,
    }
    return mixture(chosen[prior.kind], prior.widening)


def law_component(
    settings: Settings, store: ActivationStore, target_count: float, path: Path
) -> PriorComponent:
    """What a law file says of the cell, moved to its budget and widened where it is not its own.

    The mean moves by the budget term of the theory. The sd gets, in quadrature, the budget term's
    own spread, and the theory's 0.5 once for each of: other activations, another architecture,
    another batch size (assumption: a foreign law is then no worse than the theory).

    Raises:
        AnalysisError: The file is no law of this penalty in canonical units.
    """
    law = Law.load(path, penalty=settings.sae.penalty)
    mean, sd = law.alpha_for(settings.sae.latent_dim, max(1.0, target_count))
    distance = _budget_distance(settings, law)
    spread = [sd, BUDGET_EXPONENT_SD * distance] + [THEORY_SD] * len(foreign(settings, store, law))
    return file_component(mean + BUDGET_EXPONENT * distance, math.hypot(*spread))


def foreign(settings: Settings, store: ActivationStore, law: Law) -> tuple[str, ...]:
    """What of the cell differs from what the law was fitted on, the budget aside."""
    own = {
        "activations": store.name,
        "architecture": settings.sae.architecture.value,
        "batch_size": settings.trainer.batch_size,
    }
    return tuple(key for key, value in own.items() if law.recipe.get(key) != value)


def _budget_distance(settings: Settings, law: Law) -> float:
    """Ln of the cell's learning rate times steps over the law's; 0 where the law's is unknown."""
    rate, steps = law.recipe.get("learning_rate"), law.recipe.get("total_steps")
    if rate is None or steps is None:
        return 0.0
    own = settings.trainer.learning_rate * settings.trainer.total_steps
    return math.log(own / (float(rate) * float(steps)))
